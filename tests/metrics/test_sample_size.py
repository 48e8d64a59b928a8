"""The measured rows of the metrics' pages: they are what was recorded, can be had again, and are what metrics say."""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from contrafact.core.metric import MetricWarning
from contrafact.metrics import CATALOG, evaluate, irs, knn_probe, med, mig, sap

DOCS = Path(__file__).parents[2] / "docs" / "metrics"
FOUND = json.loads((DOCS / "sample_size.json").read_text())


def _script():
    spec = importlib.util.spec_from_file_location("sample_size", DOCS / "sample_size.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


@pytest.mark.parametrize("name", sorted({*FOUND["rows"], *FOUND["coverage"]}))
def test_a_page_shows_what_was_measured(name):
    assert SCRIPT.section(name, FOUND) in (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted({*FOUND["rows"]} - SCRIPT.NOT_OF_SIZE))
def test_a_metric_says_from_how_many_points_it_is_near_its_limit(name):
    assert dict(CATALOG.module(name).INFO.enough) == SCRIPT.enough(name, FOUND)


@pytest.mark.parametrize("name", sorted(FOUND["coverage"]))
def test_a_metric_says_where_its_limits_hold_too_rarely(name):
    assert dict(CATALOG.module(name).INFO.covered) == SCRIPT.covered(name, FOUND)


def test_limits_that_hold_too_rarely_are_noted():
    codes, factors = SCRIPT.mixed(300, 0)
    notes = evaluate(codes, factors, metrics="dci,modularity", num_resamples=2).notes
    said = "limits of dci.informativeness_train are too narrow: when tried, 47% of them held what 95 % should"
    assert notes == (said,)


@pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")
@pytest.mark.parametrize("name", ["mig", "med", "modularity", "sap", "irs", "infomec"])
def test_rows_can_be_had_again(name):
    again, recorded = SCRIPT.measure_rows(name, 100), FOUND["rows"][name]["100"]
    assert set(again) == set(recorded)
    for kind, scores in recorded.items():
        assert again[kind] == pytest.approx(scores, abs=0.005)


@pytest.mark.filterwarnings("ignore:knn_probe. 600 points")
def test_few_points_are_noted():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        few, many = med(*SCRIPT.clean(200, 0)), med(*SCRIPT.clean(10_000, 0))
    said = "200 points are few for disentanglement, completeness, top k, top k completeness: clean codes need 10,000"
    assert few.notes[0].startswith(said)
    assert many.notes == ()
    assert [str(w.message) for w in caught if issubclass(w.category, MetricWarning)] == [f"med: {few.notes[0]}"]
    # Held-out points count, too; corrected informations and continuous factors were not what was measured.
    assert "600 points are few for score: clean codes need 10,000" in knn_probe(*SCRIPT.clean(600, 0)).notes[0]
    assert knn_probe(*SCRIPT.clean(10_000, 0)).notes == ()
    assert med(*SCRIPT.clean(200, 0), bias="shuffle").notes == ()
    assert sap(*SCRIPT.clean(200, 0), continuous=True).notes == ()
    assert mig(*SCRIPT.clean(300, 0)).notes == irs(*SCRIPT.clean(100, 0)).notes == ()


def test_the_noise_of_irs_rises_with_the_number_of_points():
    low, high = (np.mean([irs(*SCRIPT.noise(n, seed)).score for seed in range(3)]) for n in (300, 20_000))
    assert high > low + 0.05
