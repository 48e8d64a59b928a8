"""The control of every kind of run: what it is made of, what it costs, and that it is scored as the run is.

Costs are counted by hooks while networks run, never read from settings.
"""

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from contrafact.contract.method import Subject
from contrafact.core.artefact import fingerprint
from contrafact.core.budget import Budget
from contrafact.core.directions import GlobalDirections
from contrafact.core.memory import as_dataset
from contrafact.core.method import Artefacts, Method, load_run
from contrafact.core.run import RESULT, Run
from contrafact.data.load import load_dataset
from contrafact.evaluation import control as module
from contrafact.evaluation.control import budget_of, control_kind, fit_control, fit_regression
from contrafact.evaluation.regression import RegressionSettings
from contrafact.evaluation.run import CONTROL, REGRESSION, evaluate_run, needs_regression
from contrafact.evaluation.scores import read_scores
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods import CATALOG
from contrafact.methods.disco import DisCo
from contrafact.methods.latentclr import LatentCLR
from contrafact.methods.random import Random
from contrafact.methods.sefa import SeFa
from contrafact.methods.simclr import SimCLR
from contrafact.methods.vae import VAE
from contrafact.nn.encoders import ConvEncoder
from tests.conftest import TINY_DISCO, quiet

TINY_VAE = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}
LIGHT = RegressionSettings(steps=3, batch_size=5, num_directions=4, width=0.1)
LEARN_FROM_IMAGES = [
    name for name in CATALOG if CATALOG.get(name).source == "images" and "encoder" in CATALOG.get(name).yields
]


@contextmanager
def counted():
    """Images that every module sees within the block, and how often it is called."""
    images, calls = Counter(), Counter()

    def count(network, inputs, _):
        if inputs and isinstance(inputs[0], torch.Tensor):
            images[network] += len(inputs[0])
            calls[network] += 1

    hook = nn.modules.module.register_module_forward_hook(count)
    try:
        yield images, calls
    finally:
        hook.remove()


def cost(counts, encoder):
    """Images seen, and calls, of an encoder's first layer."""
    images, calls = counts
    first = next(layer for layer in encoder.modules() if images[layer] and not list(layer.children()))
    return images[first], calls[first]


@pytest.fixture
def regressed(monkeypatch):
    """Regression encoders in the order in which they are trained."""
    made, train = [], module.regress_encoder

    def keep(*arguments):
        made.append(train(*arguments))
        return made[-1]

    monkeypatch.setattr(module, "regress_encoder", keep)
    return made


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"shared_bases": True},
        {"batching": "paper", "num_queries": 2, "num_positives": 3, "num_negatives": 4},
    ],
)
def test_the_control_of_disco_costs_what_the_run_did(edits, regressed, tmp_path):
    with counted() as ours:
        run = DisCo.of(**{**TINY_DISCO, **edits}).fit(Analytic.tiny(), quiet(tmp_path / "r"))
    with counted() as its:
        control = fit_control(load_run(tmp_path / "r"), device="cpu")
    (encoder,) = regressed
    assert cost(its, encoder)[0] == cost(ours, run.encoder)[0]  # negatives without a gradient are passes of their own
    assert cost(its, encoder)[1] == TINY_DISCO["steps"]
    assert [w.shape for w in encoder.convolutions.parameters()] == [
        w.shape for w in run.encoder.convolutions.parameters()
    ]
    assert control.directions.num_directions == 10


@pytest.mark.parametrize(
    ("preset", "steps", "images", "width", "slope"),
    [("released", 70_000, 256, 1.0, 0.01), ("paper", 100_000, 256, 1.0, 0.0), ("quick", 800, 132, 0.5, 0.2)],
)
def test_the_control_of_disco_is_the_one_of_the_recorded_tables(preset, steps, images, width, slope, disco_folder):
    config = json.loads((disco_folder / "config.json").read_text())
    config["hyperparameters"] = DisCo.preset(preset).hyperparameters()
    (disco_folder / "config.json").write_text(json.dumps(config))
    expected = RegressionSettings(steps=steps, batch_size=images, learning_rate=1e-3, num_directions=10, width=width)
    assert budget_of(load_run(disco_folder)) == replace(expected, slope=slope)


def test_a_control_has_the_slope_of_its_run_or_the_one_it_was_made_with(tmp_path):
    run = DisCo.of(**{**TINY_DISCO, "encoder_slope": 0.01}).fit(Analytic.tiny(), quiet(tmp_path / "r"))
    finished = load_run(tmp_path / "r")
    control = fit_control(finished, device="cpu")
    assert control.encoder.arguments()["slope"] == run.encoder.arguments()["slope"] == 0.01
    older = json.loads((control.folder / "config.json").read_text())
    del older["hyperparameters"]["slope"]  # as versions before wrote it
    (control.folder / "config.json").write_text(json.dumps(older))
    assert budget_of(finished).slope == 0.2
    assert fit_control(finished, device="cpu").folder == control.folder
    (control.folder / RESULT).unlink()  # one that was stopped goes on as it was begun
    assert fit_control(finished, device="cpu").encoder.arguments()["slope"] == 0.2


def test_the_directions_of_a_control_are_drawn_from_the_seed(disco_folder):
    run = load_run(disco_folder)
    drawn = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    vectors = fit_control(run, device="cpu").directions.vectors()
    torch.testing.assert_close(vectors, drawn / drawn.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("cls", [SeFa, Random, LatentCLR])
def test_directions_alone_stand_beside_as_many_random_ones(cls, vae_folder, tmp_path):
    small = {"num_directions": 3, **({"steps": 2, "batch_size": 2} if cls is LatentCLR else {})}
    cls.of(**small).fit(load_run(vae_folder).generator, quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    assert control_kind(run) == "directions"
    control = fit_control(run, device="cpu")
    assert not control.has("encoder")
    assert control.directions.num_directions == 3
    assert not torch.allclose(control.directions.vectors(), GlobalDirections.of(shifts(run)).vectors())
    assert fit_control(run, device="cpu").result == control.result
    assert fingerprint(control.generator) == fingerprint(run.generator)


def shifts(run):
    every = torch.arange(run.directions.num_directions)
    return run.directions.shift(torch.zeros(len(every), run.directions.latent_dim), every, torch.ones(len(every)))


def test_the_directions_of_a_control_act_on_the_layers_of_the_runs(tmp_path):
    @dataclass(frozen=True)
    class Layered(Method):
        source: ClassVar = "generator"
        yields: ClassVar = ("directions", "generator")

        def train(self, source, run):
            vectors = torch.eye(source.latent_dim)[:2]
            return Artefacts(
                directions=GlobalDirections.of(vectors, layers=(1, 3), num_layers=source.num_layers), generator=source
            )

    generator = StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=2).freeze()
    run = Layered().fit(generator, quiet(tmp_path / "r"))
    directions = fit_control(run, device="cpu").directions
    assert (directions.layers, directions.num_layers) == (run.directions.layers, run.directions.num_layers)


def test_codes_along_directions_are_read_at_the_same_cost(regressed, vae_folder, tmp_path):
    generator = load_run(vae_folder).generator
    SeFa(num_directions=4).fit(generator, quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    fit_control(run, device="cpu")
    assert not (tmp_path / "r" / CONTROL / REGRESSION).exists()
    with counted() as ours:
        fit_regression(run, run.directions, REGRESSION, LIGHT, device="cpu")
    with counted() as its:
        fit_control(run, device="cpu")
    assert cost(ours, regressed[0]) == cost(its, regressed[1]) == (15, 3)
    assert regressed[0].code_dim == regressed[1].code_dim == 4
    for who in ("run", "control"):
        ((_, result),) = evaluate_run(run, None, ["mig"], 60, 20, who=who)
        assert result.matrix.shape[0] == 4
    ours, its = read_scores(tmp_path / "r")
    assert (ours["of"], its["of"]) == ("run", "control")
    assert ours["scores"] != its["scores"]


def test_when_directions_are_to_be_read(vae_folder, disco_folder, tmp_path):
    Random(num_directions=3).fit(load_run(vae_folder).generator, quiet(tmp_path / "a"))
    Random(num_directions=3).fit(Analytic.tiny(), quiet(tmp_path / "b"))
    unknown, known = load_run(tmp_path / "a"), load_run(tmp_path / "b")
    assert needs_regression(unknown, [])
    assert not needs_regression(known, [])  # its directions are compared with the true ones
    assert needs_regression(known, ["recovery, mig"])
    assert needs_regression(known, ["all"])
    assert not needs_regression(unknown, ["recovery"])
    assert not needs_regression(load_run(disco_folder), ["mig"])
    assert not needs_regression(load_run(vae_folder), [])


class Recording(Run):
    """Keeps what every network holds before the first step."""

    before: list[torch.Tensor] | None = None

    def steps(self, total, state, what="training"):
        if self.before is None:
            networks = [part for part in state.values() if isinstance(part, nn.Module)]
            self.before = [weight.detach().clone() for network in networks for weight in network.state_dict().values()]
        yield from super().steps(total, state, what)


RESCALED = ("attention_decoder", "disdiff", "encdiff")
"""The last layer of these encoders is put into the unit of its codes' own deviation, trained or not."""


@pytest.mark.parametrize("name", LEARN_FROM_IMAGES)
@pytest.mark.filterwarnings("ignore:mode collapse")
def test_an_encoder_stands_beside_itself_before_the_first_step(name, tmp_path):
    subject = Subject(CATALOG.get(name), tmp_path)
    run = Recording(tmp_path / "r", seed=7, device="cpu", precision="float32", progress=False)
    learned = subject.tiny().fit(subject.source(), run)
    trained = []
    hook = register_optimizer_step_pre_hook(lambda *step: trained.append(step))
    control = fit_control(load_run(tmp_path / "r"), device="cpu")
    hook.remove()
    assert not trained, "no weight may move"
    assert type(control.encoder) is type(learned.encoder)
    assert fingerprint(control.encoder) != fingerprint(learned.encoder)
    *body, last_weight, last_bias = control.encoder.state_dict().values()
    if name in RESCALED:
        directions = F.normalize(last_weight, dim=1)
        assert any(
            w.shape == directions.shape and torch.allclose(F.normalize(w, dim=1), directions) for w in run.before
        )
    else:
        body += [last_weight, last_bias]
    for weight in body:
        assert any(weight.shape == w.shape and torch.equal(weight, w) for w in run.before), tuple(weight.shape)
    if "generator" in learned.result["artefacts"]:
        assert fingerprint(control.generator) != fingerprint(learned.generator)
    assert not control.log


def test_an_untrained_control_is_kept_and_scored_beside_the_run(tmp_path):
    data = load_dataset("shapes3d", size=16)
    VAE(**TINY_VAE).fit(data, quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    control = fit_control(run, device="cpu")
    assert fit_control(run, device="cpu").result == control.result
    ours, its = (dict(evaluate_run(run, None, ["mig"], 60, 20, who=who)) for who in ("run", "control"))
    alone = dict(evaluate_run(control, data, ["mig"], 60, 20))
    assert its["mig"].score == alone["mig"].score != ours["mig"].score
    with pytest.raises(ValueError, match="is its encoder untrained, so there are no settings to train one with"):
        fit_control(run, LIGHT)
    with pytest.raises(ValueError, match="trains no encoder: the run found no directions"):
        budget_of(run)


def test_few_labels_are_those_of_the_run(tmp_path):
    data = load_dataset("shapes3d", size=16, labels=30, label_seed=4, factors=["shape"])
    CATALOG.get("labels_only")(width=0.1, steps=2, batch_size=4).fit(data, quiet(tmp_path / "r"))
    control = fit_control(load_run(tmp_path / "r"), device="cpu")
    assert control.encoder.factor_names == ("shape",)
    assert control.annotated_factors == ("shape",)


def test_images_in_memory_are_passed_again(tmp_path):
    images = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    VAE(**TINY_VAE).fit(images, quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    with pytest.raises(ValueError, match=r"the images it learned from, and they are not at hand .* pass them: fit_con"):
        fit_control(run, device="cpu")
    assert not (tmp_path / "r" / CONTROL / "config.json").exists()
    with pytest.raises(ValueError, match="not at hand"):
        fit_control(run, device="cpu", source=as_dataset(images.flip(0)))
    assert fit_control(run, device="cpu", source=as_dataset(images)).has("encoder")


def test_a_network_of_ones_own_is_passed_again(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8), nn.ReLU(), nn.Linear(8, 4))
    method = SimCLR(encoder=network, steps=2, batch_size=4)
    method.fit(load_dataset("shapes3d", size=16), quiet(tmp_path / "r"))
    with pytest.raises(ValueError, match=r"untrained, load_run\(folder, encoder=...\)|not its code"):
        fit_control(load_run(tmp_path / "r"), device="cpu")
    control = fit_control(load_run(tmp_path / "r", encoder=network), device="cpu")
    own = [w for name, w in control.encoder.state_dict().items() if "module" in name]
    assert len(own) == 4
    assert all(torch.equal(ours, its) for ours, its in zip(network.state_dict().values(), own, strict=True))


@dataclass(frozen=True)
class Own(Method):
    """Directions and an encoder, in steps that encode a batch."""

    source: ClassVar[str] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")
    presets: ClassVar[dict[str, dict[str, object]]] = {"quick": {}}

    steps: int = 3
    batch_size: int = 5
    width: float = 0.1
    copies: int = 1

    def train(self, source, run):
        with run.seeded_init("encoder"):
            encoder = ConvEncoder(source.image_shape, 4, self.width)
        optimizer, rng = torch.optim.Adam(encoder.parameters()), run.rng("latents")
        for _ in run.steps(self.steps, {"encoder": encoder, "optimizer": optimizer}):
            loss = encoder(source(source.sample(self.copies * self.batch_size, rng))).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        directions = GlobalDirections.random(source.latent_dim, 4, run.rng("directions"))
        return Artefacts(encoder=encoder, directions=directions, generator=source)


def test_a_method_of_ones_own_has_a_control_of_its_cost(regressed, tmp_path):
    with counted() as ours:
        run = Own(steps=4).fit(Analytic.tiny(), quiet(tmp_path / "r"))
    with counted() as its:
        control = fit_control(run, device="cpu")
    assert cost(its, regressed[0]) == cost(ours, run.encoder) == (20, 4)
    assert control.directions.num_directions == 4


def test_a_budget_may_be_what_a_method_says(tmp_path):
    class Said(Own):
        def budget(self):
            return Budget(steps=2, images_per_step=3, num_directions=6)

    run = Said().fit(Analytic.tiny(), quiet(tmp_path / "r"))
    assert budget_of(run) == RegressionSettings(steps=2, batch_size=3, num_directions=6, width=1.0)


def test_a_method_that_is_not_at_hand_is_not_looked_for(tmp_path):
    Own().fit(Analytic.tiny(), quiet(tmp_path / "r"))
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    (tmp_path / "evil.py").write_text("raise SystemExit('run')\n")
    for name in ("unheard_of", f"{tmp_path}/evil.py:Evil"):
        (tmp_path / "r" / "config.json").write_text(json.dumps(config | {"method": name}))
        with pytest.raises(ValueError, match="a method that is not at hand: import it, or on a command line"):
            fit_control(load_run(tmp_path / "r"), device="cpu")


@dataclass(frozen=True)
class Closed(Own):
    """An encoder in closed form."""

    source: ClassVar[str] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder",)

    def train(self, source, run):
        with run.seeded_init("encoder"):
            return Artefacts(encoder=ConvEncoder(source.image_shape, 4, self.width))


@dataclass(frozen=True)
class Careless(Closed):
    """Reads after its loop what only a step makes."""

    def train(self, source, run):
        for step in run.steps(2, {}):
            last = step
        print(last)
        return super().train(source, run)


def test_what_has_no_control_says_why(vae_folder, tmp_path):
    data = load_dataset("shapes3d", size=16)
    CATALOG.get("wgan_gp").preset("quick", steps=1, batch_size=4, width=0.1).fit(data, quiet(tmp_path / "gan"))
    gan = load_run(tmp_path / "gan")
    assert control_kind(gan) is None
    with pytest.raises(ValueError, match=r"has no control: wgan_gp yields generator, neither directions, .* nor an"):
        fit_control(gan)
    closed = Closed().fit(data, quiet(tmp_path / "closed"))
    with pytest.raises(ValueError, match=r"has no control: Closed does not train its encoder in a loop over run.steps"):
        fit_control(closed, device="cpu")
    careless = Careless().fit(data, quiet(tmp_path / "careless"))
    with pytest.raises(ValueError, match=r"Careless.train fails where run.steps takes no step \(UnboundLocalError"):
        fit_control(careless, device="cpu")
    for name in ("gan", "closed", "careless"):
        assert not (tmp_path / name / CONTROL / RESULT).exists()


def test_a_control_has_no_control(disco_folder):
    control = fit_control(load_run(disco_folder), device="cpu")
    assert control_kind(control) is None
    with pytest.raises(ValueError, match=f"was made to score another run; name the folder it lies in, {disco_folder}"):
        fit_control(control)
