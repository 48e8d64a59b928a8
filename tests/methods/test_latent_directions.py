import pytest
import torch
import torch.nn.functional as F

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.direction_files import choose
from contrafact.core.directions import CurvedDirections, Directions, GlobalDirections
from contrafact.methods.latentclr import LatentDirections


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _made(**settings) -> LatentDirections:
    torch.manual_seed(0)
    return LatentDirections(6, 4, hidden_dim=16, scale=2.0, **settings)


KINDS = {"linear": {"depth": 1}, "two": {"depth": 2}, "three": {}, "normed": {"batch_norm": True}}


@pytest.fixture(params=list(KINDS))
def directions(request):
    made = _made(**KINDS[request.param])
    if made.batch_norm:  # statistics that are not 0 and 1, as after training
        made.train().every(torch.randn(9, 6, generator=_rng(5)), torch.ones(4))
    return made.eval()


def one_network(directions: LatentDirections, d: int, latent: torch.Tensor) -> torch.Tensor:
    """Direction d's network on its own, layer by layer, in evaluation mode; the plain form of the class."""
    hidden = latent / directions.scale
    for layer, weight in enumerate(directions.weights_DIO):
        hidden = hidden @ weight[d]
        if layer < directions.depth - 1:
            hidden = hidden + directions.biases_D1O[layer][d, 0]
            if directions.batch_norm:
                norm, part = directions.norms[layer], slice(16 * d, 16 * d + 16)
                stored = (norm.running_mean[part], norm.running_var[part], norm.weight[part], norm.bias[part])
                hidden = F.batch_norm(hidden, *stored)
            hidden = hidden.relu()
    return hidden / hidden.norm(dim=1, keepdim=True)


def test_each_row_goes_through_its_own_network(directions):
    latent, magnitude = torch.randn(7, 6, generator=_rng(1)), torch.linspace(-2, 3, 7)
    for index in (torch.tensor([3, 0, 0, 2, 3, 3, 0]), torch.arange(7) % 4, torch.full((7,), 2)):
        moved = directions(latent, index, magnitude)
        for i in range(7):
            unit = one_network(directions, int(index[i]), latent[i : i + 1])[0]
            torch.testing.assert_close(moved[i], latent[i] + 2.0 * magnitude[i] * unit, atol=1e-5, rtol=1e-5)


def test_a_step_has_the_length_of_its_magnitude(directions):
    latent, magnitude = torch.randn(5, 6, generator=_rng(2)), torch.linspace(-3, 3, 5)
    moved = directions(latent, 1, magnitude) - latent
    torch.testing.assert_close(moved.norm(dim=1), 2.0 * magnitude.abs(), atol=1e-5, rtol=1e-5)
    assert torch.equal(directions(latent, 2, 0.0), latent)


def test_every_edit_is_the_edits_one_by_one(directions):
    latent, magnitude = torch.randn(3, 6, generator=_rng(3)), torch.tensor([0.5, -1.0, 2.0, 3.0])
    together = directions.every(latent, magnitude)
    apart = torch.cat([directions(latent, d, magnitude[d]) for d in range(4)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [GlobalDirections.random(6, 4, _rng(), scale=2.0), CurvedDirections(6, 4, 8)])
def test_every_edit_of_other_directions_and_layers(kind):
    latent, magnitude = torch.randn(3, 6, generator=_rng(3)), torch.tensor([0.5, -1.0, 2.0, 3.0])
    apart = torch.cat([kind(latent, d, magnitude[d]) for d in range(4)])
    torch.testing.assert_close(kind.every(latent, magnitude), apart)
    layered = type(kind)(**{**kind.arguments(), "layers": (1, 3), "num_layers": 4})
    layered.load_state_dict(kind.state_dict())
    moved = layered.every(latent, magnitude)
    assert moved.shape == (12, 4, 6)
    torch.testing.assert_close(moved[:, 1], apart)
    torch.testing.assert_close(moved[:, 0], latent.repeat(4, 1))
    torch.testing.assert_close(layered.every(latent[:, None].expand(-1, 4, -1), magnitude), moved)


def test_training_normalises_over_the_latents_of_one_direction():
    directions = _made(batch_norm=True, depth=2).train()
    latent = torch.randn(8, 6, generator=_rng(4))
    shift = directions.shift_every(latent, torch.ones(4))
    for d in range(4):
        hidden = latent / 2.0 @ directions.weights_DIO[0][d] + directions.biases_D1O[0][d]
        normed = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
        raw = normed.relu() @ directions.weights_DIO[1][d]
        torch.testing.assert_close(shift[d], raw / raw.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-5)
    assert not torch.equal(directions.norms[0].running_mean, torch.zeros(64))


def test_linear_directions_do_not_depend_on_the_latents_length():
    directions = _made(depth=1)
    latent = torch.randn(4, 6, generator=_rng(5))
    near, far = (directions(s * latent, 1, 1.0) - s * latent for s in (1.0, 7.0))
    torch.testing.assert_close(near, far, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(directions(-latent, 1, 1.0) + latent, -near, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter(directions):
    target = torch.randn(12, 6, generator=_rng(6))
    directions.requires_grad_(True)
    (directions.every(torch.randn(3, 6, generator=_rng(7)), torch.ones(4)) * target).sum().backward()
    for name, parameter in directions.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_files_give_the_same_shifts(directions, tmp_path):
    path = tmp_path / "directions.safetensors"
    save_artefact(directions, path)
    latent = torch.randn(4, 6)
    read = load_artefact(path, Directions)
    assert isinstance(read, LatentDirections)
    assert torch.equal(read(latent, torch.arange(4), 1.0), directions(latent, torch.arange(4), 1.0))


def test_some_of_them_are_directions_of_their_own(directions, tmp_path):
    few = choose(directions, [3, "direction 1"])
    latent = torch.randn(4, 6)
    torch.testing.assert_close(
        few(latent, torch.tensor([0, 1, 1, 0]), 1.0), directions(latent, torch.tensor([3, 1, 1, 3]), 1.0)
    )
    save_artefact(few, tmp_path / "few.safetensors")
    assert torch.equal(load_artefact(tmp_path / "few.safetensors", Directions)(latent, 1, 2.0), few(latent, 1, 2.0))


def test_no_latents_are_no_trouble():
    assert _made()(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long), torch.zeros(0)).shape == (0, 6)


@pytest.mark.parametrize("name", ["depth", "hidden_dim"])
def test_sizes_must_be_counts(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got 0"):
        LatentDirections(6, 4, **{name: 0})
