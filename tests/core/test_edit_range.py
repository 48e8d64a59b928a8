"""Edits of a part of the latent: the rest stays as it is, in every kind of directions and in every method."""

import pytest
import torch
from torch import Tensor, nn

import contrafact as cf
from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.direction_files import check_fit, choose
from contrafact.core.directions import CurvedDirections, Directions, GlobalDirections, LayeredDirections
from contrafact.core.generator import Generator
from contrafact.methods import CATALOG
from contrafact.methods.latentclr import LatentDirections
from contrafact.report.figures import latent_axes

KEPT, MOVED, LAYERS = 3, 4, 2
COLUMNS = (KEPT, KEPT + MOVED)


class Lamp(Generator):
    """What stays in an edit, beside what moves; with ``added`` the latter is added to a layer, and 0 in each sample."""

    layer_names = ("glow", "shade")

    def __init__(self, layers: int = 1, added: bool = False) -> None:
        super().__init__()
        self.prior_dim = KEPT if added else KEPT + MOVED
        self.latent_dim, self.edit_range, self.num_layers = KEPT + MOVED, COLUMNS, layers
        self.image_shape, self.space, self.added = (3, 8, 8), "h", added
        self.edit_layer = "glow" if added else None
        torch.manual_seed(0)
        self.from_kept, self.out = nn.Linear(KEPT, MOVED), nn.Linear(MOVED, 192)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        return torch.nn.functional.pad(super().map(z, label, truncation), (0, self.latent_dim - self.prior_dim))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        self.check_layer(layer)
        latent = self.check_latent(latent)
        latent = latent if latent.ndim == 3 else latent[:, None]
        kept, moved = latent[:, 0].split([KEPT, MOVED], dim=1)
        glow = torch.tanh(self.from_kept(kept)) * torch.tensor([4.0, 3.0, 2.0, 1.0])
        if layer == "glow":
            return glow
        return torch.tanh(glow + moved / 2 + latent[:, -1, KEPT:] / 2)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.out(self.features(latent, "shade"))).unflatten(1, self.image_shape)

    def latent_scale(self, samples: int = 4096) -> float:
        return 1.0 if self.added else super().latent_scale(samples)


def every_kind(num_layers: int = 1, layers: tuple[int, int] | None = None) -> list[Directions]:
    common = {"num_layers": num_layers, "layers": layers, "columns": COLUMNS}
    vectors = torch.randn(3, MOVED, generator=torch.Generator().manual_seed(1))
    return [
        GlobalDirections.of(vectors, 2.0, **common),
        CurvedDirections(MOVED, 3, scale=2.0, **common),
        LatentDirections(MOVED, 3, scale=2.0, **common),
    ]


@pytest.mark.parametrize("number", range(3))
def test_only_the_columns_move(number):
    directions, latent = every_kind()[number], torch.randn(5, KEPT + MOVED)
    index, magnitude = torch.tensor([0, 1, 2, 1, 0]), torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    moved = directions(latent, index, magnitude)
    assert torch.equal(moved[:, :KEPT], latent[:, :KEPT])
    length = (moved - latent).norm(dim=1)
    assert torch.allclose(length, 2.0 * magnitude.abs(), atol=1e-5)
    expected = directions.shift(latent[:, KEPT:], index, magnitude)  # of the columns alone: the old contract
    assert torch.allclose(moved[:, KEPT:] - latent[:, KEPT:], 2.0 * expected, atol=1e-6)
    every = directions.every(latent, torch.tensor([1.0, -1.0, 2.0])).unflatten(0, (3, 5))
    for d, step in enumerate((1.0, -1.0, 2.0)):
        assert torch.allclose(every[d], directions(latent, d, step), atol=1e-6)


@pytest.mark.parametrize("number", range(3))
def test_columns_and_layers_together(number):
    directions, latent = every_kind(LAYERS, (1, 2))[number], torch.randn(4, LAYERS, KEPT + MOVED)
    moved = directions(latent, 1, 1.5)
    assert torch.equal(moved[:, 0], latent[:, 0])
    assert torch.equal(moved[:, 1, :KEPT], latent[:, 1, :KEPT])
    assert torch.allclose((moved - latent)[:, 1, KEPT:].norm(dim=1), torch.full((4,), 3.0), atol=1e-5)
    spread = directions(latent[:, 1], 1, 1.5)
    assert torch.allclose(spread[:, 1], moved[:, 1], atol=1e-6)
    assert torch.equal(spread[:, 0], latent[:, 1])


def test_a_vector_for_each_layer_of_some_columns():
    vectors = torch.randn(2, LAYERS, MOVED)
    directions, latent = LayeredDirections.of(vectors, columns=COLUMNS), torch.randn(3, KEPT + MOVED)
    moved = directions(latent, 1, -2.0)
    assert torch.equal(moved[:, 0, :KEPT], latent[:, :KEPT])
    assert torch.allclose(moved[:, :, KEPT:] - latent[:, None, KEPT:], -2.0 * vectors[1].expand(3, -1, -1), atol=1e-5)


@pytest.mark.parametrize("number", range(3))
def test_files_keep_the_columns(number, tmp_path):
    directions, latent = every_kind()[number], torch.randn(2, KEPT + MOVED)
    for each in (directions, choose(directions, [2, 0])):
        save_artefact(each, tmp_path / "directions.safetensors")
        again = load_artefact(tmp_path / "directions.safetensors", Directions)
        assert again.columns == COLUMNS
        assert torch.allclose(again(latent, 0, 1.0), each(latent, 0, 1.0), atol=1e-6)


def test_files_without_columns_are_as_they_were():
    assert "columns" not in GlobalDirections.of(torch.eye(2)).arguments()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"columns must be \(first, last\).*last 4 more.*got \(3, 6\)"):
        GlobalDirections(MOVED, 1, columns=(3, 6))
    directions = every_kind()[0]
    with pytest.raises(ValueError, match=r"live in 4 latent dimensions, columns 3 to 6; got latents of shape \(1, 6\)"):
        directions(torch.zeros(1, 6), 0)
    with pytest.raises(ValueError, match="live in 2 latent dimensions but the generator has 4"):
        check_fit(GlobalDirections.of(torch.eye(2)), Lamp())
    whole = GlobalDirections.of(torch.eye(4))
    with pytest.raises(ValueError, match="move the whole latent, the generator is edited in its columns 3 to 6"):
        check_fit(whole, Lamp())
    with pytest.raises(ValueError, match="joint_diagonal whitens whole latents, and this Lamp is edited in a part"):
        cf.methods.JointDiagonal().fit(Lamp(), "runs/refused")
    with pytest.raises(ValueError, match="Lamp is edited in h, which is the same for all of its samples"):
        cf.methods.GANSpace(layer="shade", num_samples=20, num_directions=2).fit(Lamp(added=True), "runs/refused")


def test_an_encoder_of_whole_latents_is_refused(tmp_path):
    from contrafact.editing.encoder import fit_latent_encoder
    from contrafact.evaluation.regression import RegressionSettings

    with pytest.raises(ValueError, match="this Lamp is edited in a part of it"):
        fit_latent_encoder(Lamp(), tmp_path / "encoder", RegressionSettings(steps=1))


METHODS = [
    cf.methods.Random(num_directions=2),
    cf.methods.Random(num_directions=2, constraint="orthonormal"),
    cf.methods.GANSpace(num_directions=2, num_samples=200, batch_size=50),
    cf.methods.DeepSpectral(num_directions=2, num_latents=8, steps=2, layer="shade"),
    cf.methods.LatentCLR.preset("quick", num_directions=2, steps=2, batch_size=4, layer="shade"),
    cf.methods.LatentCLR(num_directions=2, steps=2, batch_size=4, layer="shade", truncation=1.0),
    cf.methods.LatentDiscovery.preset("quick", num_directions=2, steps=2, batch_size=4),
    cf.methods.DisCo.preset("quick", steps=2),
]


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name()}")
def test_methods_find_directions_of_the_columns(method, added, tmp_path):
    lamp = Lamp(added=added)
    run = method.fit(lamp, tmp_path / "run")
    directions = run.directions
    assert directions.columns == lamp.edit_columns == COLUMNS
    assert directions.latent_dim == lamp.edit_dim == MOVED
    latent = lamp.sample(2, seed=0)
    moved = directions(latent, 1, 2.0)
    assert torch.equal(moved[:, :KEPT], latent[:, :KEPT])
    assert not torch.allclose(lamp(moved), lamp(latent), atol=1e-4)
    assert cf.load_run(run.folder, lamp).directions.columns == COLUMNS


def test_ganspace_takes_the_components_of_what_edits_are_added_to(tmp_path):
    lamp = Lamp(added=True)
    run = cf.methods.GANSpace(num_directions=2, num_samples=3000).fit(lamp, tmp_path / "run")
    glow = lamp.features(lamp.sample(3000, seed=5), "glow").double()
    values, vectors = torch.linalg.eigh(torch.cov(glow.T))
    found = run.directions.vectors().double()
    for d in range(2):  # a step of 1 is one standard deviation along the component
        assert float(found[d].norm()) == pytest.approx(float(values[-1 - d].sqrt()), rel=0.05)
        cosine = found[d] @ vectors[:, -1 - d] / found[d].norm()
        assert abs(float(cosine)) > 0.99
    assert run.directions.note["analysed"] == "h"


def test_ganspace_over_a_large_layer_by_power_iteration(tmp_path, monkeypatch):
    module = CATALOG.module("ganspace")
    monkeypatch.setattr(module, "EXACT_FEATURES", 3)
    monkeypatch.setattr(module, "_EXTRA_COLUMNS", 2)
    lamp = Lamp(added=True)
    few = cf.methods.GANSpace(num_directions=2, num_samples=2000, passes=6).fit(lamp, tmp_path / "power")
    monkeypatch.undo()
    exact = cf.methods.GANSpace(num_directions=2, num_samples=2000).fit(lamp, tmp_path / "exact")
    assert torch.allclose(few.directions.vectors(), exact.directions.vectors(), atol=1e-4)


def test_interfacegan_separates_activations_where_latents_are_all_the_same(tmp_path):
    lamp = Lamp(added=True)
    file = tmp_path / "judge.py"
    file.write_text("def bright(images):\n    return images.mean(dim=(1, 2, 3))\n\nbright.names = ['bright']\n")
    method = cf.methods.InterFaceGAN(predictor=f"{file}:bright", num_latents=600, chosen=0.2)
    directions = method.fit(lamp, tmp_path / "run").directions
    latent = lamp.sample(16, seed=1)
    brighter, darker = lamp(directions(latent, 0, 2.0)).mean(), lamp(directions(latent, 0, -2.0)).mean()
    assert directions.columns == COLUMNS
    assert brighter > lamp(latent).mean() > darker


def test_axes_of_a_generator_alone_are_of_the_columns():
    axes = latent_axes(Lamp())
    assert axes.num_directions == MOVED
    assert axes.columns == COLUMNS


def test_walks_are_the_generators_own():
    lamp = Lamp()
    first, last = lamp.sample(2, seed=0).split(1)
    assert torch.allclose(lamp.latent_between(first, last, 0.25), 0.75 * first + 0.25 * last, atol=1e-6)


def test_regression_reads_coordinates_along_what_edits_are_added_to(tmp_path):
    from contrafact.core.run import Run
    from contrafact.evaluation.regression import RegressionSettings, regress_encoder

    lamp = Lamp(added=True).freeze()
    axes = GlobalDirections.of(torch.eye(MOVED), columns=COLUMNS)
    run = Run(tmp_path / "run")
    run.start({"method": "test"})
    settings = RegressionSettings(steps=250, batch_size=64, width=0.1, num_directions=MOVED)
    encoder = regress_encoder(lamp, axes, run, settings)
    latent = lamp.sample(200, seed=3)
    codes, glow = encoder(lamp(latent))[:, 0], lamp.features(latent, "glow")[:, 0]
    assert float(torch.corrcoef(torch.stack([codes, glow]))[0, 1]) > 0.9
