import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import med, mig
from contrafact.metrics._importance import weighted_concentration
from contrafact.metrics.med import select_codes


def test_equals_dci_of_normalised_information():
    factors = draw_factors()
    codes = noisy_codes(factors)
    shared = mig(codes, factors).matrix
    importance = shared / shared.sum(axis=0)
    result = med(codes, factors)
    np.testing.assert_allclose(result.matrix, importance, atol=1e-12)
    assert result.score == pytest.approx(weighted_concentration(importance)[0])
    assert result.completeness == pytest.approx(weighted_concentration(importance.T)[0])
    chosen = importance[result.selected]
    assert result.top_k == pytest.approx(weighted_concentration(chosen)[0])


def test_selection_takes_the_most_disentangled_codes_of_each_factor():
    importance = np.array([[0.9, 0.1], [0.8, 0.0], [0.5, 0.5], [0.0, 0.6], [0.1, 0.6]])
    assert select_codes(importance, 1).tolist() == [1, 3]
    assert select_codes(importance, 2).tolist() == [0, 1, 3, 4]
    assert select_codes(importance, 9).tolist() == [0, 1, 2, 3, 4]


def test_dead_codes_and_definitions():
    factors = draw_factors()
    codes = noisy_codes(factors)
    padded = med(np.hstack([codes, np.full((400, 1), 0.7)]), factors)
    assert padded.score == pytest.approx(med(codes, factors).score)
    assert med(np.full((400, 2), 0.7), factors).score == 0.0
    with pytest.warns(MetricWarning, match="one factor only: disentanglement is 1"):
        assert med(codes, factors[:, [0]]).score == 1.0
    with pytest.warns(MetricWarning, match="one code only: completeness is 1"):
        assert med(codes[:, [0]], factors).completeness == 1.0
    with pytest.raises(ValueError, match="top_k must be a whole number of at least 1, got 0"):
        med(codes, factors, top_k=0)
