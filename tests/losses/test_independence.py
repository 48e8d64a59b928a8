"""KL and total correlation against loops over the equations, torch's distributions, and exact values on a Gaussian."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from contrafact.losses import independence
from contrafact.losses.independence import (
    Posterior,
    kl_terms,
    kl_to_standard_normal,
    mean_log_densities,
    stratified_log_weights,
)


def random_posterior(n: int, dims: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Posterior:
    rng = torch.Generator().manual_seed(seed)
    mean, log_variance, noise = (torch.randn(n, dims, generator=rng, dtype=dtype) for _ in range(3))
    return Posterior(mean, log_variance - 1, mean + (0.5 * (log_variance - 1)).exp() * noise)


def loop_densities(sample, mean, log_variance, log_weight):
    """Mean log q(z) and mean Σ_j log q(z_j), one triple at a time."""
    joint = product = 0.0
    for i in range(len(sample)):
        density, marginal = 0.0, [0.0] * sample.shape[1]
        for m in range(len(mean)):
            parts = Normal(mean[m], (0.5 * log_variance[m]).exp()).log_prob(sample[i])
            weight = log_weight[i, m].exp()
            density = density + weight * parts.sum().exp()
            marginal = [marginal[j] + weight * parts[j].exp() for j in range(len(marginal))]
        joint = joint + density.log() / len(sample)
        product = product + sum(q.log() for q in marginal) / len(sample)
    return joint, product


@pytest.fixture(params=[2**18, 20])
def block(request, monkeypatch):
    """The usual block, which holds everything at these sizes, and one that holds a row or less."""
    monkeypatch.setitem(independence.BLOCK, "cpu", request.param)


@pytest.mark.parametrize("weights", ["equal", "stratified"])
def test_densities_and_their_gradients_match_a_loop(block, weights):
    posterior = random_posterior(6, 3)
    sample, mean, log_variance = (x.clone().requires_grad_() for x in (posterior.sample, *posterior[:2]))
    log_weight = torch.full((6, 6), -math.log(6), dtype=torch.float64)
    if weights == "stratified":
        log_weight = stratified_log_weights(6, 50).double()
    expected = loop_densities(sample, mean, log_variance, log_weight)
    found = mean_log_densities(sample, mean, log_variance, None if weights == "equal" else log_weight)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))
    for coefficients in [(1.0, 0.0), (0.0, 1.0), (1.3, -0.7)]:
        mix = [sum(c * value for c, value in zip(coefficients, pair, strict=True)) for pair in (found, expected)]
        got, wanted = (torch.autograd.grad(value, (sample, mean, log_variance), retain_graph=True) for value in mix)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b)


def test_samples_need_not_be_as_many_as_components():
    posterior, sample = random_posterior(5, 2), torch.randn(3, 2, dtype=torch.float64)
    log_weight = torch.full((3, 5), -math.log(5), dtype=torch.float64)
    expected = loop_densities(sample, *posterior[:2], log_weight)
    found = mean_log_densities(sample, *posterior[:2])
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))


def test_single_precision_is_enough_for_narrow_posteriors():
    rng = torch.Generator().manual_seed(1)
    mean = torch.randn(64, 10, generator=rng)
    log_variance = -8 * torch.rand(64, 10, generator=rng)
    sample = mean + (0.5 * log_variance).exp() * torch.randn(64, 10, generator=rng)
    values, gradients = [], []
    for dtype in (torch.float32, torch.float64):
        inputs = [x.to(dtype).requires_grad_() for x in (sample, mean, log_variance)]
        joint, product = mean_log_densities(*inputs)
        values.append(torch.stack([joint, product]).double())
        gradients.append([g.double() for g in torch.autograd.grad(joint - product, inputs)])
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-5)
    for a, b in zip(*gradients, strict=True):
        assert (a - b).abs().max() < 1e-3 * b.abs().max()


def test_far_samples_stay_finite():
    joint, product = mean_log_densities(torch.full((2, 3), 1e3), torch.zeros(4, 3), torch.full((4, 3), -6.0))
    assert torch.isfinite(joint)
    assert float(joint) == pytest.approx(float(product), rel=1e-5)


def test_kl_matches_torch():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).mean(dim=0)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def gaussian_code(n: int, seed: int) -> tuple[Posterior, torch.Tensor]:
    """Posteriors whose aggregate is a Gaussian with known covariance, when there are infinitely many."""
    rng = torch.Generator().manual_seed(seed)
    factor = torch.tensor([[1.4, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.5, 0.9]])
    mean = torch.randn(n, 3, generator=rng) @ factor.T
    log_variance = torch.tensor([0.3, 0.2, 0.4]).log().expand(n, 3)
    sample = mean + (0.5 * log_variance).exp() * torch.randn(n, 3, generator=rng)
    return Posterior(mean, log_variance, sample), factor @ factor.T + log_variance[0].exp().diag()


def exact_terms(covariance: torch.Tensor, noise_variance: torch.Tensor) -> list[float]:
    """Mutual information, total correlation and the dimensions' KL of that Gaussian code, in closed form."""
    log_determinant, variance = covariance.logdet(), covariance.diagonal()
    return [
        float(0.5 * (log_determinant - noise_variance.log().sum())),
        float(0.5 * (variance.log().sum() - log_determinant)),
        float(0.5 * (variance - 1 - variance.log()).sum()),
    ]


@pytest.mark.parametrize("estimator", ["weighted", "stratified"])
def test_the_terms_of_a_gaussian_code_are_the_exact_ones(estimator):
    estimates = []
    for seed in range(20):
        codes, covariance = gaussian_code(1000, seed)
        estimates.append(torch.stack(list(kl_terms(codes, 100_000, estimator))))
    expected = torch.tensor(exact_terms(covariance, codes.log_variance[0].exp()))
    assert expected.min() > 0.1
    torch.testing.assert_close(torch.stack(estimates).mean(dim=0), expected, atol=0.03, rtol=0)


def test_the_terms_add_up_to_the_kl():
    """Whatever the estimator, what is taken from one term is given to the next; only the sampling of z is left."""
    codes, _ = gaussian_code(4000, 0)
    closed_form = kl_to_standard_normal(codes.mean, codes.log_variance).sum()
    log_ratio = [
        Independent(Normal(m, s.exp().sqrt()), 1).log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum()
        for m, s, z in zip(*codes, strict=True)
    ]
    for estimator in ("weighted", "stratified"):
        total = sum(kl_terms(codes, 4000, estimator))
        assert float(total) == pytest.approx(float(torch.stack(log_ratio).mean()), abs=1e-3)
        assert float(total) == pytest.approx(float(closed_form), rel=0.03)


def test_on_the_whole_dataset_the_weighted_terms_are_those_of_the_mixture():
    """In the full-data limit q(z) is the mixture of all posteriors; fresh samples of each integrate its logarithm."""
    whole = random_posterior(8, 2, dtype=torch.float32)
    rng = torch.Generator().manual_seed(3)
    rows = torch.arange(8).repeat(2500)
    noise = torch.randn(len(rows), 2, generator=rng)
    sample = whole.mean[rows] + (0.5 * whole.log_variance[rows]).exp() * noise
    joint, product = mean_log_densities(sample, whole.mean, whole.log_variance)
    grid = torch.linspace(-12, 12, 1201)
    z = torch.cartesian_prod(grid, grid)
    density = Normal(whole.mean, (0.5 * whole.log_variance).exp()).log_prob(z[:, None]).sum(dim=2).exp().mean(dim=1)
    q = density.view(1201, 1201) * 0.02**2
    marginals = q.sum(dim=1, keepdim=True) * q.sum(dim=0)
    exact = (q * (q.clamp_min(1e-30) / marginals.clamp_min(1e-30)).log()).sum()
    assert float(joint - product) == pytest.approx(float(exact), abs=0.02)


def test_stratified_weights_are_the_papers():
    """Eq. S7 with its own index: 1/N for the sample itself, 1/M for M − 1 others, (N − M)/(N·M) for the last."""
    weights = stratified_log_weights(4, 20).exp()
    others, size = 3, 20
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    for row in range(4):
        assert weights[row, row] == pytest.approx(1 / size)
        rest = sorted(float(weights[row, column]) for column in range(4) if column != row)
        assert rest == pytest.approx(sorted([(size - others) / (size * others), 1 / others, 1 / others]))
    assert len(set(weights.argsort(dim=1)[:, 1].tolist())) == 4, "each component is the short one once"


def test_stratified_densities_are_unbiased():
    """Over random batches the estimate of q(z) averages to q(z); equal weights count the sample's own too often."""
    whole = random_posterior(12, 2)
    component = torch.stack(
        [Normal(whole.mean[m], (0.5 * whole.log_variance[m]).exp()).log_prob(whole.sample[0]).sum() for m in range(12)]
    ).exp()
    rng = torch.Generator().manual_seed(0)
    weights = stratified_log_weights(4, 12)[0].exp().double()
    batches = [
        torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(11, generator=rng)[:3]]) for _ in range(20_000)
    ]
    drawn = component[torch.stack(batches)]
    expected = component.mean()
    assert float((drawn @ weights).mean()) == pytest.approx(float(expected), rel=0.02)
    assert float(drawn.mean()) != pytest.approx(float(expected), rel=0.1)


@pytest.mark.parametrize("batch_size", [1, 21])
def test_a_batch_that_stratified_sampling_cannot_use(batch_size):
    with pytest.raises(ValueError, match=rf"as the dataset has \(20\), got {batch_size}; set batch_size, or estimator"):
        stratified_log_weights(batch_size, 20)
