"""Rules of the whole: who may import whom, what a catalogue's file must say, that one file is enough."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import contrafact
from contrafact.core.metric import MetricInfo
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(contrafact.__file__).parent
ENTRIES = [(catalog, name) for catalog in (METHODS, GENERATORS, DATA, METRICS) for name in catalog]
IDS = [f"{catalog.folder}/{name}" for catalog, name in ENTRIES]


def test_dependencies_point_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("catalog", "name"), ENTRIES, ids=IDS)
def test_an_entry_is_its_file(catalog, name):
    item = catalog.get(name)
    summary = catalog.summary(name)
    assert 10 < len(summary) <= 120, "the docstring's first line is what `contrafact list` prints"
    assert summary.endswith((".", "?"))
    assert item.__doc__


@pytest.mark.parametrize("name", list(METRICS))
def test_a_metric_says_what_it_measures(name):
    info = METRICS.module(name).INFO
    assert isinstance(info, MetricInfo)
    assert info.low < info.high
    assert info.source


def test_every_entry_has_a_page_of_reference(tmp_path):
    spec = importlib.util.spec_from_file_location("docs_conf", ROOT / "docs" / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    pages = {str(page.relative_to(tmp_path)): page.read_text() for page in conf.write_reference(tmp_path)}
    for catalog, name in ENTRIES:
        assert f"automodule:: contrafact.{catalog.folder}.{name}\n" in pages[f"{catalog.folder}/{name}.md"]
        assert f"{catalog.folder}/{name}.md" in pages[f"{catalog.folder}.md"]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sources_hold_nothing_unfinished(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError", text)
    assert not re.search(r"except( Exception| BaseException)?:", text), "name the exceptions"
    assert path.name != "utils.py"
    assert text.startswith(('"""', "#")) or not text.strip()
