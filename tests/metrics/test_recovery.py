import itertools

import numpy as np
import pytest
import torch

from contrafact.core.directions import CurvedDirections, GlobalDirections
from contrafact.core.metric import MetricWarning
from contrafact.generators.analytic import Analytic
from contrafact.metrics import recovery
from contrafact.metrics.recovery import tangents


def best_by_trying_all(cosine):
    found, true = cosine.shape
    return max(
        np.mean([cosine[d, k] for k, d in enumerate(order)]) for order in itertools.permutations(range(found), true)
    )


def test_matching_is_the_best_of_all_orders():
    rng = np.random.default_rng(0)
    found, true = rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (found, true)]
    cosine = np.abs(unit[0] @ unit[1].T)
    result = recovery(found, true)
    np.testing.assert_allclose(result.matrix, cosine)
    assert result.score == pytest.approx(best_by_trying_all(cosine))
    np.testing.assert_allclose(result.per_factor, cosine[result.matches, np.arange(3)])


def test_order_sign_and_length_do_not_matter():
    true = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    result = recovery(-3.0 * true[[2, 0, 1, 5, 4, 3]], true)
    assert result.score == pytest.approx(1.0)
    assert result.matches.tolist() == [1, 2, 0, 5, 4, 3]
    assert 0.3 < result.chance < 0.8


def test_too_few_directions_score_zero_where_they_lack():
    with pytest.warns(MetricWarning, match="fewer found than true"):
        result = recovery(np.eye(4)[:1], np.eye(4)[:2])
    assert result.score == 0.5
    assert result.matches.tolist() == [0, -1]


def test_local_cosines_are_averaged_over_latents():
    rng = np.random.default_rng(0)
    found, true = rng.normal(size=(7, 4, 5)), rng.normal(size=(7, 3, 5))
    cosine = np.zeros((4, 3))
    for n in range(7):
        for d, k in np.ndindex(4, 3):
            a, b = found[n, d], true[n, k]
            cosine[d, k] += abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) / 7
    result = recovery(found, true)
    np.testing.assert_allclose(result.matrix, cosine)
    assert result.protocol == "recovery_local"
    fixed = recovery(found[0], true)
    assert fixed.matrix.shape == (4, 3)


def test_directions_of_an_analytic_generator():
    generator = Analytic("sprite", size=16)
    true = generator.true_directions()
    assert recovery(true.flip(0), true).score == pytest.approx(1.0, abs=1e-5)
    bent = Analytic("sprite", size=16, warp=True)
    latent = bent.sample(5, torch.Generator().manual_seed(0))
    local = bent.true_tangents(latent)
    assert recovery(local, local).score == pytest.approx(1.0, abs=1e-5)
    straight = tangents(GlobalDirections.of(local[0]), latent)
    assert recovery(straight, local).score < 0.999


def test_tangents_of_global_and_curved_directions():
    latent = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    vectors = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    straight = tangents(GlobalDirections.of(vectors, scale=2.0), latent)
    expected = 2.0 * vectors / vectors.norm(dim=1, keepdim=True)
    torch.testing.assert_close(straight, expected.expand(3, 2, 4), atol=1e-4, rtol=1e-4)
    torch.manual_seed(0)
    # In double precision: a difference quotient at this step magnifies rounding fifty times, and in single precision
    # that alone, which differs from one processor and batch size to another, would be 1e-5.
    curved, latent = CurvedDirections(4, 2, hidden_dim=8).double(), latent.double()
    step = 1e-2
    for d in range(2):
        moved = curved(latent, d, step) - curved(latent, d, -step)
        torch.testing.assert_close(tangents(curved, latent)[:, d], moved / (2 * step), rtol=0, atol=1e-11)


def test_refusals():
    with pytest.raises(ValueError, match=r"found must have shape \(directions, L\)"):
        recovery(np.ones(3), np.eye(3))
    with pytest.raises(ValueError, match="true 1 is zero or not finite"):
        recovery(np.eye(2), np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="found directions have 3 dimensions but true ones 2"):
        recovery(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="found is given at 2 latents but true at 3"):
        recovery(np.ones((2, 1, 2)), np.ones((3, 1, 2)))
