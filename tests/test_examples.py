"""Every public name says what it is and shows it: a docstring, and an example that pytest runs.

An example is a ``>>>`` line where the reference shows it: in the name's own docstring, or, for a member of a class, in
the class's. ``--doctest-modules`` runs all of them; here they are counted, and those that would not run are found.
"""

import doctest
import functools
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import contrafact
from contrafact import data, generators, methods, metrics
from contrafact.bench.recipe import Recipe, Row, load_recipe, recipe_folder
from contrafact.core.artefact import Artefact
from contrafact.core.catalog import Catalog
from contrafact.core.dataset import AnnotatedDataset, FactorDataset, ImageDataset, PairDataset
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.encoding import Codes
from contrafact.core.finished import Artefacts, FinishedRun
from contrafact.core.generator import Generator
from contrafact.core.memory import MemoryImages, as_dataset
from contrafact.core.method import Method
from contrafact.core.metric import MetricInfo, MetricResult
from contrafact.core.run import Run
from contrafact.core.settings import Configured
from contrafact.evaluation.result import Evaluation

ROOT = Path(__file__).parents[1]
PACKAGES = (methods, metrics, data, generators)
CONTRACTS = (
    *(Generator, Directions, GlobalDirections, Encoder, Artefact, Artefacts),
    *(ImageDataset, AnnotatedDataset, FactorDataset, PairDataset, MemoryImages),
    *(Configured, Method, Run, FinishedRun),
    *(MetricInfo, MetricResult, Evaluation, Codes, Catalog, Recipe, Row),
)
HOOKS = {
    "forward": "called as the object itself",
    **dict.fromkeys(("encode", "shift", "train"), "defined by whoever writes a new kind"),
    **dict.fromkeys(("check_source", "check_options", "grows"), "settings are checked, and lengthened, by the package"),
    **dict.fromkeys(("kept", "restore", "common_arguments"), "files are written and read by the package"),
    **dict.fromkeys(("check_layer", "check_condition", "check_truncates"), "input is checked by the package"),
    **dict.fromkeys(("check_truncation", "check_latent"), "input is checked by the package"),
    **dict.fromkeys(("processes", "finish", "holding"), "runs are begun and ended by Method.fit"),
}
"""Members that a user's code does not call: they are documented, and shown where it helps."""


def names_of(package):
    """Public names of a catalogue's package, as its stub has them."""
    stub = (Path(package.__file__).parent / "__init__.pyi").read_text(encoding="utf-8")
    return re.findall(r"^from [\w.]+ import \w+ as (\w+)$", stub, re.MULTILINE)


def public():
    """``{full name: object}`` of everything that a user reaches without an underscore."""
    found = {f"contrafact.{name}": getattr(contrafact, name) for name in contrafact.__all__}
    for package in PACKAGES:
        found |= {f"{package.__name__}.{name}": getattr(package, name) for name in names_of(package)}
    found |= {f"{cls.__module__}.{cls.__name__}": cls for cls in CONTRACTS}
    return found | {f"{f.__module__}.{f.__name__}": f for f in (as_dataset, load_recipe)}


PUBLIC = public()


def members(cls):
    """Public functions and properties that a class defines itself."""
    for name, value in vars(cls).items():
        inner = value
        if isinstance(value, classmethod | staticmethod):
            inner = value.__func__
        elif isinstance(value, property):
            inner = value.fget
        elif isinstance(value, functools.cached_property):
            inner = value.func
        if not name.startswith("_") and inspect.isfunction(inner):
            yield name, inner


MEMBERS = [(cls, name, member) for cls in CONTRACTS for name, member in members(cls)]


@functools.cache
def collected(module):
    """Examples of a module as doctest collects them, by the name of what they belong to."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {test.name: test.examples for test in finder.find(importlib.import_module(module)) if test.examples}


def examples(item):
    """Examples in an object's own docstring that are run."""
    if isinstance(item, ModuleType):
        return collected(item.__name__).get(item.__name__, [])
    return collected(item.__module__).get(f"{item.__module__}.{item.__qualname__}", [])


def source_of(found):
    return "\n".join(example.source for example in found)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_documented_and_shown(name):
    item = PUBLIC[name]
    own = item.__dict__.get("__doc__") if isinstance(item, type) else item.__doc__
    assert own, f"{name} has no docstring"
    assert not own.startswith(f"{getattr(item, '__name__', '')}("), f"{name} has only the docstring dataclass makes"
    assert examples(item), f"{name} has no example in its docstring"
    if not isinstance(item, ModuleType) and item.__module__.split(".")[1] in [p.CATALOG.folder for p in PACKAGES]:
        assert item.__name__ in source_of(examples(item)), f"the example of {name} does not use it"


@pytest.mark.parametrize(("cls", "name", "member"), MEMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_member_of_a_contract_is_documented_and_shown(cls, name, member):
    overridden = [getattr(base, name) for base in cls.__mro__[1:] if name in vars(base)]
    assert member.__doc__ or any(inspect.getdoc(base) for base in overridden), f"{cls.__name__}.{name} says nothing"
    if name in HOOKS or overridden:
        return
    shown = source_of([*examples(cls), *examples(member)])
    assert re.search(rf"\.{name}\b", shown), f"no example shows {cls.__name__}.{name}"


def test_a_hook_is_a_member():
    assert set(HOOKS) <= {name for _, name, _ in MEMBERS}


@pytest.mark.parametrize("path", sorted(recipe_folder().glob("*.py")), ids=lambda path: path.stem)
def test_a_recipe_says_which_table_it_is(path):
    assert load_recipe(path.stem).title
    assert path.read_text(encoding="utf-8").startswith('"""')


def test_examples_are_run_where_they_stand():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert "src" in options["testpaths"]
    assert "--doctest-modules" in options["addopts"]


def test_no_example_is_skipped():
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    assert [path for path, text in texts.items() if re.search(r"doctest:\s*\+SKIP|__doctest_skip__", text)] == []
