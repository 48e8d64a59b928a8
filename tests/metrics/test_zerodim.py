import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import dci, mig, sap, zerodim
from contrafact.metrics._importance import weighted_concentration


def test_is_mig_of_all_and_sap_and_dci_of_the_split():
    factors = draw_factors(200)
    codes = noisy_codes(factors, extra=1)
    result = zerodim(codes, factors, factors_of_interest=[2, 0])
    kept = factors[:, [2, 0]]
    train, test, labels, labels_test = train_test_split(codes, kept, test_size=0.2, random_state=1337)
    base = dci(train, labels, test, labels_test)
    assert result.mig == mig(codes, kept).score
    assert result.sap == sap(train, labels, test, labels_test).score
    assert result.disentanglement == base.disentanglement
    assert result.informativeness == base.informativeness
    assert result.linear_accuracy.shape == (2,)
    grouped = zerodim(codes.reshape(200, 2, 2), factors, factors_of_interest=[2, 0])
    merged = base.matrix.reshape(2, 2, 2).sum(axis=1)
    np.testing.assert_allclose(grouped.matrix, merged)
    assert grouped.disentanglement == pytest.approx(weighted_concentration(merged)[0])
    assert grouped.mig is None
    assert "mig" not in grouped.scores()


def test_refusals():
    factors = draw_factors(50)
    codes = noisy_codes(factors)
    for columns in ([3], [-1], [0.5], []):
        with pytest.raises(ValueError, match="factors_of_interest must be columns from 0 to 2"):
            zerodim(codes, factors, factors_of_interest=columns)
    with pytest.raises(ValueError, match="need at least 5 rows to hold out a fifth, got 4"):
        zerodim(codes[:4], np.array([[0, 0, 0], [1, 1, 1]] * 2))
