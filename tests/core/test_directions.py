import pytest
import torch

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.direction_files import check_fit, choose
from contrafact.core.directions import CurvedDirections, Directions, GlobalDirections, LayeredDirections
from contrafact.generators.stylegan2 import StyleGAN2


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _all_kinds() -> list[Directions]:
    torch.manual_seed(0)
    kinds = [GlobalDirections.random(6, 4, _rng(), constraint, scale=2.0) for constraint in ("unit", "orthonormal")]
    return [*kinds, GlobalDirections.random(6, 4, _rng(), "free", scale=2.0), CurvedDirections(6, 4, 8, scale=2.0)]


@pytest.fixture(params=_all_kinds(), ids=["unit", "orthonormal", "free", "curved"])
def directions(request):
    return request.param


def test_a_batch_equals_its_rows(directions):
    latent, index = torch.randn(5, 6, generator=_rng(1)), torch.tensor([0, 3, 1, 1, 2])
    magnitude = torch.tensor([0.5, -2.0, 1.0, 3.0, -0.1])
    together = directions(latent, index, magnitude)
    for i in range(5):
        alone = directions(latent[i : i + 1], index[i : i + 1], magnitude[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_a_magnitude_is_a_distance_in_units_of_scale(directions):
    latent, magnitude = torch.randn(7, 6, generator=_rng(2)), torch.linspace(-3, 3, 7)
    moved = directions(latent, 1, magnitude) - latent
    assert torch.allclose(moved.norm(dim=1), 2.0 * magnitude.abs(), atol=1e-5)
    assert torch.equal(directions(latent, 2, 0.0), latent)


def test_one_index_and_one_magnitude_serve_all_rows(directions):
    latent = torch.randn(3, 6)
    expected = directions(latent, torch.full((3,), 2), torch.full((3,), 1.5))
    assert torch.equal(directions(latent, 2, 1.5), expected)
    assert torch.equal(directions(latent, torch.tensor(2), torch.tensor(1.5)), expected)


def test_layered_latents_move_in_every_layer(directions):
    latent = torch.randn(2, 3, 6)
    moved = directions(latent, 0, 1.0) - latent
    assert torch.allclose(moved[:, 0], moved[:, 2], atol=1e-6)
    assert torch.allclose(moved.norm(dim=2), torch.full((2, 3), 2.0), atol=1e-5)


def test_gradients_reach_the_parameters(directions):
    directions(torch.randn(4, 6), torch.arange(4), torch.ones(4)).square().sum().backward()
    for parameter in directions.parameters():
        assert torch.isfinite(parameter.grad).all()
        parameter.grad = None


def test_files_give_the_same_shifts(directions, tmp_path):
    path = tmp_path / "directions.safetensors"
    save_artefact(directions, path)
    latent, index = torch.randn(4, 6), torch.arange(4)
    assert torch.equal(load_artefact(path, Directions)(latent, index, 1.0), directions(latent, index, 1.0))


def test_unit_vectors_keep_their_direction_whatever_the_weights_length():
    directions = GlobalDirections.random(5, 3, _rng())
    before = directions.vectors().detach().clone()
    with torch.no_grad():
        directions.weight.mul_(torch.tensor([[3.0], [0.1], [7.0]]))
    assert torch.allclose(directions.vectors(), before, atol=1e-6)


def test_free_vectors_are_used_as_they_are():
    directions = GlobalDirections(2, 1, "free")
    with torch.no_grad():
        directions.weight.copy_(torch.tensor([[3.0, 4.0]]))
    assert torch.equal(directions(torch.zeros(1, 2), 0, 2.0), torch.tensor([[6.0, 8.0]]))


def test_orthonormal_vectors_are_gram_schmidt_of_the_weights():
    directions = GlobalDirections.random(6, 4, _rng(3), "orthonormal")
    vectors = directions.vectors().detach()
    assert torch.allclose(vectors @ vectors.T, torch.eye(4), atol=1e-5)
    basis: list[torch.Tensor] = []
    for row in directions.weight.detach():
        rest = row - sum((b * (b @ row) for b in basis), torch.zeros(6))
        basis.append(rest / rest.norm())
    assert torch.allclose(vectors, torch.stack(basis), atol=1e-5)


def test_more_orthonormal_directions_than_dimensions():
    with pytest.raises(ValueError, match="5 orthonormal directions do not fit in 4 dimensions; ask for at most 4"):
        GlobalDirections(4, 5, "orthonormal")


def test_directions_of_given_vectors():
    directions = GlobalDirections.of(torch.tensor([[3.0, 4.0], [0.0, -2.0]]), names=["smile", "age"])
    assert torch.allclose(directions.vectors(), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert directions.index("age") == 1
    for wrong in (torch.zeros(1, 2), torch.ones(3)):
        with pytest.raises(ValueError, match=r"expected non-zero vectors of shape \(D, L\)"):
            GlobalDirections.of(wrong)


def test_random_directions_follow_the_seed_and_point_everywhere():
    one, same, other = (GlobalDirections.random(3, 2000, _rng(s)).vectors() for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.mean(dim=0).abs().max() < 0.06


def test_curved_paths_bend_and_start_at_the_latent():
    torch.manual_seed(1)
    directions = CurvedDirections(6, 3, 16)
    latent = torch.zeros(3, 6)
    near, far = (directions(latent, torch.arange(3), m) / m for m in (0.1, 4.0))
    assert (near - far).norm(dim=1).min() > 0.02
    magnitude = torch.zeros(3, requires_grad=True)
    directions(latent, torch.arange(3), magnitude).sum().backward()
    assert torch.isfinite(magnitude.grad).all()


def test_layer_ranges_move_their_layers_only():
    directions = GlobalDirections(2, 1, scale=0.5, layers=(1, 3), num_layers=4)
    with torch.no_grad():
        directions.weight.copy_(torch.tensor([[1.0, 0.0]]))
    expected = torch.tensor([0.0, 1.0, 1.0, 0.0])[None, :, None] * torch.tensor([1.0, 0.0])
    assert torch.equal(directions(torch.zeros(2, 2), 0, 2.0), expected.expand(2, 4, 2))
    start = torch.randn(2, 4, 2)
    assert torch.allclose(directions(start, 0, 2.0) - start, expected.expand(2, 4, 2), atol=1e-6)
    assert directions.arguments()["layers"] == (1, 3)


@pytest.mark.parametrize("layers", [(-1, 2), (2, 2), (3, 1), (0, 5)])
def test_layer_ranges_must_fit(layers):
    with pytest.raises(ValueError, match=r"layers must be .* with 0 <= first < last <= 4"):
        GlobalDirections(2, 1, layers=layers, num_layers=4)


def test_names_are_indices():
    directions = GlobalDirections(3, 3, names=["smile", "age", "7"])
    assert [directions.index(n) for n in ("smile", "age", "7", 2, "0")] == [0, 1, 2, 2, 0]
    with pytest.raises(ValueError, match="unknown direction 'smiel'; did you mean 'smile'"):
        directions.index("smiel")
    for wrong in (3, -1, "9"):
        with pytest.raises(ValueError, match=f"direction {wrong} does not exist; there are 3, from 0"):
            directions.index(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0, "num_directions": 1}, "latent_dim"),
        ({"latent_dim": 1, "num_directions": -2}, "num_directions"),
        ({"latent_dim": 1, "num_directions": 1, "scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ({"latent_dim": 1, "num_directions": 1, "scale": float("inf")}, "scale must be positive and finite"),
        ({"latent_dim": 1, "num_directions": 2**21}, "num_directions must be at most"),
        ({"latent_dim": 1, "num_directions": 1, "num_layers": 0}, "num_layers"),
        ({"latent_dim": 1, "num_directions": 1, "names": [1]}, "names must be texts"),
        ({"latent_dim": 1, "num_directions": 2, "names": ["a"]}, "expected 2 different names"),
        ({"latent_dim": 1, "num_directions": 2, "names": ["a", "a"]}, "expected 2 different names"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GlobalDirections(**arguments)


@pytest.mark.parametrize(
    ("latent", "index", "magnitude", "message"),
    [
        (torch.zeros(2, 5), 0, 1.0, "these directions live in 6 latent dimensions; got latents of shape"),
        (torch.zeros(6), 0, 1.0, "these directions live in 6 latent dimensions"),
        (torch.zeros(2, 6), torch.zeros(3, dtype=torch.long), 1.0, r"one index and one magnitude per latent \(2\)"),
        (torch.zeros(2, 6), 0, torch.ones(1, 2), r"one index and one magnitude per latent \(2\)"),
        (torch.zeros(2, 6), 4, 1.0, r"direction index must lie in \[0, 4\), got 4 to 4"),
        (torch.zeros(2, 6), torch.tensor([0, -1]), 1.0, r"direction index must lie in \[0, 4\), got -1 to 0"),
    ],
)
def test_calls_that_do_not_fit(directions, latent, index, magnitude, message):
    with pytest.raises(ValueError, match=message):
        directions(latent, index, magnitude)


# -- a vector per layer ------------------------------------------------------------------------------------------------


def layered(layers=None):
    return LayeredDirections.of(torch.randn(3, 4, 6, generator=_rng(5)), 0.5, ["a", "b", "c"], layers)


@pytest.mark.parametrize("layers", [None, (1, 3)])
@pytest.mark.parametrize("of_each_layer", [False, True])
def test_a_vector_per_layer_moves_each_layer_by_its_own(layers, of_each_layer):
    directions = layered(layers)
    latent = torch.randn(2, 4, 6, generator=_rng(6)) if of_each_layer else torch.randn(2, 6, generator=_rng(6))
    moved = directions(latent, torch.tensor([2, 0]), torch.tensor([1.5, -2.0]))
    assert moved.shape == (2, 4, 6)
    for n, (index, magnitude) in enumerate([(2, 1.5), (0, -2.0)]):
        for k in range(4):
            acts = layers is None or layers[0] <= k < layers[1]
            before = latent[n, k] if of_each_layer else latent[n]
            step = 0.5 * magnitude * directions.vectors()[index, k] if acts else 0.0
            torch.testing.assert_close(moved[n, k], before + step)
    every = directions.every(latent, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(every[2:4], directions(latent, "b", 2.0))


def test_a_vector_per_layer_is_written_and_chosen_as_it_is(tmp_path):
    directions = layered((0, 2))
    save_artefact(directions, tmp_path / "d.safetensors")
    back = load_artefact(tmp_path / "d.safetensors", Directions)
    assert (type(back), back.layers, back.num_layers, back.scale) == (LayeredDirections, (0, 2), 4, 0.5)
    assert torch.equal(back.vectors(), directions.vectors())
    few = choose(back, ["c", 0])
    assert (type(few), few.names, few.layers) == (LayeredDirections, ["c", "a"], (0, 2))
    latent = torch.randn(2, 6)
    assert torch.equal(few(latent, 0, 1.0), directions(latent, "c", 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayeredDirections(6, 2, num_layers=1), "need at least 2 layers; take GlobalDirections for one"),
        (lambda: LayeredDirections.of(torch.zeros(1, 4, 6)), r"non-zero vectors of shape \(D, layers, L\), got"),
        (lambda: LayeredDirections.of(torch.ones(4, 6)), r"got \(4, 6\)"),
        (lambda: layered()(torch.zeros(1, 3, 6), 0), "tell 4 layers apart; got latents of shape .* which are of 3"),
        (lambda: check_fit(LayeredDirections.of(torch.ones(1, 4, 12)), StyleGAN2.tiny()), "act on layers 0 to 3 of 4, "
         "with a vector for each, but the generator has 6"),
    ],
)  # fmt: skip
def test_vectors_per_layer_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()
