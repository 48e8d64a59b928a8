import itertools

import pytest
import torch

from contrafact.core.run import Run
from contrafact.generators.checkpoints import load_generator
from contrafact.generators.wrap import wrap
from contrafact.methods.hessian_penalty import HessianPenalty, penalty


def quadratic(matrices):
    """Outputs ``½ zᵀ M z``, one for each matrix: its Hessian is M everywhere."""
    return lambda latent: 0.5 * torch.einsum("ni,fij,nj->nf", latent, matrices, latent)


def symmetric(count, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    half = torch.randn(count, size, size, generator=rng, dtype=torch.double)
    return half + half.transpose(1, 2)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_over_all_corners_it_is_twice_the_sum_of_squares_off_the_diagonal(epsilon):
    """Eq. 4, with every corner once; the sample variance is that of all 2^D, times 2^D / (2^D − 1)."""
    size, outputs = 4, 3
    hessians = symmetric(outputs, size)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=size)), dtype=torch.double)
    start = torch.randn(2, size, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    found = penalty(
        lambda z: quadratic(hessians)(z.double()), start, corners[:, None].expand(-1, 2, -1), epsilon, largest=True
    )
    sums = [sum(h[i, j] ** 2 for i in range(size) for j in range(size) if i != j) for h in hessians]
    expected = 2 * max(sums) * len(corners) / (len(corners) - 1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    mean = penalty(
        lambda z: quadratic(hessians)(z.double()), start, corners[:, None].expand(-1, 2, -1), epsilon, largest=False
    )
    assert mean.item() == pytest.approx(float(sum(sums) / outputs) * 2 * 16 / 15, rel=1e-3)


def test_a_diagonal_hessian_costs_nothing_and_turned_axes_do():
    hessian = torch.diag(torch.tensor([1.0, 2.0, -3.0], dtype=torch.double))[None]
    start = torch.zeros(1, 3, dtype=torch.double)
    corners = torch.tensor([[1.0, 1, 1], [1, -1, 1], [1, 1, -1], [1, -1, -1]], dtype=torch.double)[:, None]
    turned = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double))[0]
    outputs = quadratic(hessian)
    assert penalty(outputs, start, corners, 0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert penalty(outputs, start, corners @ turned, 0.1).item() > 0.1


class Squares(torch.nn.Module):
    """Each pixel is the square of one axis of a turned latent."""

    def __init__(self) -> None:
        super().__init__()
        turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)))[0]
        self.turn = torch.nn.Parameter(turn)

    def forward(self, latent):
        weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
        return (weights * (latent @ self.turn) ** 2).view(-1, 1, 2, 2) / 100


def test_it_finds_the_axes_that_do_not_act_on_one_another(tmp_path):
    module = Squares()
    generator = wrap(module, latent_dim=4, image_range=(0.0, 1.0))
    method = HessianPenalty(num_directions=4, steps=400, batch_size=16, corners=4, learning_rate=2e-2)
    found = method.fit(generator, Run(tmp_path / "run", precision="float32", progress=False)).directions.vectors()
    alike = (found @ module.turn.detach()).abs()
    assert alike.max(dim=1).values.min() > 0.97, "each direction is an axis"
    assert sorted(alike.argmax(dim=1).tolist()) == [0, 1, 2, 3]


def test_a_layer_of_the_generator_can_be_what_counts(tmp_path):
    generator = load_generator("shapes3d")
    layer = generator.layer_names[0]
    method = HessianPenalty(num_directions=2, steps=1, batch_size=2, layer=layer)
    assert method.fit(generator, Run(tmp_path / "run", progress=False)).directions.num_directions == 2


def test_bad_questions(tmp_path):
    scene = load_generator("analytic:sprite", {"size": 16})
    with pytest.raises(ValueError, match="9 orthonormal directions do not fit in 8 dimensions"):
        HessianPenalty(num_directions=9).fit(scene, tmp_path / "a")
    with pytest.raises(ValueError, match=r"unknown layer .lyer."):
        HessianPenalty(num_directions=2, layer="lyer").fit(scene, tmp_path / "b")
    with pytest.raises(ValueError, match="corners"):
        HessianPenalty(corners=1)
