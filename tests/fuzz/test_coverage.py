"""No reader is forgotten: whatever opens files, and whatever is catalogued, has a target."""

import ast
import importlib
import inspect
import pkgutil

import pytest

import contrafact
from contrafact.core.artefact import Artefact
from contrafact.core.catalog import PACKAGE_ROOT
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
from tests.fuzz import seeds
from tests.fuzz.targets import all_targets

TARGETS = all_targets()

_READING = {
    *(
        "load",
        "loads",
        "load_file",
        "safe_open",
        "loadmat",
        "fromfile",
        "memmap",
        "genfromtxt",
        "loadtxt",
        "read_array",
    ),
    *(
        "read_text",
        "read_bytes",
        "ZipFile",
        "File",
        "open",
        "reader",
        "DictReader",
        "Unpickler",
        "decompress",
        "read_csv",
    ),
    *("read_json", "parse_json", "open_picture"),
}
"""Names of functions that bytes of files come in by."""

NOT_FOREIGN = {
    "training.step_memory": "what the kernel says of free memory",
    "app.assets": "the page's own files",
    "app.export": "reads back what it has just written itself",
    "app.runtime": "an archive whose SHA-512 stands in the source, checked first",
    "app.notebook": "reads back the page it has just written",
    "app.film": "reads back the film it has just written",
    "app.server": "reads the page's own style and script",
    "bench.recipe": "recipes are code",
    "bench.cells": "records that it has written itself; runs by their reader",
    "bench.divided": "what the process that starts it has just written, in a folder of its own",
    "bench.usual": "records of cells, results of the project",
    "bench.kept": "results that it has written itself",
    "bench.reproduce": "results that it has just written itself",
    "bench.suite": "results that it has written itself, or that came with the package",
    "report.leaderboard": "the page's own style and script",
    "bench.smoke": "a recipe's own settings, written down as a key",
    "bench.contents": "bytes of which a digest is taken",
    "bench.usage": "what the kernel says of the process",
    "bench.results": "the table it has written before",
    "core.declared": "the package's own source, or that of an installed plugin",
    "evaluation.paper": "the table it has just written, in memory",
    "cli": "opens the null device, and writes what went wrong",
    "cli.explore": "opens a session",
    "contract.dataset": "reads back what it has just written itself",
    "contract.method": "reads back what it has just written itself",
    "contract.metric": "reads back what it has just written itself",
    "core.catalog": "reads the package's own modules",
    "core.pictures": "writes videos",
    "core.plugins": "installed packages and files of one's own code that are named to be run",
    "data._room": "hashes its own source",
    "core.hub": "a commit from the cache, of which forty digits are taken; the readers of what it fetches are targets",
    "report.share": "its own card, of which one line is looked for; scores by their reader",
    "generators._nearest": "the package's own table of layouts",
    "generators.class_knob": "turns its own arguments into JSON and back",
    "training.latent_table": "maps a scratch file it has just made",
    "report.page": "reads the page's own style and script",
    "report.study": "reads the study's own template",
}
"""Modules that call such functions on no foreign bytes, and why."""


def _modules():
    for found in pkgutil.walk_packages(contrafact.__path__, "contrafact."):
        if not found.name.endswith("__main__"):
            yield found.name.removeprefix("contrafact.")


def _reads(module):
    path = PACKAGE_ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _READING:
                yield f"{name} in line {node.lineno}"


def test_every_module_that_reads_has_a_target():
    covered = {module for target in TARGETS.values() for module in target.covers}
    missing = {
        module: found
        for module in _modules()
        if module not in covered and module not in NOT_FOREIGN and (found := sorted(_reads(module)))
    }
    assert not missing, (
        "these modules read files: add a target to tests/fuzz/targets.py that covers each (or, where no byte comes "
        f"from outside, a line to NOT_FOREIGN): {missing}"
    )


def test_what_is_covered_exists():
    known = set(_modules())
    assert not {m for target in TARGETS.values() for m in target.covers if m not in known}
    assert known >= NOT_FOREIGN.keys()


@pytest.mark.parametrize("name", DATA.names())
def test_every_dataset_has_a_target(name):
    if "path" not in inspect.signature(DATA.get(name)).parameters:
        pytest.skip("reads no files")
    assert any(target.item == f"data.{name}" for target in TARGETS.values()), (
        f"add a writer of small files for {name} to tests/data/tiny_files.py"
    )


@pytest.mark.parametrize("name", GENERATORS.names())
def test_every_architecture_that_reads_checkpoints_has_a_target(name):
    if not hasattr(GENERATORS.module(name), "read"):
        pytest.skip("reads no foreign checkpoints")
    assert any(target.item == f"generators.{name}" for target in TARGETS.values()), (
        f"add a checkpoint of {name} to checkpoint_files in tests/fuzz/seeds.py"
    )


def test_every_artefact_class_has_a_file():
    for module in _modules():
        importlib.import_module(f"contrafact.{module}")
    classes, rest = set(), [Artefact]
    while rest:
        cls = rest.pop()
        rest += cls.__subclasses__()
        writable = cls.arguments is not Artefact.arguments and not inspect.isabstract(cls)
        if cls.__module__.startswith("contrafact.") and writable:
            classes.add(cls.__name__.lower())
    files = {name.replace("_", "") for name in seeds.artefact_files(Artefact)}
    # Those built around a module of one's own have no file that could be read alone.
    assert classes - files <= {"ownencoder", "wrapped"}
