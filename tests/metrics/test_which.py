"""The table of the page "Which metric?" says what the metrics and their pages say now."""

import importlib.util
import json
from pathlib import Path

import pytest

from contrafact.evaluation.codes import static_metrics
from contrafact.metrics import CATALOG

SCRIPT = Path(__file__).parents[2] / "docs" / "metrics" / "which.py"


@pytest.fixture(scope="module")
def which():
    spec = importlib.util.spec_from_file_location("which", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date(which):
    seconds = json.loads(which.TIMES.read_text(encoding="utf-8"))
    assert which.table(seconds) in which.PAGE.read_text(encoding="utf-8"), "run python docs/metrics/which.py"


def test_the_table_of_other_metrics_is_up_to_date_and_whole(which):
    found = json.loads(which.OTHERS.read_text(encoding="utf-8"))
    assert which.table_of_others(found) in which.PAGE.read_text(encoding="utf-8"), "run python docs/metrics/which.py"
    assert sorted({*found, *which.UNMEASURED}) == sorted(set(CATALOG) - set(static_metrics()))
    for name in {*found, *which.UNMEASURED}:
        assert which.asks(name), f"{name}: the first line of its file is no question"
        assert which.fools(name), f"{name}: its page does not begin 'What fools it' with a point"


def test_pages_of_other_metrics_show_what_was_measured(which, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    others = importlib.import_module("which_others")
    for name, row in json.loads(which.OTHERS.read_text(encoding="utf-8")).items():
        page = (SCRIPT.parent / f"{name}.md").read_text(encoding="utf-8")
        assert others.section(name, row) in page, "run python docs/metrics/which_others.py pages"
    pages = {name: (SCRIPT.parent / f"{name}.md").read_text(encoding="utf-8") for name in CATALOG}
    assert {name for name, page in pages.items() if others.HEADING not in page} == set(which.UNMEASURED)


def test_enough_is_where_a_score_stays_near_its_last(which):
    assert which.enough({"100": 1.0, "300": 1.2, "1000": 0.98, "3000": 1.0}) == "1,000"
    assert which.enough({"100": -1.0, "300": -1.01}) == "100"
    assert which.enough({"100": 2.0, "300": 1.0}) == "300 or more"


def test_every_metric_of_codes_is_in_it_with_all_that_is_asked(which):
    seconds = json.loads(which.TIMES.read_text(encoding="utf-8"))
    assert sorted(seconds) == sorted(static_metrics())
    assert all(taken > 0 for taken in seconds.values())
    for name in seconds:
        assert which.asks(name), f"{name}: the first line of its file is no question"
        assert which.fools(name), f"{name}: its page does not begin 'What fools it' with a point"


def test_every_metric_is_named_on_the_page(which):
    text = which.PAGE.read_text(encoding="utf-8")
    assert [name for name in CATALOG if f"`{name}`" not in text and f"[{name}]" not in text] == []


def test_times_are_said_as_far_as_they_may_be_trusted(which):
    assert [which.spoken(s) for s in (0.0042, 0.123, 3.21, 41.9)] == ["4 ms", "0.1 s", "3.2 s", "42 s"]
