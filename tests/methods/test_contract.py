"""What every method promises, checked for every file in ``methods/`` and each of its presets."""

import dataclasses
from pathlib import Path

import pytest

from contrafact.cli import main
from contrafact.cli.fit import RunOptions
from contrafact.contract import method as contract
from contrafact.methods import CATALOG

CASES = [(name, preset) for name in CATALOG for preset in (None, *CATALOG.get(name).presets) if preset != "tiny"]
RESERVED = frozenset(field.name for field in dataclasses.fields(RunOptions))
OF_EVERY_PRESET = contract.fits_and_its_artefacts_survive


@pytest.mark.parametrize(("name", "preset"), CASES)
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_it_fits_tiny_input_and_its_artefacts_survive(name, preset, tmp_path):
    OF_EVERY_PRESET(contract.Subject(CATALOG.get(name), tmp_path, preset))


@pytest.mark.parametrize("name", list(CATALOG))
@pytest.mark.parametrize(
    "check", [check for check in contract.CHECKS if check is not OF_EVERY_PRESET], ids=lambda check: check.__name__
)
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_it_keeps_the_promise(check, name, tmp_path, capsys):
    def shown():
        with pytest.raises(SystemExit) as stopped:
            main(["fit", name, "--help"])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    check(contract.Subject(CATALOG.get(name), tmp_path, reserved=RESERVED, shown=shown))


@pytest.mark.parametrize("name", list(CATALOG))
def test_its_file_stays_short(name):
    lines = Path(CATALOG.module(name).__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
