"""Scores in training loops, and as scikit-learn's scorers."""

import pickle
import types

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV, cross_val_score

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.evaluation import running
from contrafact.metrics import Running, dci, mig, modularity, scorer, total_correlation

from ..core.test_processes import torchrun

FACTORS = draw_factors(240)
CODES = noisy_codes(FACTORS)
pytestmark = pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")


def test_batches_score_as_all_rows_do():
    scores = Running("mig,dci")
    for rows in np.array_split(np.arange(240), 7):
        scores.update(torch.tensor(CODES[rows], requires_grad=True), torch.tensor(FACTORS[rows]))
    found = scores.compute()
    assert found["mig.score"] == mig(CODES, FACTORS).score
    assert found["dci.completeness"] == dci(CODES, FACTORS).completeness
    assert scores.evaluation.results["mig"].num_train == len(scores) == 240
    scores.reset()
    with pytest.raises(ValueError, match="there are no rows to score; call update"):
        scores.compute()
    scores.update(CODES[:, :2], FACTORS)  # other columns are welcome after a reset
    assert scores.compute()["mig.score"] == mig(CODES[:, :2], FACTORS).score


def test_a_batch_is_not_changed_by_what_its_owner_does_later():
    scores, batch = Running("mig"), CODES.copy()
    scores.update(batch, FACTORS)
    batch[:] = 0
    assert scores.compute()["mig.score"] == mig(CODES, FACTORS).score


def test_rows_beyond_the_most_are_a_random_sample_of_all():
    scores = Running("modularity", most=100)
    for first in range(0, 1000, 50):
        rows = np.arange(first, first + 50)
        scores.update(np.c_[rows, rows % 7] * 1.0, np.c_[rows % 2, rows % 3])
    assert scores.compute()
    assert len(scores) <= 200
    kept = running._sampled(scores._rows(), 100)[0][:, 0]
    assert len(set(kept)) == len(kept) == 100
    assert 300 < kept.mean() < 700  # of 0 to 999; six deviations of a mean of 100
    assert scores.evaluation.results["modularity"].num_train == 100


def test_rows_of_all_processes_are_scored_together(monkeypatch):
    halves = [slice(0, 100), slice(100, 240)]
    others = Running("mig")
    others.update(CODES[halves[0]], FACTORS[halves[0]])

    def all_gather_object(parts, part):
        parts[:] = [others._rows(), part, None]  # the third has no rows yet

    joined = types.SimpleNamespace(get_rank=lambda: 1, get_world_size=lambda: 3, all_gather_object=all_gather_object)
    monkeypatch.setattr(running, "_distributed", lambda: joined)
    scores = Running("mig")
    scores.update(CODES[halves[1]], FACTORS[halves[1]])
    assert scores.compute()["mig.score"] == mig(CODES, FACTORS).score
    alone = Running("mig", gather=False)
    alone.update(CODES[halves[1]], FACTORS[halves[1]])
    assert alone.compute()["mig.score"] == mig(CODES[halves[1]], FACTORS[halves[1]]).score


SCRIPT = """
import json, sys
import numpy as np, torch
from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import Running

torch.distributed.init_process_group("gloo")
rank, factors = torch.distributed.get_rank(), draw_factors(240)
scores = Running("mig")
mine = slice(0, 100) if rank == 0 else slice(100, 240)
scores.update(torch.tensor(noisy_codes(factors)[mine]), torch.tensor(factors[mine]))
json.dump(scores.compute(), open(f"rank{rank}.json", "w"))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_of_torch_get_the_same_scores(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun(tmp_path / "script.py", cwd=tmp_path)
    found = [eval((tmp_path / f"rank{rank}.json").read_text())["mig.score"] for rank in range(2)]
    assert found == [mig(CODES, FACTORS).score] * 2


def test_refusals():
    scores = Running("mig")
    with pytest.raises(ValueError, match=r"expected codes \(n, J\) and factors \(n, K\) of the same n images, got"):
        scores.update(CODES, FACTORS[:3])
    scores.update(CODES, FACTORS)
    with pytest.raises(ValueError, match="as many columns as in the batches before"):
        scores.update(CODES[:, :2], FACTORS)
    with pytest.raises(ValueError, match="metric 'fid' cannot be computed from codes and factors"):
        Running("fid")
    with pytest.raises(ValueError, match="most must be"):
        Running("mig", most=0)


def test_torchmetrics_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics", None)
    with pytest.raises(ValueError, match=r"needs torchmetrics: pip install torchmetrics"):
        Running("mig").as_torchmetric()


def test_a_torchmetric_works_in_a_collection():
    torchmetrics = pytest.importorskip("torchmetrics")
    collection = torchmetrics.MetricCollection({"codes": Running("mig").as_torchmetric()}, prefix="val/")
    for rows in (slice(0, 100), slice(100, 240)):
        collection(torch.tensor(CODES[rows]), torch.tensor(FACTORS[rows]))
    found = {name: float(value) for name, value in collection.compute().items()}
    assert found == {"val/mig.score": pytest.approx(mig(CODES, FACTORS).score, abs=1e-6)}
    collection.reset()
    collection.update(torch.tensor(CODES[:90]), torch.tensor(FACTORS[:90]))
    assert float(collection.compute()["val/mig.score"]) == pytest.approx(mig(CODES[:90], FACTORS[:90]).score, abs=1e-6)


class Rotation(TransformerMixin, BaseEstimator):
    """An encoder of one setting, which turns two codes into each other."""

    def __init__(self, angle=0.0):
        self.angle = angle

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        turn = np.eye(X.shape[1])
        turn[:2, :2] = [[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]]
        return X @ turn


def test_scikit_learn_chooses_the_encoder_whose_codes_name_the_factors():
    search = GridSearchCV(Rotation(), {"angle": [0.0, 0.4, 0.8]}, scoring=scorer("mig"), cv=2, refit=False)
    search.fit(FACTORS * 1.0, FACTORS)
    assert search.best_params_ == {"angle": 0.0}
    found = cross_val_score(Rotation(), CODES, FACTORS, scoring=scorer("modularity"), cv=2)
    expected = [modularity(CODES[rows], FACTORS[rows]).score for rows in (slice(0, 120), slice(120, 240))]
    assert found.tolist() == pytest.approx(expected)


def test_a_scorer_names_one_score_and_turns_those_where_less_is_better():
    rotation = Rotation().fit(CODES)
    assert scorer("dci.completeness")(rotation, CODES, FACTORS) == dci(CODES, FACTORS).completeness
    assert scorer("total_correlation")(rotation, CODES) == -total_correlation(CODES).score
    assert scorer("mig", settings={"num_bins": 5})(rotation, CODES, FACTORS) == mig(CODES, FACTORS, num_bins=5).score
    assert pickle.loads(pickle.dumps(scorer("mig"))) == scorer("mig")
    with pytest.raises(ValueError, match="unknown metric 'migg'; did you mean 'mig'"):
        scorer("migg")
    with pytest.raises(ValueError, match="dci has no score 'completenes'; it has: disentanglement, completeness"):
        scorer("dci.completenes")(rotation, CODES, FACTORS)
