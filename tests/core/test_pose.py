"""Moving and turning by a latent: against matrices of the plane."""

import math

import pytest
import torch

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.directions import Directions
from contrafact.core.pose import PoseDirections


@pytest.fixture
def pose():
    rng = torch.Generator().manual_seed(0)
    return PoseDirections.of(torch.randn(4, 9, generator=rng), torch.tensor([1.0, 0.2, 0.3, -0.1]), (0, 1), 3)


def _place(pose, latent):
    """The plane's map, from places of the image to where the content is from, as a matrix ``(3, 3)``."""
    cos, sin, x, y = (latent @ pose.weight.T + pose.bias).tolist()
    length = math.hypot(cos, sin)
    cos, sin, x, y = cos / length, sin / length, x / length, y / length
    turn = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return turn @ torch.tensor([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("magnitude", [-1.5, 0.0, 4.0])
@pytest.mark.parametrize("name", ["translate_x", "translate_y", "rotate"])
def test_the_image_is_moved_and_turned_about_its_middle(pose, name, magnitude):
    latent = torch.randn(2, 9, generator=torch.Generator().manual_seed(1))
    angle = math.radians(10 * magnitude) if name == "rotate" else 0.0
    forward = torch.tensor(
        [
            [math.cos(angle), -math.sin(angle), 0.1 * magnitude * (name == "translate_x")],
            [math.sin(angle), math.cos(angle), 0.1 * magnitude * (name == "translate_y")],
            [0.0, 0.0, 1.0],
        ]
    )
    moved = pose(latent, name, magnitude)
    assert moved.shape == (2, 3, 9)
    assert torch.equal(moved[:, 1:], latent[:, None].expand(-1, 2, -1))
    for before, after in zip(latent, moved[:, 0], strict=True):
        expected = _place(pose, before) @ torch.linalg.inv(forward)
        torch.testing.assert_close(_place(pose, after), expected, atol=1e-5, rtol=1e-5)


def test_a_step_starts_where_the_layer_stands(pose):
    """Of latents per layer, the one that the layer reads."""
    layered = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(2))
    moved = pose(layered, "rotate", 1.0)
    torch.testing.assert_close(moved[:, 0], pose(layered[:, 0], "rotate", 1.0)[:, 0])
    assert torch.equal(moved[:, 1:], layered[:, 1:])
    every = pose.every(layered, torch.ones(3))
    torch.testing.assert_close(every[4:], moved)


def test_gradients_reach_latent_and_magnitude(pose):
    latent = torch.randn(3, 9, requires_grad=True)
    magnitude = torch.ones(3, requires_grad=True)
    pose(latent, torch.arange(3), magnitude).square().sum().backward()
    assert (latent.grad.norm(dim=1) > 0).all()
    assert (magnitude.grad.abs() > 0).all()


def test_a_file_keeps_them(pose, tmp_path):
    pose.rename("rotate", "tilt")
    save_artefact(pose, tmp_path / "pose.safetensors")
    again = load_artefact(tmp_path / "pose.safetensors", Directions)
    latent = torch.randn(2, 9)
    assert again.names == ["translate_x", "translate_y", "tilt"]
    assert torch.equal(again(latent, "tilt", 1.0), pose(latent, "tilt", 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoseDirections.of(torch.zeros(4, 9), torch.ones(4)), r"does not move or turn the image freely"),
        (lambda: PoseDirections.of(torch.randn(4, 3), torch.ones(4)), r"does not move or turn the image freely"),
        (lambda: PoseDirections.of(torch.randn(3, 9), torch.ones(4)), r"expected a weight \(4, L\) and a bias"),
        (lambda: PoseDirections(9, translation=0.0), "translation must be positive and finite, got 0"),
        (lambda: PoseDirections(9, rotation=math.inf), "rotation must be positive and finite, got inf"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
