"""What every method promises, checked for every file in ``methods/`` and each of its presets."""

import ast
import dataclasses
import itertools
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


def _settings(path):
    """Each class's settings, as ``(name: type = default, text)``, in their order."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield [
                (ast.unparse(said), ast.unparse(text))
                for said, text in itertools.pairwise(node.body)
                if isinstance(said, ast.AnnAssign) and isinstance(text, ast.Expr)
            ]


def test_settings_that_methods_share_are_written_once():
    """Three settings in a row that stand word for word in two files belong in what the two methods share."""
    files = sorted(Path(CATALOG.module("moco").__file__).parent.glob("*.py"))
    seen = {}
    for path in files:
        for settings in _settings(path):
            for three in itertools.pairwise(itertools.pairwise(settings)):
                seen.setdefault(three, set()).add(path.name)
    assert len(seen) > 200
    assert not {names for three in seen if len(names := frozenset(seen[three])) > 1}
