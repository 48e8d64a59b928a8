"""Type stubs beside the packages whose names are imported on first use: ``python -m tests.stubs`` writes them anew.

A type checker and an editor cannot follow ``__getattr__``; the stubs tell them where each name really is.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import contrafact
from contrafact import data, generators, methods, metrics
from contrafact.core.catalog import Catalog

PACKAGE = Path(contrafact.__file__).parent
HEADER = "# Written by `python -m tests.stubs`; a test keeps it fresh.\n"


def stubs() -> dict[Path, str]:
    """Text of every stub by its path."""
    texts = {PACKAGE / "__init__.pyi": _top()}
    for package in (methods, metrics, data, generators):
        texts[PACKAGE / package.CATALOG.folder / "__init__.pyi"] = _catalogue(package)
    return {path: HEADER + text for path, text in texts.items()}


def _top() -> str:
    lines = [f"from {module} import {name} as {name}" for name, module in sorted(contrafact._LAZY.items())]
    lines += [f"from contrafact import {name} as {name}" for name in contrafact._SUBPACKAGES]
    names = "".join(f'    "{name}",\n' for name in contrafact.__all__)
    return "\n".join([*sorted(lines), "", "__version__: str", f"__all__ = [\n{names}]", ""])


def _catalogue(package: object) -> str:
    catalog: Catalog = package.CATALOG
    places = {_item(catalog, name): f"contrafact.{catalog.folder}.{name}" for name in catalog.own_names()}
    places |= {name: f"contrafact.{module}" for name, module in getattr(package, "_FUNCTIONS", {}).items()}
    lines = [f"from {module} import {name} as {name}" for name, module in places.items()]
    imports = ["from contrafact.core.catalog import Catalog as Catalog", *sorted(lines)]
    return "\n".join([*imports, "", "CATALOG: Catalog", ""])


def _item(catalog: Catalog, name: str) -> str:
    """Name of an entry's item as its file spells it."""
    tree = ast.parse((PACKAGE / catalog.folder / f"{name}.py").read_text(encoding="utf-8"))
    return next(
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and node.name.replace("_", "").lower() == name.replace("_", "")
    )


def _squeezed(name: str) -> str:
    return name.replace("_", "").lower()


if __name__ == "__main__":
    for path, text in stubs().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}", file=sys.stderr)
