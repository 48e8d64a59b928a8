"""Check that a method, metric, dataset, generator or recipe keeps what its kind promises: yours, or one of ours."""

from __future__ import annotations

import dataclasses
import inspect
import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from contrafact.cli._globals import answer
from contrafact.cli._parse import parse
from contrafact.cli._types import FileOrFolder

if TYPE_CHECKING:
    from contrafact.contract.promise import Outcome

Kind = Literal["methods", "metrics", "data", "generators", "recipes"]


@dataclass(frozen=True)
class Options:
    """Run the checks that every item must pass, on tiny input, and say what to do where one fails."""

    name: Positional[str]
    """FILE.py:NAME, or a name (contrafact list)."""
    kind: Kind | None = None
    """What it is, where that is not plain: by default it is found from what it derives from."""
    path: FileOrFolder | None = None
    """Of a dataset that reads files: where they are."""


def check(arguments: Sequence[str]) -> None:
    """Print each promise and whether it is kept; exit status 1 where one is not."""
    options = parse(Options, arguments, "check")
    kinds: list[Kind] = [options.kind] if options.kind is not None else _kinds(options.name)
    found: dict[Kind, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            found[kind] = _RUNNERS[kind](options, Path(folder))
    answer({kind: [dataclasses.asdict(outcome) for outcome in outcomes] for kind, outcomes in found.items()})
    for kind, outcomes in found.items():
        _print(f"{options.name} ({kind})", outcomes)
    if not all(outcome.kept for outcomes in found.values() for outcome in outcomes):
        raise SystemExit(1)


def _print(title: str, outcomes: Sequence[Outcome]) -> None:
    print(title)
    for outcome in outcomes:
        print(f"  {'✓' if outcome.kept else '✗'} {outcome.promise}")
        if not outcome.kept:
            print(f"      {outcome.advice}")
    broken = sum(not outcome.kept for outcome in outcomes)
    print(f"{len(outcomes) - broken} of {len(outcomes)} promises kept")


def _kinds(name: str) -> list[Kind]:
    """Which kinds of thing are called so.

    Raises:
        ValueError: none is.
    """
    from contrafact.bench.recipe import recipe_names
    from contrafact.cli.list import CATALOGS
    from contrafact.core.catalog import unknown_name_message
    from contrafact.core.plugins import is_spelled_out, load_spelled_out

    if is_spelled_out(name):
        return [_kind_of(load_spelled_out(name), name)]
    if name.endswith(".py"):
        return ["recipes"]
    known: dict[Kind, Any] = {kind: CATALOGS[kind] for kind in _RUNNERS if kind != "recipes"}
    found: list[Kind] = [kind for kind, catalog in known.items() if name in catalog]
    if name.replace("_", "-").lower() in recipe_names():
        found.append("recipes")
    if not found:
        every = [*(entry for catalog in known.values() for entry in catalog), *recipe_names()]
        raise ValueError(unknown_name_message("method, metric, dataset, generator or recipe", name, every))
    return found


def _kind_of(item: Any, name: str) -> Kind:
    from torch import nn

    from contrafact.bench.recipe import Recipe
    from contrafact.core.dataset import ImageDataset
    from contrafact.core.method import Method

    bases: dict[type[Any], Kind] = {
        Method: "methods",
        ImageDataset: "data",
        nn.Module: "generators",
        Recipe: "recipes",
    }
    for base, kind in bases.items():
        if isinstance(item, base) or (isinstance(item, type) and issubclass(item, base)):
            return kind
    if not callable(item) or isinstance(item, type):
        raise ValueError(
            f"{name} is nothing that can be checked: expected a Method, an ImageDataset, a Generator, a torch module, "
            "a Recipe, a metric's function, or one that makes a generator"
        )
    needed = [p for p in inspect.signature(item).parameters.values() if p.default is p.empty]
    return "metrics" if needed else "generators"  # which are made of nothing


def _methods(options: Options, folder: Path) -> list[Outcome]:
    from contrafact.cli import main
    from contrafact.cli.fit import RunOptions
    from contrafact.contract import method as contract
    from contrafact.contract.promise import outcomes
    from contrafact.methods import CATALOG

    def shown() -> str:
        out = io.StringIO()
        with redirect_stdout(out), suppress(SystemExit):  # the parser's way out
            main(["fit", options.name, "--help"])
        return out.getvalue()

    reserved = frozenset(field.name for field in dataclasses.fields(RunOptions))
    subject = contract.Subject(CATALOG.get(options.name), folder, reserved=reserved, shown=shown)
    return outcomes(contract.CHECKS, subject)


def _metrics(options: Options, folder: Path) -> list[Outcome]:
    from contrafact.contract import metric as contract
    from contrafact.contract.promise import outcomes

    return outcomes(contract.CHECKS, contract.subject_of(options.name))


def _data(options: Options, folder: Path) -> list[Outcome]:
    from contrafact.contract import dataset as contract
    from contrafact.contract.promise import outcomes
    from contrafact.data import CATALOG

    cls = CATALOG.get(options.name)
    try:
        dataset = cls() if options.path is None else cls(path=options.path)
    except TypeError as error:
        raise ValueError(f"{options.name} cannot be built ({error}); give its arguments defaults, or --path") from error
    listed = options.name in CATALOG.own_names()
    return outcomes(contract.CHECKS, contract.Subject(dataset, folder, listed))


def _generators(options: Options, folder: Path) -> list[Outcome]:
    import torch

    from contrafact.contract import generator as contract
    from contrafact.contract.promise import outcomes
    from contrafact.core.plugins import is_spelled_out
    from contrafact.generators import CATALOG
    from contrafact.generators.checkpoints import load_generator

    if not is_spelled_out(options.name) and options.name in CATALOG.own_names():
        item = CATALOG.get(options.name)
        if not hasattr(item, "tiny"):
            raise ValueError(f"{options.name} makes a generator of a module of yours: check FILE.py:NAME that calls it")
        torch.manual_seed(0)
        return outcomes(contract.CHECKS, item.tiny().freeze())
    return outcomes(contract.CHECKS, load_generator(options.name))


def _recipes(options: Options, folder: Path) -> list[Outcome]:
    from contrafact.bench.recipe import load_recipe
    from contrafact.contract import recipe as contract
    from contrafact.contract.promise import outcomes

    return outcomes(contract.CHECKS, contract.Subject(load_recipe(options.name)))


_RUNNERS: dict[Kind, Callable[[Options, Path], list[Outcome]]] = {
    "methods": _methods,
    "metrics": _metrics,
    "data": _data,
    "generators": _generators,
    "recipes": _recipes,
}
