"""Sliders of a whitened space: steps, turns, positions, files."""

import math

import pytest
import torch

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.direction_files import choose
from contrafact.core.directions import Directions
from contrafact.core.whitened_directions import WhitenedDirections


@pytest.fixture
def sliders() -> WhitenedDirections:
    rng = torch.Generator().manual_seed(0)
    axes, center = torch.randn(4, 6, generator=rng), torch.randn(6, generator=rng)
    return WhitenedDirections.of(axes, center=center, groups=[[1], [3, 0], [2]])


def test_a_step_of_one_is_one_unit_of_its_coordinate_and_of_no_other(sliders):
    latent = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    before, after = sliders.coordinates(latent), sliders.coordinates(sliders(latent, "direction 2", 1.5))
    torch.testing.assert_close(after - before, torch.tensor([0.0, 0.0, 1.5, 0.0]).expand(5, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [-2.0, 0.3, math.pi])
def test_a_circle_turns_its_plane_and_leaves_the_rest(sliders, angle):
    latent = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    before, after = sliders.coordinates(latent), sliders.coordinates(sliders(latent, "circle 1", angle))
    plane = torch.complex(before[:, 3], before[:, 0]) * torch.exp(torch.tensor(1j * angle))
    torch.testing.assert_close(torch.complex(after[:, 3], after[:, 0]), plane, atol=1e-5, rtol=0)
    torch.testing.assert_close(after[:, [1, 2]], before[:, [1, 2]], atol=1e-5, rtol=0)
    turned = sliders.positions(sliders(latent, 1, angle))[:, 1] - sliders.positions(latent)[:, 1] - angle
    torch.testing.assert_close(turned.cos(), torch.ones(5))


def test_a_whole_turn_comes_back(sliders):
    latent = torch.randn(5, 6)
    torch.testing.assert_close(sliders(latent, 1, 2 * math.pi), latent, atol=1e-5, rtol=0)


def test_several_sliders_at_once_are_those_alone(sliders):
    latent = torch.randn(3, 6)
    index, magnitude = torch.tensor([2, 1, 0]), torch.tensor([0.5, 1.0, -2.0])
    alone = [sliders(latent[n : n + 1], int(index[n]), float(magnitude[n])) for n in range(3)]
    torch.testing.assert_close(sliders(latent, index, magnitude), torch.cat(alone))


def test_layers_move_alone():
    axes = WhitenedDirections.of(torch.eye(2), groups=[[0, 1]], layers=(1, 2), num_layers=3)
    moved = axes(torch.tensor([[1.0, 0.0]]), 0, math.pi / 2)
    torch.testing.assert_close(moved, torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]), atol=1e-6, rtol=0)


def test_gradients_reach_latent_and_magnitude(sliders):
    latent, magnitude = torch.randn(3, 6, requires_grad=True), torch.ones(3, requires_grad=True)
    sliders(latent, torch.arange(3), magnitude).square().sum().backward()
    assert (magnitude.grad.abs() > 0).all()
    assert (latent.grad.norm(dim=1) > 0).all()


def test_a_file_keeps_groups_and_names_and_some_can_be_chosen(sliders, tmp_path):
    sliders.rename("circle 1", "wall hue")
    save_artefact(sliders, tmp_path / "sliders.safetensors")
    again = load_artefact(tmp_path / "sliders.safetensors", Directions)
    latent = torch.randn(2, 6)
    assert again.names == ["direction 0", "wall hue", "direction 2"]
    assert torch.equal(again(latent, "wall hue", 1.0), sliders(latent, "wall hue", 1.0))
    one = choose(again, ["wall hue"])
    save_artefact(one, tmp_path / "one.safetensors")
    hue = load_artefact(tmp_path / "one.safetensors", Directions)
    assert torch.equal(hue(latent, 0, 1.0), sliders(latent, 1, 1.0))


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[0], [0]], [[1]], [], [[0], []]])
def test_groups_that_will_not_do(groups):
    with pytest.raises(ValueError, match="groups must hold every vector from 0 once, one or two to a group"):
        WhitenedDirections(3, groups)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected axes of shape \(V, L\), got \(3,\)"):
        WhitenedDirections.of(torch.ones(3))
    with pytest.raises(ValueError, match=r"axes and dual of shape \(1, 3\).*got \(2, 3\)"):
        WhitenedDirections.of(torch.eye(3)[:2], groups=[[0]])
