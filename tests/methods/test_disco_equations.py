"""DisCo's loss against the paper's Eqs 3 to 9 and what its program does, in plain Python numbers, pair by pair.

The oracle knows nothing of tensors: sums over q, k⁺ and k⁻ as Section 3 prints them, and gradients from differences of
its values. What has no gradient (the labels of flipped negatives; in the released program the negatives themselves) is
held at its value while the rest moves.
"""

import math

import numpy as np
import pytest
import torch

from contrafact.methods.disco import DisCo

B, N, M, J = 3, 2, 4, 3


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def entropy(c, inside=0.0):
    total = sum(math.exp(x) for x in c)
    return -sum(math.exp(x) / total * math.log(math.exp(x) / total + inside) for x in c)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def paper(q, positive, negative, held_q, held_negative, threshold, temperature, weight):
    """Eq. 9: minus Eq. 8 (which lacks it), plus λ times Eq. 6."""
    logits = 0.0
    for i in range(B):
        for j in range(N):
            logits += math.log(sigmoid(dot(q[i], positive[j]) / temperature))
        for m in range(M):
            alpha, label = dot(q[i], negative[m]) / temperature, dot(held_q[i], held_negative[m]) / temperature
            if label < threshold:
                logits += math.log(1 - sigmoid(alpha))
            else:
                logits += min(label, 1.0) * math.log(sigmoid(alpha))
    c = [(sum(v[j] for v in q) + sum(v[j] for v in positive)) / (B + N) for j in range(J)]
    return -logits / B + weight * entropy(c) / J


def released(q, positive, negative, held_q, held_negative, threshold, temperature, weight):
    """Binary cross-entropy averaged over B (N + M) logits, labels 1, 0 or the logit; the entropy of each query."""
    loss = 0.0
    for i in range(B):
        for key in [*positive, *held_negative]:
            alpha = dot(q[i], key) / temperature
            label = 1.0
            if any(key is k for k in held_negative):
                label = dot(held_q[i], key) / temperature
                label = min(label, 1.0) if label >= threshold else 0.0
            loss -= label * math.log(sigmoid(alpha)) + (1 - label) * math.log(1 - sigmoid(alpha))
    return loss / (B * (N + M)) + weight * sum(entropy(v, 1e-5) for v in q) / B


@pytest.mark.parametrize(("formulation", "oracle"), [("paper", paper), ("released", released)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_loss_and_gradient_are_the_equations(formulation, oracle, temperature):
    settings = {"num_queries": B, "num_positives": N, "num_negatives": M, "threshold": 0.9, "domination_weight": 1.7}
    method = DisCo.of(formulation=formulation, num_directions=5, temperature=temperature, **settings).resolved()
    rows = torch.rand(B + N + M, J, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    rows = (rows / rows.norm(dim=1, keepdim=True)).requires_grad_()
    index = torch.tensor([2] * (B + N) + [0, 3, 1, 4])
    loss, scalars = method.loss(rows, index)
    (gradient,) = torch.autograd.grad(loss, rows)
    assert 0 < scalars["flipped"] < 1, "both sides of the threshold"

    values = rows.tolist()

    def at(moved):
        q, positive, negative = moved[:B], moved[B : B + N], moved[B + N :]
        return oracle(q, positive, negative, values[:B], values[B + N :], 0.9, temperature, 1.7)

    assert loss.item() == pytest.approx(at(values), rel=1e-12)
    step = 1e-6
    expected = np.zeros((B + N + M, J))
    for row in range(B + N + M):
        for j in range(J):
            high, low = ([list(v) for v in values] for _ in range(2))
            high[row][j] += step
            low[row][j] -= step
            expected[row, j] = (at(high) - at(low)) / (2 * step)
    # Central differences in float64 are good to about 1e-9 here.
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-8)
    assert (expected[B + N :] == 0).all() == (formulation == "released"), "no gradient reaches the release's negatives"
