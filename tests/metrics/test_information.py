import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from contrafact.metrics._information import discretize, entropy, mutual_information, relabel


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bins_equal_numpy_digitize(dtype):
    codes = np.random.default_rng(0).normal(size=(500, 3)).astype(dtype)
    codes[:, 2] = np.round(codes[:, 2])
    ours = discretize(codes, 20)
    for j in range(3):
        theirs = np.digitize(codes[:, j], np.histogram(codes[:, j], 20)[1][:-1])
        np.testing.assert_array_equal(ours[j], theirs - 1)


@pytest.mark.parametrize("num_bins", [1, 2, 20, 300])
@pytest.mark.parametrize(
    ("shift", "scale"),
    [(0.0, 1.0), (1e9, 1e-3), (1e15, 1.0), (0.0, 1e-310), (0.0, 1e149), (-1e-300, 1e149)],
)
def test_bins_equal_numpys_at_extreme_scales(shift, scale, num_bins):
    rng = np.random.default_rng(0)
    codes = np.stack([rng.uniform(-1, 1, 400), np.linspace(-1, 1, 400), rng.integers(-3, 4, 400)], axis=1)
    codes = shift + scale * codes
    for j, bins in enumerate(discretize(codes, num_bins)):
        if np.ptp(codes[:, j]) > 1e-12 * np.abs(codes[:, j]).max():  # a code of rounding noise is dead
            edges = np.histogram_bin_edges(codes[:, j], num_bins)
            np.testing.assert_array_equal(bins, np.digitize(codes[:, j], edges[:-1]) - 1)


def test_float32_edges_are_float32():
    # In float64 this point falls on the other side of the edge at 0.35.
    codes = np.array([[0.0], [1.0], [np.float32(0.35)]], dtype=np.float32)
    theirs = np.digitize(codes[:, 0], np.histogram(codes[:, 0], 20)[1][:-1]) - 1
    np.testing.assert_array_equal(discretize(codes, 20)[0], theirs)


def test_a_constant_that_went_through_rounding_is_one_bin():
    noisy_constant = 0.7 + np.array([[0.0], [1.0], [-1.0], [2.0]]) * np.finfo(float).eps
    assert (discretize(noisy_constant) == 0).all()
    assert mutual_information(discretize(noisy_constant), np.array([[0], [1], [0], [1]]))[0, 0] == 0.0


def test_many_bins_and_bad_counts():
    codes = np.random.default_rng(0).normal(size=(2000, 1))
    assert discretize(codes, 1000).max() == 999
    with pytest.raises(ValueError, match="num_bins must be a whole number of at least 1, got 0"):
        discretize(codes, 0)


def test_information_equals_the_reference_pair_by_pair():
    rng = np.random.default_rng(0)
    bins, factors = rng.integers(20, size=(4, 300)), rng.integers(-3, 5, size=(300, 3))
    ours = mutual_information(bins, factors)
    for j, k in np.ndindex(4, 3):
        assert ours[j, k] == pytest.approx(mutual_info_score(bins[j], factors[:, k]), abs=1e-12)
    assert entropy(factors[:, 0]) == pytest.approx(mutual_info_score(factors[:, 0], factors[:, 0]), abs=1e-12)


def test_a_constant_has_information_exactly_zero():
    rng = np.random.default_rng(0)
    labels = rng.integers(7, size=(1000, 1))
    assert mutual_information(np.zeros((1, 1000), dtype=int), labels)[0, 0] == 0.0
    assert mutual_information(labels.T, np.ones((1000, 1), dtype=int))[0, 0] == 0.0
    assert entropy(np.full(10, 3)) == 0.0


@pytest.mark.parametrize("values", [[5, 3, 3, 9], [-2, 10**15, 0, 0], [4]])
def test_relabel_keeps_order_and_leaves_no_gaps(values):
    expected = np.unique(values, return_inverse=True)[1]
    np.testing.assert_array_equal(relabel(np.array(values)), expected)
