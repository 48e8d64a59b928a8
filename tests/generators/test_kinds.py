"""Every kind of file that people have is read, to within the tolerance, or refused as the page of generators says."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.generators.kinds import kinds, measure, refusal
from tests.generators.recorded import TOLERANCE

SCRIPT = Path(__file__).parents[2] / "docs" / "checkpoints" / "rows.py"
KINDS = {kind.name: kind for kind in kinds()}
READ = [name for name, kind in KINDS.items() if kind.recorded is not None]
REFUSED = [name for name, kind in KINDS.items() if kind.recorded is None]


@pytest.fixture(scope="module")
def rows():
    spec = importlib.util.spec_from_file_location("rows", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found(rows):
    return json.loads(rows.FOUND.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", READ)
def test_what_is_read_makes_the_originals_images(name, found, tmp_path):
    assert measure(KINDS[name], tmp_path) <= TOLERANCE
    assert found[name] <= TOLERANCE


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_why(name, found, tmp_path):
    assert refusal(KINDS[name], tmp_path) == found[name], "run python docs/checkpoints/rows.py"


def test_the_tables_are_up_to_date(rows, found):
    page = rows.PAGE.read_text(encoding="utf-8")
    assert sorted(found) == sorted(KINDS), "run python docs/checkpoints/rows.py"
    assert json.loads(rows.LAYOUTS.read_text()) == rows.layouts(), "run python docs/checkpoints/rows.py"
    for table in (rows.read_table(found), rows.refused_table(found)):
        assert table in page, "run python docs/checkpoints/rows.py"


def test_differences_are_said_by_the_power_of_ten_above(rows):
    assert [rows.spoken(d) for d in (3.1e-7, 9.9e-6, 0.0)] == ["1e-6", "1e-5", "1e-7"]
