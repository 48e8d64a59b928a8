"""Show what there is: methods, generators, data sets and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

from contrafact.cli._complete import shipped
from contrafact.cli._globals import answer
from contrafact.cli._methods import lines, print_methods
from contrafact.cli._parse import parse, print_table
from contrafact.core.catalog import Catalog
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
from contrafact.generators._installed import INSTALLED
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS

CATALOGS = {"methods": METHODS, "generators": GENERATORS, "data": DATA, "metrics": METRICS}


@dataclass(frozen=True)
class Options:
    """List methods, generators, data sets and metrics, each with a line on what it is."""

    what: Positional[Literal["methods", "generators", "data", "metrics", "all"]] = "all"
    """Which list."""


def list_(arguments: Sequence[str]) -> None:
    """Print one catalogue, or all."""
    options = parse(Options, arguments, "list")
    wanted = {title: catalog for title, catalog in CATALOGS.items() if options.what in (title, "all")}
    answer({title: _said(title, catalog) for title, catalog in wanted.items()})
    for title, catalog in CATALOGS.items():
        if options.what in (title, "all"):
            if title == "methods":
                print_methods()
                print()
                continue
            print(f"{title}:")
            print_table((name, catalog.summary(name)) for name in catalog)
            if title == "generators":
                print("generators with trained weights, by these names:")
                print_table((name, f"contrafact show generator {name}") for name in shipped())
                print("and, from other packages:")
                print_table((name, f"{item.about} ({item.command})") for name, item in INSTALLED.items())


def _said(title: str, catalog: Catalog) -> list[dict[str, Any]]:
    """A catalogue's entries for ``--json``."""
    if title == "methods":
        return [dataclasses.asdict(line) for line in lines()]
    entries: list[dict[str, Any]] = [{"name": name, "summary": catalog.summary(name)} for name in catalog]
    if title == "generators":
        entries += [{"name": name, "summary": "trained weights come with the package"} for name in shipped()]
        entries += [{"name": name, "summary": f"{i.about} ({i.command})"} for name, i in INSTALLED.items()]
    return entries
