import dataclasses
import math

import pytest
import torch

from contrafact.core.directions import CurvedDirections, GlobalDirections
from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods.latent_discovery import LatentDiscovery, LeNet, reconstruction_loss
from contrafact.nn.resnet import ResNetEncoder

SMALL = {"batch_size": 6, "steps": 3, "reconstructor": "lenet", "lenet_width": 0.3}


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=16)


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


def test_the_loss_is_its_sum_over_the_batch():
    torch.manual_seed(0)
    guess, index, magnitude = (
        torch.randn(5, 4),
        torch.tensor([0, 2, 1, 1, 0]),
        torch.tensor([1.0, -3.0, 0.5, 6.0, -0.5]),
    )
    loss, scalars = reconstruction_loss(guess, index, magnitude, shift_weight=0.25)
    total, right = 0.0, 0
    for row, d, e in zip(guess.tolist(), index.tolist(), magnitude.tolist(), strict=True):
        total += math.log(sum(math.exp(v) for v in row[:3])) - row[d] + 0.25 * abs(row[3] - e)
        right += row[:3].index(max(row[:3])) == d
    assert loss.item() == pytest.approx(total / 5, abs=1e-5)
    assert scalars["accuracy"].item() == pytest.approx(right / 5)


def test_a_perfect_reconstructor_loses_nothing():
    index, magnitude = torch.tensor([0, 1, 2]), torch.tensor([1.0, -2.0, 0.5])
    guess = torch.cat([100.0 * torch.eye(3), magnitude[:, None]], dim=1)
    assert reconstruction_loss(guess, index, magnitude)[0].item() == pytest.approx(0.0, abs=1e-6)


def test_the_reconstructors_are_the_released_ones_size():
    """Numbers of weights of its LeNetShiftPredictor, and of a ResNet-18 with six channels and two heads."""
    assert sum(p.numel() for p in LeNet(6, 7).parameters()) == 73_070
    assert sum(p.numel() for p in LeNet(2, 128).parameters()) == 82_755
    resnet = ResNetEncoder((6, 64, 64), 8, 18, "imagenet")
    backbone, heads = 11_176_512 + 3 * 64 * 49, (512 + 1) * (7 + 1)
    assert sum(p.numel() for p in resnet.parameters()) == backbone + heads


def test_magnitudes_keep_their_distance_from_zero_on_both_sides():
    method, rng = LatentDiscovery(batch_size=4000), torch.Generator().manual_seed(0)
    index, magnitude = method.draw_edits(5, rng)
    assert index.unique().tolist() == [0, 1, 2, 3, 4]
    assert 0.5 <= magnitude.abs().min() < 0.51
    assert 5.9 < magnitude.abs().max() <= 6.0
    assert (magnitude == 0.5).float().mean() == pytest.approx(1 / 24, abs=0.012)
    assert (magnitude == -0.5).float().mean() == pytest.approx(1 / 24, abs=0.012)
    _, normal = LatentDiscovery(batch_size=4000, shift="normal").draw_edits(5, rng)
    assert normal.std() == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize(
    ("deformator", "kind"),
    [
        ("fc", CurvedDirections),
        *((name, GlobalDirections) for name in ("linear", "orthonormal", "projection", "random")),
    ],
)
def test_each_deformator_learns_what_it_may(deformator, kind, generator, tmp_path):
    method = LatentDiscovery(**SMALL, deformator=deformator, deformator_learning_rate=0.05)
    before = {k: v.clone() for k, v in method.build_directions(generator, quiet(tmp_path / "x")).state_dict().items()}
    learned = method.fit(generator, quiet(tmp_path / "run")).directions
    assert type(learned) is kind
    assert learned.num_directions == generator.latent_dim
    changed = any(not torch.equal(before[name], value) for name, value in learned.state_dict().items())
    assert changed == (deformator != "random")
    if deformator in ("orthonormal", "random"):
        vectors = learned.vectors()
        torch.testing.assert_close(vectors @ vectors.T, torch.eye(8), atol=1e-5, rtol=0)
    read = load_run(tmp_path / "run").directions
    latent = torch.randn(8, 8)
    assert torch.equal(read(latent, torch.arange(8), 2.0), learned(latent, torch.arange(8), 2.0))


@pytest.mark.parametrize("deformator", ["fc", "linear", "projection"])
def test_more_directions_than_dimensions_all_move(deformator, generator, tmp_path):
    method = LatentDiscovery(**SMALL, deformator=deformator, num_directions=13)
    directions = method.build_directions(generator, quiet(tmp_path))
    shift = directions.shift(torch.zeros(13, 8), torch.arange(13), torch.ones(13))
    assert (shift.norm(dim=1) > 0.1).all()
    unit = shift / shift.norm(dim=1, keepdim=True)
    assert ((unit @ unit.T).abs() - torch.eye(13)).max() < 0.999


@pytest.mark.parametrize("deformator", ["orthonormal", "random"])
def test_more_orthonormal_directions_than_dimensions_are_refused(deformator, generator, tmp_path):
    with pytest.raises(ValueError, match="13 orthonormal directions do not fit in 8 dimensions; ask for at most 8"):
        LatentDiscovery(**SMALL, deformator=deformator, num_directions=13).fit(generator, quiet(tmp_path / "run"))


def test_a_step_sees_the_images_before_and_after(generator, tmp_path):
    run = quiet(tmp_path)
    method = LatentDiscovery(**SMALL, num_directions=3)
    directions, rng = method.build_directions(generator, run), torch.Generator().manual_seed(0)
    start, seen = rng.get_state(), []

    class Reconstructor(torch.nn.Module):
        def forward(self, pairs):
            seen.append(pairs)
            return torch.zeros(len(pairs), 4)

    loss, scalars = method.step_loss(generator, directions, Reconstructor(), rng, run)
    rng.set_state(start)
    index, magnitude = method.draw_edits(3, rng)
    latent = generator.sample(6, rng)
    torch.testing.assert_close(seen[0][:, :3], 2 * generator(latent) - 1)
    torch.testing.assert_close(seen[0][:, 3:], 2 * generator(directions(latent, index, magnitude)) - 1)
    assert loss.item() == pytest.approx(math.log(3) + 0.25 * magnitude.abs().mean().item(), abs=1e-5)
    assert scalars["shift_error"].item() == pytest.approx(magnitude.abs().mean().item(), abs=1e-5)


def test_gradients_reach_the_directions(generator, tmp_path):
    run = quiet(tmp_path)
    method = LatentDiscovery(**SMALL, num_directions=4)
    directions = method.build_directions(generator, run)
    method.step_loss(generator, directions, LeNet(6, 4, 0.3), torch.Generator().manual_seed(0), run)[0].backward()
    assert torch.isfinite(directions.weight.grad).all()
    assert directions.weight.grad.abs().sum() > 0


def test_the_reconstructor_learns_to_tell_directions_apart(generator, tmp_path):
    run = quiet(tmp_path / "run")
    method = LatentDiscovery(
        num_directions=4, batch_size=32, steps=120, reconstructor="lenet", learning_rate=3e-3,
        deformator_learning_rate=1e-2,
    )  # fmt: skip
    learned = method.fit(generator, run)
    assert run.last_line["accuracy"] > 0.6, "chance is a quarter"
    assert learned.directions.note["accuracy"] == round(run.last_line["accuracy"], 4)


def test_style_layers_are_moved_alone(tmp_path):
    generator = StyleGAN2(16, latent_dim=8, channels=[8, 8, 8], mapping_layers=2)
    method = LatentDiscovery(**SMALL, num_directions=2, first_layer=2)
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    assert directions.layers == (2, generator.num_layers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_shift": 7.0}, "expected min_shift <= max_shift, got 7.0 and 6.0"),
        ({"max_shift": 0.0, "min_shift": 0.0}, "max_shift must be above 0, got 0.0"),
        ({"batch_size": 1}, "batch_size must be at least 2: the reconstructor normalises over the batch"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"num_directions": -1}, "num_directions must be a whole number of at least 0, got -1"),
        ({"lenet_width": 0.0}, "lenet_width must be above 0, got 0.0"),
        ({"deformator": "ortho"}, "unknown deformator 'ortho'; did you mean 'orthonormal'"),
        ({"truncation": -0.1}, r"truncation must lie in \[0, 1\], got -0.1"),
    ],
)
def test_settings_that_cannot_be(settings, message, generator, tmp_path):
    with pytest.raises(ValueError, match=message):
        LatentDiscovery(**{**SMALL, **settings}).fit(generator, quiet(tmp_path / "run"))


def test_a_few_images_at_a_time_have_the_same_gradients(generator, tmp_path):
    method = LatentDiscovery(reconstructor="lenet", batch_size=5)
    directions = method.build_directions(generator, quiet(tmp_path))
    torch.manual_seed(0)
    reconstructor = LeNet(2 * generator.image_shape[0], directions.num_directions)

    def gradients(size):
        few = dataclasses.replace(method, images_at_once=size)
        loss, _ = few.step_loss(generator, directions, reconstructor, torch.Generator().manual_seed(1), quiet(tmp_path))
        parameters = [*reconstructor.parameters(), *directions.parameters()]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    expected = gradients(0)
    assert (gradients(2) - expected).norm() < 1e-4 * expected.norm()  # sums in another order, in float32


def test_a_step_that_does_not_fit_is_refused(generator, tmp_path, monkeypatch):
    monkeypatch.setattr("contrafact.training.step_memory.free_bytes", lambda device: 1000)
    with pytest.raises(ValueError, match=r"a step keeps about .* set images_at_once to 1 or a few, or a smaller batch"):
        LatentDiscovery(reconstructor="lenet", steps=1).fit(generator, quiet(tmp_path))
