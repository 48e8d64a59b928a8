import numpy as np
import pytest
import torch

from contrafact.nn.spectral import PowerIteration, StreamedCovariance, check_rank, leading_eigenvectors


def gram(dim: int = 7, rows: int = 20) -> torch.Tensor:
    x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return x.T @ x


def test_eigenvectors_are_those_of_a_general_solver_sorted():
    values, vectors = leading_eigenvectors(gram(), 4, "it varies along")
    general, columns = np.linalg.eig(gram().numpy())
    order = np.argsort(-general)[:4]
    np.testing.assert_allclose(values, general[order], rtol=1e-10)
    np.testing.assert_allclose((vectors.numpy() * columns.T[order]).sum(1).__abs__(), 1.0, rtol=1e-10)
    assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()


def test_more_directions_than_there_are_is_refused():
    with pytest.raises(ValueError, match="8 orthogonal directions do not fit in 7 dimensions; ask for at most 7"):
        leading_eigenvectors(gram(), 8, "")
    with pytest.raises(ValueError, match="it varies along 3 directions only, not 4; ask for at most 3"):
        leading_eigenvectors(gram(rows=3), 4, "it varies along")
    with pytest.raises(ValueError, match="it answers to 1 directions only, not 2"):
        check_rank(torch.tensor([1.0, 1e-8]), 2, "it answers to", 1e-7)


@pytest.mark.parametrize("same", [True, False])
def test_streamed_covariance_is_that_of_all_samples(same):
    rng = np.random.default_rng(0)
    # A mean a thousand times the deviation: plain sums of products in float32 would lose it.
    x = rng.standard_normal((1000, 5)) * [1, 2, 3, 4, 5] + 1000
    y = x if same else x[:, :3] @ rng.standard_normal((3, 2)) - 500
    covariance = StreamedCovariance(5, y.shape[1])
    for start in range(0, 1000, 128):
        part = torch.from_numpy(x[start : start + 128])
        covariance.add(part, part if same else torch.from_numpy(y[start : start + 128]))
    expected = np.cov(x.T, y.T)[:5, 5:]
    np.testing.assert_allclose(covariance.value(), expected, rtol=1e-9, atol=1e-9)
    covariance.forget()
    covariance.add(torch.from_numpy(x[:50]), torch.from_numpy(y[:50]))
    np.testing.assert_allclose(covariance.value(), np.cov(x[:50].T, y[:50].T)[:5, 5:], rtol=1e-9, atol=1e-9)


def test_a_covariance_can_be_saved_and_gone_on_with():
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    first, second = StreamedCovariance(4, 4), StreamedCovariance(4, 4)
    first.add(x[:30], x[:30])
    second.load_state_dict(first.state_dict())
    second.add(x[30:], x[30:])
    torch.testing.assert_close(second.value(), torch.cov(x.double().T), rtol=1e-9, atol=1e-9)


def test_power_iteration_finds_the_leading_eigenvectors():
    matrix = gram(30, 60)
    values, vectors = leading_eigenvectors(matrix, 4, "")
    power = PowerIteration(30, 10, torch.Generator().manual_seed(0))
    residuals = []
    for _ in range(60):
        power.advance(matrix @ power.block_LB)
        residuals.append(float(power.residual))
    np.testing.assert_allclose(power.values_B[:4], values, rtol=1e-9)
    np.testing.assert_allclose((power.block_LB.T[:4] * vectors).sum(1).abs(), 1.0, atol=1e-6)
    assert residuals[-1] < residuals[10] < residuals[0]


def test_power_iteration_with_a_whole_basis_is_exact_at_once():
    matrix = gram()
    power = PowerIteration(7, 7, torch.Generator().manual_seed(0))
    power.advance(matrix @ power.block_LB)
    vectors = leading_eigenvectors(matrix, 7, "")[1]
    np.testing.assert_allclose((power.block_LB.T * vectors).sum(1).abs(), 1.0, atol=1e-9)
