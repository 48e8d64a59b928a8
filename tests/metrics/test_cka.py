import itertools
import sys

import numpy as np
import pytest

from contrafact.metrics import cka

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(60, 4))
OTHER = np.tanh(CODES @ RNG.normal(size=(4, 6))) + 0.5 * RNG.normal(size=(60, 6))


def notebook():
    """The arrays of the authors' notebook (google-research, representation_similarity/Demo.ipynb)."""
    state = np.random.RandomState(1337)
    first = state.randn(100, 10)
    return first, state.randn(100, 10) + first


def test_golden_values_of_the_authors_notebook():
    pair = notebook()
    assert cka(pair).score == pytest.approx(0.55761, abs=5e-6)
    assert cka(pair, debiased=True).score == pytest.approx(0.51346, abs=5e-6)
    assert cka(pair, kernel="rbf", width=0.5).score == pytest.approx(0.65483, abs=5e-6)


def kernels(kind, codes):
    if kind == "linear":
        return codes @ codes.T
    distances = ((codes[:, None] - codes[None]) ** 2).sum(axis=2)
    return np.exp(-distances / (2 * 0.5**2 * np.median(distances)))


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_it_is_the_cosine_of_centred_kernel_matrices(kind, monkeypatch):
    monkeypatch.setattr(sys.modules["contrafact.metrics.cka"], "BYTES_AT_ONCE", 8 * 60 * 7)  # rows in several blocks
    centre = np.eye(60) - 1 / 60
    first, second = (centre @ kernels(kind, codes) @ centre for codes in (CODES, OTHER))
    expected = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    result = cka([CODES, OTHER], kernel=kind)
    assert result.score == pytest.approx(expected)
    np.testing.assert_allclose(np.diag(result.matrix), 1.0)


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_debiased_is_a_mean_over_four_distinct_points(kind):
    codes, other = CODES[:8], OTHER[:8]

    def dependence(first, second):
        total, count = 0.0, 0
        for i, j, q, r in itertools.permutations(range(8), 4):
            total += first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q])
            count += 1
        return total / count

    first, second = kernels(kind, codes), kernels(kind, other)
    expected = dependence(first, second) / np.sqrt(dependence(first, first) * dependence(second, second))
    assert cka([codes, other], kernel=kind, debiased=True).score == pytest.approx(expected)


def test_few_points_of_many_codes_look_alike_unless_debiased():
    rng = np.random.default_rng(1)
    pair = [rng.normal(size=(50, 200)) for _ in range(2)]
    assert cka(pair).score > 0.7
    assert abs(cka(pair, debiased=True).score) < 0.1


def test_it_does_not_see_rotation_scale_or_shift_and_sees_stretching():
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    for settings in ({}, {"debiased": True}, {"kernel": "rbf"}):
        assert cka([CODES, 1e8 * CODES @ turn + 3.0], **settings).score == pytest.approx(1.0)
        assert cka([CODES, CODES * [100.0, 1.0, 1.0, 1.0]], **settings).score < 0.8
    many = cka([CODES, OTHER, CODES @ turn, np.full((60, 2), 0.7)])
    assert many.matrix[0, 2] == pytest.approx(1.0)
    assert (many.matrix[3] == 0).all()
    assert many.per_model[0] == pytest.approx((many.matrix[0, 1] + 1.0 + 0.0) / 3)
    assert cka([CODES, np.full((60, 2), 0.7)], kernel="rbf", debiased=True).score == 0.0


@pytest.mark.parametrize(
    ("codes", "settings", "message"),
    [
        ([CODES], {}, "pass the codes of at least two, got 1"),
        ([CODES, OTHER[:50]], {}, r"all models must see the same images, got \[60, 50\] rows"),
        ([CODES, OTHER], {"kernel": "cosine"}, "kernel must be 'linear' or 'rbf', got 'cosine'"),
        ([CODES, OTHER], {"width": 0.0}, "width must be positive, got 0.0"),
        ([CODES[:3], OTHER[:3]], {"debiased": True}, "debiased needs at least 4 points, got 3"),
    ],
)
def test_refusals(codes, settings, message):
    with pytest.raises(ValueError, match=message):
        cka(codes, **settings)
