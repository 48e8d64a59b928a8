"""Scores of few-label methods: the annotated factors only, and what leaked into the residual."""

import numpy as np
import pytest

from contrafact.core.method import load_run
from contrafact.data.load import load_dataset
from contrafact.evaluation.run import LEAKAGE, default_metrics, evaluate_run
from contrafact.evaluation.sampling import annotated_columns, encode, factors_of, sample_indices
from contrafact.methods.labels_only import LabelsOnly
from contrafact.methods.semi_supervised_vae import SemiSupervisedVAE
from contrafact.methods.zerodim import ZeroDIM
from contrafact.metrics import linear_probe, mig, zerodim
from contrafact.nn.factor_codes import ResidualOf
from tests.conftest import quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("zerodim") / "run"
    dataset = load_dataset("shapes3d", size=16, labels=100, factors=["wall-hue", "shape"])
    ZeroDIM(
        width=0.25, residual_dim=3, num_images=200, batch_size=16, steps=20, amortization_steps=5, tuning_steps=2
    ).fit(dataset, quiet(path))
    return path


def test_codes_are_scored_on_the_annotated_factors_and_the_residual_on_all(folder):
    run = load_run(folder)
    dataset = load_dataset("shapes3d", size=16)
    assert annotated_columns(run, dataset) == [1, 4]
    assert default_metrics(run, dataset) == ("zerodim", "mig", "dci", LEAKAGE)
    scores = dict(evaluate_run(run, metrics=["zerodim", "mig", LEAKAGE], num_train=300, num_test=100))
    train, test = sample_indices(dataset, 300, 100, 0)
    codes = encode(run.encoder, dataset, train)
    factors = factors_of(dataset, train)
    assert scores["mig"].score == pytest.approx(mig(codes, factors[:, [1, 4]]).score, abs=1e-9)
    assert scores["zerodim"].score == pytest.approx(zerodim(codes, factors[:, [1, 4]]).score, abs=1e-9)
    residual = ResidualOf(run.encoder)
    direct = linear_probe(
        encode(residual, dataset, train), factors, encode(residual, dataset, test), factors_of(dataset, test)
    )
    np.testing.assert_allclose(scores[LEAKAGE].per_factor, direct.per_factor, atol=1e-9)
    assert len(scores[LEAKAGE].per_factor) == 6


def test_a_semi_supervised_vaes_residual_are_the_codes_that_no_label_taught(tmp_path):
    labelled = load_dataset("shapes3d", size=16, labels=40, factors=["wall-hue", "shape"])
    run = SemiSupervisedVAE.preset("quick", width=0.1, steps=2).fit(labelled, quiet(tmp_path / "vae"))
    dataset = load_dataset("shapes3d", size=16)
    scores = dict(evaluate_run(run, dataset, metrics=[LEAKAGE], num_train=200, num_test=100))
    train, test = sample_indices(dataset, 200, 100, 0)
    codes, held_out = (encode(run.encoder, dataset, rows)[:, 2:] for rows in (train, test))
    direct = linear_probe(codes, factors_of(dataset, train), held_out, factors_of(dataset, test))
    np.testing.assert_allclose(scores[LEAKAGE].per_factor, direct.per_factor, atol=1e-9)


def test_an_encoder_without_a_residual_is_refused(tmp_path):
    labelled = load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    run = LabelsOnly(width=0.1, steps=2).fit(labelled, quiet(tmp_path / "labels"))
    with pytest.raises(ValueError, match="AssignedEncoder has no residual: expected an encoder of labelled factors"):
        evaluate_run(run, labelled, metrics=[LEAKAGE], num_train=50, num_test=20)
