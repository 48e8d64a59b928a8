"""Finding things by file name: a folder of modules is a catalogue, and a new file is a new entry.

Nothing is imported to list a catalogue. An entry's item is the one attribute of its module whose name is the
file's name, capitals and underscores aside (``methods/cd_gan.py`` holds ``CDGAN``, ``metrics/mig.py`` holds ``mig``).
"""

from __future__ import annotations

import ast
import difflib
import importlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


def _squeeze(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def slug(name: str) -> str:
    """``name`` as part of a file name: lower case, anything but letters and digits a hyphen.

    >>> slug("W + 3 layers")
    'w-3-layers'
    """
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-")


def unknown_name_message(noun: str, name: str, known: Collection[str]) -> str:
    """The error text for a name nobody knows: the nearest known one first, then all of them.

    >>> unknown_name_message("method", "sefaa", ["disco", "sefa"])
    "unknown method 'sefaa'; did you mean 'sefa'? known: disco, sefa"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {noun} {name!r}; {hint}known: {', '.join(sorted(known))}"


class Catalog:
    """The entries of one folder of the package.

    Args:
        folder: folder name under ``contrafact`` (``"methods"``).
        noun: what one entry is called in errors (``"method"``).
        helpers: modules of the folder that are not entries.
    """

    def __init__(self, folder: str, noun: str, helpers: Collection[str] = ()) -> None:
        self.folder = folder
        self.noun = noun
        self._helpers = frozenset(helpers)

    def names(self) -> list[str]:
        """Entry names, sorted; imports nothing."""
        paths = (PACKAGE_ROOT / self.folder).glob("*.py")
        return sorted(p.stem for p in paths if not p.stem.startswith("_") and p.stem not in self._helpers)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _find(self, name: str) -> str | None:
        wanted = _squeeze(name)
        return next((entry for entry in self.names() if _squeeze(entry) == wanted), None)

    def resolve(self, name: str) -> str:
        """The entry's file name for ``name`` in any spelling (``fashion-mnist``, ``FashionMNIST``).

        Raises:
            ValueError: no such entry; the message suggests the nearest one.
        """
        found = self._find(name)
        if found is None:
            raise ValueError(unknown_name_message(self.noun, name, self.names()))
        return found

    def summary(self, name: str) -> str:
        """First line of the entry's module docstring, read without importing it."""
        path = PACKAGE_ROOT / self.folder / f"{self.resolve(name)}.py"
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        return docstring.partition("\n")[0]

    def module(self, name: str) -> ModuleType:
        """Import the entry's module."""
        return importlib.import_module(f"contrafact.{self.folder}.{self.resolve(name)}")

    def get(self, name: str) -> Any:
        """Import the entry and return its item (a class or a function).

        Raises:
            ValueError: no such entry.
            TypeError: the module holds no attribute of its own name (a mistake of its author).
        """
        module = self.module(name)
        wanted = _squeeze(self.resolve(name))
        for attribute, value in vars(module).items():
            if _squeeze(attribute) == wanted and getattr(value, "__module__", None) == module.__name__:
                return value
        raise TypeError(f"{module.__name__} must define the {self.noun} it is named after; no such attribute found")


class CataloguePackage(ModuleType):
    """Module type of a package whose attributes are its catalogue's items, imported on first use.

    A package adopts it by ``sys.modules[__name__].__class__ = ...``. Importing the file ``metrics/mig.py`` would by
    Python's rules bind the *module* as ``metrics.mig``; here the name always means the item.
    """

    CATALOG: Catalog

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in self.CATALOG.names():
            return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.CATALOG:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        item = self.CATALOG.get(name)
        super().__setattr__(name, item)
        return item

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.CATALOG.names()})
