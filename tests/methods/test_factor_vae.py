"""FactorVAE's permutation, discriminator, and the total correlation it reads off one."""

import math

import pytest
import torch
from torch import nn

from contrafact.methods.factor_vae import density_ratio, discriminator_loss, make_discriminator, permute_codes


def test_the_discriminator_is_the_papers():
    layers = list(make_discriminator(10))
    sizes = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert sizes == [(10, 1000), *[(1000, 1000)] * 5, (1000, 2)]
    assert sum(isinstance(layer, nn.LeakyReLU) for layer in layers) == 6


def test_every_dimension_is_permuted_for_itself():
    sample = torch.arange(60.0).view(20, 3)
    rng = torch.Generator().manual_seed(0)
    permuted = permute_codes(sample, rng)
    orders = []
    for j in range(3):
        assert sorted(permuted[:, j].tolist()) == sample[:, j].tolist()
        orders.append(tuple((permuted[:, j] - j).tolist()))
    assert len(set(orders)) == 3, "dimensions must not move together"
    assert not torch.equal(permute_codes(sample, rng), permuted), "another step, another order"


def test_permuting_removes_dependence_and_keeps_marginals():
    shared = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    permuted = permute_codes(shared.repeat(1, 3), torch.Generator().manual_seed(1))
    correlation = torch.corrcoef(permuted.T)
    assert (correlation - torch.eye(3)).abs().max() < 0.06
    torch.testing.assert_close(permuted.var(dim=0), shared.var(dim=0).expand(3))


def test_every_order_is_equally_likely():
    rng = torch.Generator().manual_seed(0)
    seen = torch.stack([permute_codes(torch.tensor([[0.0], [1.0], [2.0]]), rng)[:, 0] for _ in range(6000)])
    counts = (seen @ torch.tensor([9.0, 3.0, 1.0])).unique(return_counts=True)[1]
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 150


def test_the_losses_match_a_loop():
    real, permuted = torch.randn(5, 2), torch.randn(5, 2)
    expected = ratio = 0.0
    for a, b in zip(real.tolist(), permuted.tolist(), strict=True):
        expected -= math.log(math.exp(a[0]) / (math.exp(a[0]) + math.exp(a[1]))) / 10
        expected -= math.log(math.exp(b[1]) / (math.exp(b[0]) + math.exp(b[1]))) / 10
        ratio += (a[0] - a[1]) / 5
    assert float(discriminator_loss(real, permuted)) == pytest.approx(expected, rel=1e-5)
    assert float(density_ratio(real)) == pytest.approx(ratio, rel=1e-5)


def test_a_trained_discriminator_tells_the_total_correlation_of_a_gaussian():
    correlation, rng = 0.8, torch.Generator().manual_seed(0)
    exact = -0.5 * math.log(1 - correlation**2)

    def draw(n: int) -> torch.Tensor:
        noise = torch.randn(n, 2, generator=rng)
        return torch.stack(
            [noise[:, 0], correlation * noise[:, 0] + math.sqrt(1 - correlation**2) * noise[:, 1]], dim=1
        )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        discriminator = make_discriminator(2, 0.032)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-3, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 300)
    for _ in range(300):
        logits = discriminator(torch.cat([draw(512), permute_codes(draw(512), rng)]))
        loss = discriminator_loss(*logits.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        assert float(density_ratio(discriminator(draw(20_000)))) == pytest.approx(exact, abs=0.05)
        assert abs(float(density_ratio(discriminator(permute_codes(draw(20_000), rng))))) > 0.3, (
            "not one for all inputs"
        )
