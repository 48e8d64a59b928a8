"""Finding things by file name: a folder of modules is a catalogue, and a new file is a new entry.

Nothing is imported to list a catalogue. An entry's item is the one attribute of its module whose name is the
file's name, capitals and underscores aside (``methods/cd_gan.py`` holds ``CDGAN``, ``metrics/mig.py`` holds ``mig``).
Installed packages add entries by entry points, and ``FILE.py:NAME`` names an item that no catalogue lists
(:mod:`contrafact.core.plugins`), in a file that somebody asked for: a name alone runs nothing.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from contrafact.core.plugins import (
    GROUPS,
    admitted_module,
    find_in_named_files,
    is_spelled_out,
    load_plugin,
    load_spelled_out,
    plugins,
)

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


@functools.cache
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


@functools.cache
def _entries(root: Path, folder: str, helpers: frozenset[str]) -> Mapping[str, str]:
    """Names of a folder's public modules, sorted, by their squeezed spelling; they do not change while it runs."""
    stems = sorted(path.stem for path in (root / folder).glob("*.py"))
    return {_squeeze(stem): stem for stem in stems if not stem.startswith("_") and stem not in helpers}


class Catalog:
    """The entries of one folder of the package, and those that installed packages add to it.

    Args:
        folder: folder name under ``contrafact`` (``"methods"``).
        noun: what one entry is called in errors (``"method"``).
        helpers: modules of the folder that are not entries.
        base: ``module:class`` that an item from outside must be a subclass of; None where items are functions.

    >>> from contrafact.metrics import CATALOG
    >>> "mig" in CATALOG, CATALOG.resolve("DCI-ES"), CATALOG.get("mig").__name__, CATALOG.module("mig").__name__
    (True, 'dci_es', 'mig', 'contrafact.metrics.mig')
    >>> CATALOG.summary("mig").split()[0], set(CATALOG.own_names()) <= set(CATALOG.names())
    ('Mutual', True)
    """

    def __init__(self, folder: str, noun: str, helpers: Collection[str] = (), base: str | None = None) -> None:
        self.folder = folder
        self.noun = noun
        self._helpers = frozenset(helpers)
        self._base = base

    def own_names(self) -> list[str]:
        """Names of the package's own entries, sorted; imports nothing."""
        return list(self._own().values())

    def _own(self) -> Mapping[str, str]:
        return _entries(PACKAGE_ROOT, self.folder, self._helpers)

    def names(self) -> list[str]:
        """Entry names, sorted, those of installed packages included; imports nothing."""
        own = self.own_names()
        taken = {_squeeze(name) for name in own}
        return sorted([*own, *(name for name in self._plugins() if _squeeze(name) not in taken)])

    def _plugins(self) -> dict[str, EntryPoint]:
        return plugins(self.folder) if self.folder in GROUPS else {}

    def __contains__(self, name: object) -> bool:
        if is_spelled_out(name):
            return find_in_named_files(str(name)) is not None
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _find(self, name: str) -> str | None:
        wanted = _squeeze(name)
        return self._own().get(wanted) or next((entry for entry in self._plugins() if _squeeze(entry) == wanted), None)

    def resolve(self, name: str) -> str:
        """The entry's name for ``name`` in any spelling (``fashion-mnist``, ``FashionMNIST``).

        ``FILE.py:NAME`` stands for itself, once somebody has named that file (:meth:`admit`).

        Raises:
            ValueError: no such entry; the message suggests the nearest one.
        """
        if is_spelled_out(name):
            if name not in self:
                raise ValueError(
                    f"{name} is a file's code, and nobody has asked for it here; if you trust it, name it on the "
                    f"command line with --plugin {name.rpartition(':')[0]}"
                )
            return name
        found = self._find(name)
        if found is None:
            raise ValueError(unknown_name_message(self.noun, name, self.names()))
        return found

    def admit(self, name: str) -> str:
        """:meth:`resolve` of a name that somebody wrote in a call or on the command line: the file of ``FILE.py:NAME``
        is run. A name that stands in a file goes to :meth:`resolve`, which runs none.

        Raises:
            ValueError: no such entry, or a file that does not import or does not define ``NAME``.

        >>> from contrafact.metrics import CATALOG
        >>> _ = Path("mine.py").write_text("def mine(codes, factors): ...")
        >>> "mine.py:mine" in CATALOG, CATALOG.admit("mine.py:mine"), "mine.py:mine" in CATALOG
        (False, 'mine.py:mine', True)
        """
        if is_spelled_out(name):
            load_spelled_out(name)
        return self.resolve(name)

    def summary(self, name: str) -> str:
        """First line of the entry's module docstring; nothing of this package is imported for it."""
        entry = self.resolve(name)
        if is_spelled_out(entry):
            text = inspect.getdoc(self.module(entry)) or inspect.getdoc(self.get(entry)) or ""
        else:
            path = self._file_of(entry)
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" if path else ""
        return text.partition("\n")[0]

    def _file_of(self, entry: str) -> Path | None:
        if entry in self._own().values():
            return PACKAGE_ROOT / self.folder / f"{entry}.py"
        try:
            spec = importlib.util.find_spec(self._plugins()[entry].module)
        except ImportError:  # a broken plugin must not keep the others from being listed
            return None
        return None if spec is None or spec.origin is None else Path(spec.origin)

    def module(self, name: str) -> ModuleType:
        """Import the entry's module."""
        entry = self.resolve(name)
        if is_spelled_out(entry) and (named := admitted_module(entry)) is not None:
            return named
        if entry in self._own().values():
            return importlib.import_module(f"contrafact.{self.folder}.{entry}")
        return sys.modules[self.get(entry).__module__]

    def get(self, name: str) -> Any:
        """Import the entry and return its item (a class or a function).

        Raises:
            ValueError: no such entry, or one from outside that is no such thing.
            TypeError: the module holds no attribute of its own name (a mistake of its author).
        """
        entry = self.resolve(name)
        if is_spelled_out(entry):
            return self._checked(find_in_named_files(entry), entry)
        if entry not in self._own().values():
            return self._checked(load_plugin(self._plugins()[entry]), entry)
        module = self.module(entry)
        wanted = _squeeze(entry)
        for attribute, value in vars(module).items():
            if _squeeze(attribute) == wanted and getattr(value, "__module__", None) == module.__name__:
                return value
        raise TypeError(f"{module.__name__} must define the {self.noun} it is named after; no such attribute found")

    def _checked(self, item: Any, entry: str) -> Any:
        """An item from outside, if it is of this catalogue's kind."""
        if self._base is None:
            if not callable(item):
                raise ValueError(f"{entry} is no {self.noun}: expected a function, got {type(item).__name__}")
            return item
        module, _, name = self._base.partition(":")
        base = getattr(importlib.import_module(module), name)
        if not (isinstance(item, type) and issubclass(item, base)):
            raise ValueError(f"{entry} is no {self.noun}: expected a subclass of {module}.{name}")
        return item


class CataloguePackage(ModuleType):
    """Module type of a package whose attributes are its catalogue's items, imported on first use.

    A package adopts it by ``sys.modules[__name__].__class__ = ...``. Importing the file ``metrics/mig.py`` would by
    Python's rules bind the *module* as ``metrics.mig``; here the name always means the item.
    """

    CATALOG: Catalog

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in self.CATALOG.own_names():
            return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or is_spelled_out(name) or name not in self.CATALOG:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        item = self.CATALOG.get(name)
        super().__setattr__(name, item)
        return item

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.CATALOG.names()})
