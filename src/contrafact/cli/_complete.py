"""What could come next on a command line: names and options, read from sources; nothing heavy is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence

from contrafact.cli._globals import OPTIONS, split_plugins
from contrafact.cli._methods import OF_A_GENERATOR, OF_IMAGES, OF_LABELS, shown_presets, what_it_declares
from contrafact.core.catalog import PACKAGE_ROOT, Catalog
from contrafact.core.declared import DeclaredField, declared
from contrafact.data import CATALOG as DATA
from contrafact.generators._installed import INSTALLED
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS

SHELLS = ("bash", "zsh", "fish")


def shipped() -> list[str]:
    """Names of the generators that come with trained weights."""
    return sorted(path.stem for path in (PACKAGE_ROOT / "generators" / "weights").glob("*.safetensors"))


_EVERYWHERE = tuple(f"--{name}" for name in OPTIONS)
_NAMES: Mapping[str, Callable[[], Collection[str]]] = {
    "generator": lambda: [*shipped(), *INSTALLED],
    "data": DATA.names,
    "metrics": lambda: [*METRICS.names(), "all"],
}
"""Values of options that take a name; of all others files may be meant, which the shell knows."""


def completions(words: Sequence[str], commands: Catalog) -> list[str]:
    """What the last of ``words`` (it may be empty) could become, given those before it.

    >>> from contrafact.cli import COMMANDS
    >>> completions(["fit", "sefa", "--pre"], COMMANDS), completions(["fit", "vae", "--preset", "q"], COMMANDS)
    (['--precision', '--preset'], ['quick'])
    """
    words = [word for word in words if word != "="]  # bash takes --preset=quick for three words
    *before, last = words or [""]
    option, given, value = last.partition("=")
    if given and option.startswith("--"):  # the others take it for one
        return [f"{option}={found}" for found in completions([*before, option, value], commands)]
    if before[-1:] != ["--plugin"]:  # its file is what comes next, and files are the shell's
        before, _ = split_plugins(before)
    before = [word for word in before if word not in _EVERYWHERE]
    everywhere = [*_EVERYWHERE, "--plugin"]
    if not before:
        found: Collection[str] = [*commands, *everywhere, "--help", "--version"]
    elif before[0] not in commands:
        found = []
    elif last.startswith("-"):
        found = [*_spelled(_fields(before)), *everywhere, "--help"]
    else:
        found = _values(before)
    return sorted({word for word in found if word.startswith(last)})


def _fields(before: Sequence[str]) -> dict[str, DeclaredField]:
    """Options of the command, of ``fit`` those that the method takes."""
    file = PACKAGE_ROOT / "cli" / f"{before[0]}.py"
    if before[0] != "fit":
        return declared(file, "Options").fields
    options = declared(file, "RunOptions").fields
    method = before[1] if len(before) > 1 else ""
    if method not in METHODS.own_names():
        return options
    own = what_it_declares(method)
    hidden = _hidden(str(own.values.get("source")), str(own.values.get("labels")))
    return {name: field for name, field in options.items() if name not in hidden} | own.fields


def _hidden(source: str, labels: str) -> Collection[str]:
    if source == "generator":
        return OF_IMAGES + OF_LABELS
    return OF_A_GENERATOR + (OF_LABELS if labels == "none" else ())


def _spelled(fields: Mapping[str, DeclaredField]) -> list[str]:
    """Options as they are typed; a yes-or-no one can be taken back."""
    options = []
    for name, field in fields.items():
        if not field.annotation.startswith("Positional"):
            option = (field.option or name).replace("_", "-")
            options += [f"--{option}", *([f"--no-{option}"] if field.annotation == "bool" else [])]
    return options


def _values(before: Sequence[str]) -> Collection[str]:
    """Values of the option before, or of the argument that comes next."""
    fields = _fields(before)
    if before[-1].startswith("--"):
        option = before[-1][2:].replace("-", "_")
        if option == "preset" and len(before) > 2 and before[1] in METHODS.own_names():
            return shown_presets(what_it_declares(before[1]).values.get("presets", ()))
        if option in _NAMES:
            return _NAMES[option]()
        field = next((field for name, field in fields.items() if (field.option or name) == option), None)
        return [] if field is None else _choices(field)
    if before[0] == "fit":
        return METHODS.names() if len(before) == 1 else []
    if before[0] == "completion" and len(before) == 1:
        return SHELLS
    if before[0] == "show" and len(before) == 2:
        return _NAMES.get(before[1], list)()
    positional = [field for field in fields.values() if field.annotation.startswith("Positional")]
    place = len(before) - 1
    if place >= len(positional) or any(word.startswith("-") for word in before):
        return []
    named = _NAMES.get(positional[place].name)
    return _choices(positional[place]) if named is None else named()


def _choices(field: DeclaredField) -> list[str]:
    """The values of a ``Literal`` in a type."""
    for node in ast.walk(ast.parse(field.annotation, mode="eval")):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            return [str(part.value) for part in ast.walk(node.slice) if isinstance(part, ast.Constant)]
    return []
