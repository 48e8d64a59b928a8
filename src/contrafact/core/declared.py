"""What a class declares, read from its source: listing and completing names imports nothing, and torch least of all.

Class variables that are literals, and the fields of dataclasses, those of base classes included. What is not written
out (a value computed elsewhere) is not seen.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from contrafact.core.catalog import PACKAGE_ROOT


@dataclass(frozen=True)
class DeclaredField:
    """A field of a dataclass.

    Attributes:
        name: as written.
        annotation: its type's source text.
        option: its name on the command line where ``tyro.conf.arg(name=...)`` says another, else empty.
    """

    name: str
    annotation: str
    option: str = ""


@dataclass
class Declared:
    """What a class and its bases declare, the class's own word last.

    Attributes:
        values: class variables that are literals; of a dictionary, the keys that are texts, as a tuple.
        fields: fields by name, those of groups (a field whose type is a dataclass of the same file) in their place.
    """

    values: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, DeclaredField] = field(default_factory=dict)


def declared(path: Path, name: str) -> Declared:
    """What the class called ``name``, underscores and capitals aside, in a Python file declares.

    >>> vae = declared(PACKAGE_ROOT / "methods" / "vae.py", "vae")
    >>> vae.values["source"], "latent_dim" in vae.fields
    ('images', True)
    """
    found = Declared()
    classes = _classes(path)
    wanted = next((own for own in classes if own.lower() == name.replace("_", "").lower()), None)
    if wanted is not None:
        _collect(path, wanted, found)
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}


def _collect(path: Path, name: str, found: Declared) -> None:
    """Add what the class declares to ``found``, after what its bases do."""
    node = _classes(path).get(name)
    if node is None:
        imported = _imported(path).get(name)
        if imported is not None:
            _collect(imported, name, found)
        return
    for base in reversed(node.bases):  # as dataclasses gather fields; and what the first one says holds
        _collect(path, ast.unparse(base), found)
    for statement in node.body:
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        annotation, key = ast.unparse(statement.annotation), statement.target.id
        if not annotation.startswith("ClassVar"):
            if _is_group(path, annotation):
                _collect(path, annotation, found)
            else:
                found.fields[key] = DeclaredField(key, _alias(path, annotation), _option(path, statement.annotation))
        elif isinstance(statement.value, ast.Dict):
            keys = [part.value for part in statement.value.keys if isinstance(part, ast.Constant)]
            found.values[key] = tuple(keys)
        elif statement.value is not None:
            try:
                found.values[key] = ast.literal_eval(statement.value)
            except ValueError:  # computed: not seen
                continue


def _is_group(path: Path, name: str) -> bool:
    """Whether it is a class whose fields are a method's own (``core.settings.Group``), here or where it comes from."""
    file = path if name in _classes(path) else _imported(path).get(name)
    node = None if file is None else _classes(file).get(name)
    return node is not None and any(ast.unparse(base) == "Group" for base in node.bases)


def _imported(path: Path) -> dict[str, Path]:
    """Names a file imports from the package, and the files they come from."""
    found: dict[str, Path] = {}
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("contrafact."):
            file = PACKAGE_ROOT.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py")
            found |= {alias.name: file for alias in node.names if file.is_file()}
    return found


def _assigned(path: Path, name: str) -> tuple[Path, ast.expr] | None:
    """What a file, or the one it imports the name from, assigns to a name, and in which file."""
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return path, node.value
    imported = _imported(path).get(name)
    return None if imported is None else _assigned(imported, name)


def _alias(path: Path, annotation: str) -> str:
    """The type that a name such as ``EncoderKind`` stands for, and each part of a union of names."""
    if not annotation.isidentifier():
        parts = annotation.split(" | ")
        return " | ".join(_alias(path, part) for part in parts) if len(parts) > 1 else annotation
    found = _assigned(path, annotation)
    return annotation if found is None else _alias(found[0], ast.unparse(found[1]))


def _option(path: Path, annotation: ast.expr) -> str:
    """The name that ``arg(name=...)`` in an annotation gives."""
    if isinstance(annotation, ast.Name):
        found = _assigned(path, annotation.id)
        return "" if found is None else _option(*found)
    for node in ast.walk(annotation):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return ""
