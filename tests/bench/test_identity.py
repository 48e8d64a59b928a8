"""A method that gains an option keeps its cells, unless the option is used."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from contrafact.bench.identity import identity
from contrafact.bench.plan import plan
from contrafact.core.settings import flat_fields
from contrafact.evaluation.regression import RegressionSettings
from contrafact.methods import CATALOG
from tests.bench import settings
from tests.bench.conftest import OWN
from tests.bench.test_cells import a_bench, admitted, random

FIELD = '    does: str = "work"\n'
MORE = FIELD + "    warmth: float = 0.5\n"
OLDER = MORE + '    older: ClassVar[dict] = {"warmth": 0.5}\n'


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Keys of all cells of a method of one's own, by its code and settings; the code itself does not count here."""
    from contrafact.bench.recipe import Row

    monkeypatch.setattr("contrafact.bench.plan.contents_of", lambda name: None)

    def found(code, **asked):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        monkeypatch.chdir(folder)  # one file of code is loaded once
        Path("obedient.py").write_text(code)
        row = Row("own", "obedient.py:Obedient", settings=asked, regression=RegressionSettings())
        return [cell.key for cell in plan(admitted(a_bench(folder, row)), {"own"})]

    return found


def test_a_setting_that_came_later_leaves_the_keys_until_it_is_used_or_its_default_changes(keys):
    first = keys(OWN)
    assert len(first) == 3
    assert keys(OWN.replace(FIELD, OLDER)) == first
    assert keys(OWN.replace(FIELD, OLDER), warmth=0.5) == first
    for code, asked in (
        (OWN.replace(FIELD, OLDER), {"warmth": 0.25}),
        (OWN.replace(FIELD, OLDER.replace("float = 0.5", "float = 0.75")), {}),
        (OWN.replace(FIELD, MORE), {}),
        (OWN.replace("steps: int = 40", "steps: int = 41"), {}),
    ):
        assert not set(keys(code, **asked)) & set(first)
    changed = OWN.replace(FIELD, OLDER.replace("float = 0.5", "float = 0.75"))
    assert keys(changed, warmth=0.5) == first, "what it was is what it was"


def test_a_setting_of_the_regression_that_came_later_leaves_the_keys(monkeypatch, tmp_path):
    def keys():
        return [cell.key for cell in plan(a_bench(tmp_path, random(regression=RegressionSettings())), {"random"})]

    first = keys()
    monkeypatch.setattr("contrafact.bench.plan.asdict", lambda options: {**asdict(options), "warmth": 0.5})
    assert [new == old for new, old in zip(keys(), first, strict=True)] == [True, False, False]
    monkeypatch.setattr(RegressionSettings, "older", {**RegressionSettings.older, "warmth": 0.5})
    assert keys() == first


def test_false_is_not_zero_and_an_older_setting_of_a_kept_cell_still_counts():
    assert identity("mine", {"on": False, "rate": 0.0}, {"on": 0, "rate": 0}) == {"on": False}
    assert identity("disco", {"pool": 0, "new": 1}, {"pool": 0, "new": 1}) == {"pool": 0}


def test_whatever_a_method_gains_it_says_what_it_was_before():
    """Else every finished cell of it would be computed again, and a run of an older version could not go on."""
    recorded = json.loads(settings.RECORD.read_text())
    for name, found in settings.current().items():
        gained = set(found) - set(recorded.get(name, found)) - set(CATALOG.get(name).older)
        assert not gained, (
            f"{name} has gained {sorted(gained)}: name each in its class variable 'older', with the value that runs "
            "from before it had, so that their cells stay known"
        )
    assert {field.name for field in fields(RegressionSettings)} - set(RegressionSettings.older) == {
        "steps", "batch_size", "learning_rate", "num_directions", "width",
    }  # fmt: skip


def test_the_record_of_settings_holds_what_it_held_and_methods_that_are_new(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "RECORD", tmp_path / "settings.json")
    settings.RECORD.write_text('{"random": ["num_directions"], "gone": ["steps"]}')
    settings.main()
    found = json.loads(settings.RECORD.read_text())
    assert found["random"] == ["num_directions"]
    assert found["sefa"] == sorted(flat_fields(CATALOG.get("sefa")))
    assert "gone" not in found
