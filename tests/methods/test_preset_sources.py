"""The tables of presets and their sources in the methods' pages say what the presets hold, and leave nothing out."""

import ast
import re
from pathlib import Path

import pytest

from contrafact.methods import CATALOG

PAGES = Path(__file__).parents[2] / "docs" / "methods"
HEADING = "## Presets and their sources\n"
OURS = {"quick", "quick_unsupervised", "quick_centred", "standard", "tiny", "framed", "shipped"}
"""Presets that come from no paper or program."""
NAMES = [name for name in CATALOG.own_names() if set(CATALOG.get(name).presets) - OURS]
"""Methods that claim a source: their pages have the table."""


def rows_of(name):
    """Preset, settings and source of each line of a page's table."""
    section = (PAGES / f"{name}.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    lines = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    for preset, settings, source in lines:
        pairs = (cell.partition("=") for cell in re.findall(r"`([^`]*)`", settings))
        yield preset.strip(" `"), {key: ast.literal_eval(value) for key, _, value in pairs}, source.strip()


def held_by(method):
    """Every setting by its flat name; one that is left open has the value it takes."""
    return getattr(method, "resolved", lambda: method)().hyperparameters()


@pytest.mark.parametrize("name", NAMES)
def test_a_presets_settings_are_the_sources(name):
    rows, cls = list(rows_of(name)), CATALOG.get(name)
    assert rows, f"docs/methods/{name}.md has no table of presets and their sources"
    listed: dict[str, set[str]] = {}
    for preset, settings, source in rows:
        assert settings
        assert len(source) > 5, f"{preset} of {name} names no source"
        held = held_by(cls.preset(preset))
        for key, value in settings.items():
            assert key in held, f"{name} has no setting {key}"
            assert held[key] == value, f"{name}, preset {preset}: {key}"
        listed.setdefault(preset, set()).update(settings)
    for preset, settings in cls.presets.items():
        if preset not in OURS:  # an empty preset claims that the defaults are the source's
            assert preset in listed, f"docs/methods/{name}.md has no line for the preset {preset}"
            missing = set(settings) - listed.get(preset, set())
            assert not missing, f"docs/methods/{name}.md says no source of {missing}, preset {preset}"
