import dataclasses
import math

import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.generators.biggan import BigGAN
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.generators.wrap import wrap
from contrafact.methods.latentclr import LatentCLR, LatentDirections, check_effect, contrast_edits, default_layer

SMALL = {"num_directions": 3, "batch_size": 4, "steps": 6, "truncation": 1.0}


def quiet(folder, **options) -> Run:
    return Run(folder, **{"device": "cpu", "precision": "float32", "progress": False, **options})


def differences(k: int = 4, n: int = 3, f: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(k, n, f)).astype(np.float32))


def plain_loss(difference: torch.Tensor, temperature: float, absolute: bool, mean: bool) -> float:
    """The paper's sums, edit by edit."""
    k, n, _ = difference.shape
    losses = []
    for d in range(k):
        for i in range(n):
            same, other = [], []
            for e in range(k):
                for j in range(n):
                    s = torch.cosine_similarity(difference[d, i], difference[e, j], dim=0).item()
                    term = math.exp((abs(s) if absolute else s) / temperature)
                    if e != d:
                        other.append(term)
                    elif j != i:
                        same.append(term)
            top, bottom = (np.mean(same), np.mean(other)) if mean else (sum(same), sum(other))
            losses.append(-math.log(top / bottom))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [2.0, 0.1])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_is_the_papers_sums(temperature, absolute, reduction):
    difference = differences()
    loss, _ = contrast_edits(difference, temperature, absolute, reduction)
    assert loss.item() == pytest.approx(plain_loss(difference, temperature, absolute, reduction == "mean"), abs=1e-5)


def test_the_loss_is_the_released_programs():
    """Values of catlab-team/latentclr's ContrastiveLoss (temp 0.5) on the same unit vectors."""
    loss, scalars = contrast_edits(differences(), 2.0, absolute=True, reduction="mean")
    assert loss.item() == pytest.approx(0.0721366, abs=1e-6)
    assert scalars["accuracy"].item() == pytest.approx(1 / 12, abs=1e-6)
    assert contrast_edits(differences(), 2.0)[0].item() == pytest.approx(1.4676186, abs=1e-6)


def test_alike_within_and_unlike_across_is_best():
    apart = torch.eye(3)[:, None].repeat(1, 4, 1)
    loss, scalars = contrast_edits(apart, 0.5, reduction="mean")
    assert loss.item() == pytest.approx(-2.0)
    assert [scalars[name].item() for name in ("within", "across", "accuracy")] == [1.0, 0.0, 1.0]
    assert contrast_edits(torch.ones(3, 4, 5), 0.5, reduction="mean")[0].item() == pytest.approx(0.0, abs=1e-6)


def test_an_edit_without_effect_has_finite_gradients():
    difference = differences()
    difference[1, 2] = 0.0
    difference.requires_grad_(True)
    contrast_edits(difference, 0.5, absolute=True)[0].backward()
    assert torch.isfinite(difference.grad).all()
    assert (difference.grad[1, 2] == 0).all(), "and it does not outweigh the others"


@pytest.mark.parametrize("model", ["global", "linear", "nonlinear"])
@pytest.mark.parametrize("formulation", ["released", "paper"])
def test_a_step_is_a_loop_over_directions(model, formulation, tmp_path):
    generator, run = Analytic("sprite", size=16, warp=True), quiet(tmp_path)
    method = LatentCLR(**SMALL, model=model, formulation=formulation).resolved()
    method = dataclasses.replace(method, truncation=0.5)
    directions = method.build_directions(generator, run).eval()
    rng = torch.Generator().manual_seed(1)
    start = rng.get_state()
    loss, scalars = method.step_loss(generator, directions, "image", rng)

    rng.set_state(start)
    latent = generator.sample(4, rng, truncation=0.5)
    magnitudes = 6 * torch.rand(3, generator=rng) - 3
    rows = []
    for d in range(3):
        before, after = (generator(z).flatten(1) for z in (latent, directions(latent, d, magnitudes[d])))
        if formulation == "released":
            before, after = (x / x.norm(dim=1, keepdim=True) for x in (before, after))
        rows.append(after - before)
    released = formulation == "released"
    plain = plain_loss(torch.stack(rows).detach(), 2.0 if released else 0.5, released, released)
    assert loss.item() == pytest.approx(plain, abs=2e-4)
    loss.backward()
    for parameter in directions.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0
    assert set(scalars) == {"within", "across", "accuracy"}


def test_magnitudes_are_drawn_for_each_direction_after_truncation(tmp_path, monkeypatch):
    generator, run = Analytic("sprite", size=16), quiet(tmp_path)
    seen = []
    monkeypatch.setattr(GlobalDirections, "every", lambda self, latent, magnitude: seen.append((latent, magnitude)))
    for lowest, highest in ((-3.0, 3.0), (1.5, 1.5)):
        method = LatentCLR(**{**SMALL, "truncation": 0.25}, model="global", lowest=lowest, highest=highest).resolved()
        directions = method.build_directions(generator, run)
        with pytest.raises(AttributeError):
            method.step_loss(generator, directions, "image", torch.Generator().manual_seed(0))
    (latent, varied), (_, constant) = seen
    torch.testing.assert_close(latent, 0.25 * generator.prior(4, torch.Generator().manual_seed(0)))
    assert len(varied.unique()) == 3
    assert (varied.abs() <= 3).all()
    torch.testing.assert_close(constant, torch.full((3,), 1.5))


class Halting(torch.nn.Module):
    """A generator's body whose last part must not run."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(4, 12), torch.nn.Unflatten(1, (3, 2, 2))
        self.allowed = True

    def forward(self, latent):
        hidden = self.first(latent)
        assert self.allowed, "computed beyond the layer"
        return self.last(hidden)


def test_nothing_behind_the_layer_is_computed(tmp_path):
    torch.manual_seed(0)
    body = Halting()
    generator = wrap(body, latent_dim=4)
    body.allowed = False
    LatentCLR(**SMALL, layer="first").fit(generator, quiet(tmp_path / "stops"))
    with pytest.raises(AssertionError, match="computed beyond the layer"):
        LatentCLR(**SMALL, layer="image").fit(generator, quiet(tmp_path / "goes on"))


def test_the_papers_layers_are_the_defaults():
    class Named:
        def __init__(self, num_layers, names):
            self.num_layers, self.layer_names = num_layers, names

    assert default_layer(Named(10, ("b4.conv1", "b8.conv0"))) == "b4.conv1"
    assert default_layer(Named(1, tuple(f"blocks.{i}" for i in range(14)))) == "blocks.4"
    assert default_layer(Named(1, ("blocks.0", "blocks.1"))) == "blocks.0"
    assert default_layer(Named(1, ())) == "image"


def test_style_layers_are_learned_and_moved_alone(tmp_path):
    generator = StyleGAN2(16, latent_dim=8, channels=[8, 8, 8], mapping_layers=2)
    method = LatentCLR(**SMALL, layer="b8.conv1", first_layer=1, last_layer=3)
    learned = method.fit(generator, quiet(tmp_path / "run")).directions
    assert learned.layers == (1, 3)
    latent = generator.sample(2, torch.Generator().manual_seed(0))
    moved = learned(latent, 0, 1.0)
    assert moved.shape == (2, generator.num_layers, 8)
    changed = (moved - latent[:, None]).abs().sum(dim=(0, 2)) > 0
    assert changed.tolist() == [1 <= layer < 3 for layer in range(generator.num_layers)]
    with pytest.raises(
        ValueError, match=r"style layers 3 to 4 changes nothing at layer 'b4.conv1', which comes before"
    ):
        LatentCLR(**SMALL, layer="b4.conv1", first_layer=3, last_layer=5).fit(generator, quiet(tmp_path / "behind"))


def test_one_direction_without_effect_is_none_for_all():
    generator = Analytic.tiny()
    directions = GlobalDirections(generator.latent_dim, 3, "free")
    with torch.no_grad():
        torch.nn.init.normal_(directions.weight)[0] = 0
        check_effect(generator, directions, "image")
        directions.weight.zero_()
        with pytest.raises(ValueError, match="moving the latent changes nothing at layer 'image', so there is nothing"):
            check_effect(generator, directions, "image")


def test_a_layer_that_the_latent_does_not_reach_is_refused_in_words_of_its_own(tmp_path):
    class Beside(torch.nn.Module):
        """A picture of a latent, beside a layer that reads a constant."""

        def __init__(self):
            super().__init__()
            self.aside, self.picture = torch.nn.Linear(2, 4), torch.nn.Linear(5, 3 * 8 * 8)

        def forward(self, z):
            constant = self.aside(z.new_ones(len(z), 2)).sum(dim=1, keepdim=True)
            return torch.sigmoid(self.picture(z) + 0 * constant).view(-1, 3, 8, 8)

    torch.manual_seed(0)
    generator = wrap(Beside(), latent_dim=5, image_range=(0, 1))
    with pytest.raises(
        ValueError, match=r"changes nothing at layer 'aside'.*depends on it, of aside, picture, image"
    ) as raised:
        LatentCLR(**SMALL, layer="aside").fit(generator, quiet(tmp_path / "run"))
    assert "None" not in str(raised.value)
    LatentCLR(**SMALL, layer="picture").fit(generator, quiet(tmp_path / "run"))


def test_directions_of_one_class_move_another(tmp_path):
    torch.manual_seed(0)
    generator = BigGAN.tiny()
    weights = generator.state_dict()
    with pytest.raises(ValueError, match="is conditional: pass a class label from 0 to 4, or fix one"):
        LatentCLR(**SMALL).fit(generator, quiet(tmp_path / "open"))
    bird, teapot = (BigGAN(**{**generator.arguments(), "label": label}) for label in (1, 3))
    for one in (bird, teapot):
        one.load_state_dict(weights)
    directions = LatentCLR(**SMALL).fit(bird, quiet(tmp_path / "bird")).directions
    latent = teapot.sample(3, torch.Generator().manual_seed(0))
    edited = teapot(directions(latent, 1, 2.0))
    assert edited.shape == (3, 3, 16, 16)
    assert not torch.allclose(edited, teapot(latent))


def test_it_finds_independent_factors(tmp_path):
    """Where features are the factors themselves, edits that change alike and apart are the factors' own directions."""
    generator = Analytic("sprite", size=16)
    method = LatentCLR(
        model="global", num_directions=8, batch_size=8, truncation=1.0, normalize_features=False, steps=300,
        temperature=0.2, learning_rate=3e-2, rate_drops=(), weight_decay=0.0,
    )  # fmt: skip
    run = quiet(tmp_path / "run")
    directions = method.fit(generator, run).directions
    assert run.last_line["accuracy"] == 1.0
    assert run.last_line["across"] < 0.1
    vectors = directions.vectors()
    assert (vectors @ vectors.T - torch.eye(8)).abs().max() < 0.2


def test_presets_are_the_papers_numbers():
    biggan, style = LatentCLR.preset("biggan"), LatentCLR.preset("stylegan2")
    assert (biggan.num_directions, biggan.batch_size, biggan.truncation, biggan.steps) == (32, 16, 0.4, 300_000)
    assert (style.num_directions, style.batch_size, style.truncation, style.steps) == (100, 8, 0.7, 50_000)
    assert (biggan.learning_rate, biggan.weight_decay, biggan.model, biggan.depth) == (1e-3, 1e-3, "nonlinear", 3)
    released, paper = LatentCLR().resolved(), LatentCLR.preset("paper").resolved()
    assert (released.normalize_features, released.absolute, released.temperature) == (True, True, 2.0)
    assert (paper.normalize_features, paper.absolute, paper.reduction) == (False, False, "sum")
    assert LatentCLR(formulation="paper", absolute=True).resolved().absolute
    assert LatentCLR(absolute=False).resolved().absolute is False


def test_the_rate_drops_as_released(tmp_path):
    generator, run = Analytic("sprite", size=16), quiet(tmp_path / "run")
    method = LatentCLR(**{**SMALL, "steps": 4}, model="global", rate_drops=(2,))
    seen = []
    original = torch.optim.Adam.step

    def step(self, *arguments, **options):
        seen.append(self.param_groups[0]["lr"])
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        method.fit(generator, run)
    assert seen == pytest.approx([1e-3, 1e-3, 2e-4, 2e-4])


def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path):
    generator = Analytic("sprite", size=16)
    method = LatentCLR(**{**SMALL, "steps": 4})
    whole = method.fit(generator, quiet(tmp_path / "whole", log_every=2)).directions
    half = quiet(tmp_path / "half", log_every=2, save_every=0)
    original = LatentCLR.step_loss
    calls = []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentCLR, "step_loss", failing)
        with pytest.raises(KeyboardInterrupt):
            method.fit(generator, half)
    resumed = method.fit(generator, quiet(tmp_path / "half", log_every=2, resume=True)).directions
    assert isinstance(resumed, LatentDirections)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_directions": 1}, "at least 2 directions and 2 latents.*num_directions 1 and batch_size 16"),
        ({"batch_size": 1}, "at least 2 directions and 2 latents.*batch_size 1"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"lowest": 2.0, "highest": 1.0}, "expected lowest <= highest, not both zero, got 2.0 and 1.0"),
        ({"lowest": 0.0, "highest": 0.0}, "expected lowest <= highest, not both zero"),
        ({"depth": 0}, "depth must be a whole number of at least 1, got 0"),
        ({"rate_drops": (0, 10)}, r"each of rate_drops must be a whole number of at least 1, got 0"),
        ({"model": "lineer"}, "unknown model 'lineer'; did you mean 'linear'"),
        ({"layer": "blocks.9", "truncation": 1.0}, "unknown layer 'blocks.9'.*known: factors"),
        ({"truncation": 1.2}, r"truncation must lie in \[0, 1\], got 1.2"),
        ({"first_layer": 0, "last_layer": 2}, "layers must be .* with 0 <= first < last <= 1"),
    ],
)
def test_settings_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        LatentCLR(**settings).fit(Analytic("sprite", size=16), quiet(tmp_path / "run"))
