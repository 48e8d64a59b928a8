"""Show what there is: methods, generators, data sets and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._methods import print_methods
from contrafact.cli._parse import parse, print_table
from contrafact.core.catalog import PACKAGE_ROOT
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
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
    for title, catalog in CATALOGS.items():
        if options.what in (title, "all"):
            if title == "methods":
                print_methods()
                print()
                continue
            print(f"{title}:")
            print_table((name, catalog.summary(name)) for name in catalog)
            if title == "generators":
                shipped = sorted(path.stem for path in (PACKAGE_ROOT / "generators" / "weights").glob("*.safetensors"))
                print("generators with trained weights, by these names:")
                print_table((name, f"contrafact show generator {name}") for name in shipped)
