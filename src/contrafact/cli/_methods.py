"""Methods as the command line shows them: by what they need, with their presets; no method is imported for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from contrafact.core.catalog import PACKAGE_ROOT, unknown_name_message
from contrafact.core.declared import Declared, declared
from contrafact.methods import CATALOG

FOR_TESTS = frozenset({"tiny"})
"""Presets that make a method small enough to be tested; nobody would want what they train."""

OF_A_GENERATOR = ("generator", "space", "of_class", "changes")
OF_IMAGES = ("data", "path", "size", "split", "background", "channels", "fit", "skip_damaged")
OF_LABELS = ("labels", "label_seed", "factors")
"""Options of one kind of source, or of labels: a method is shown those it can use."""

GENERATOR = "a generator (--generator)"
FEW_LABELS = "images, and labels of a few of them (--data, --labels)"
IMAGES = "images (--data)"
INSTALLED = "of installed packages"


@dataclass(frozen=True)
class Line:
    """A method in a list.

    Attributes:
        name: its catalogue name.
        needs: what it learns from: one of the headings.
        presets: names of its presets.
        summary: what it is.
    """

    name: str
    needs: str
    presets: tuple[str, ...]
    summary: str


def lines() -> Iterator[Line]:
    """Every method, those that need the same beside each other."""
    found = [_line(name) for name in CATALOG]
    for heading in (GENERATOR, FEW_LABELS, IMAGES, INSTALLED):
        yield from (line for line in found if line.needs == heading)


def _line(name: str) -> Line:
    if name not in CATALOG.own_names():
        return Line(name, INSTALLED, (), CATALOG.summary(name))
    own = what_it_declares(name)
    on_images = FEW_LABELS if own.values.get("labels") == "few" else IMAGES
    needs = GENERATOR if own.values.get("source") == "generator" else on_images
    return Line(name, needs, shown_presets(own.values.get("presets", ())), CATALOG.summary(name))


def what_it_declares(name: str) -> Declared:
    """Fields and class variables of one of the package's own methods."""
    return declared(PACKAGE_ROOT / CATALOG.folder / f"{name}.py", name)


def shown_presets(presets: object) -> tuple[str, ...]:
    """Presets without those for tests."""
    return tuple(name for name in presets if name not in FOR_TESTS) if isinstance(presets, tuple) else ()


def check_preset(method: str, presets: tuple[str, ...], preset: str) -> None:
    """Refuse a preset the method lacks, and one for tests unless ``CONTRAFACT_TESTING`` is set.

    Raises:
        ValueError: the message lists those there are.
    """
    shown = presets if os.environ.get("CONTRAFACT_TESTING") else shown_presets(presets)
    if preset not in shown:
        raise ValueError(unknown_name_message(f"preset of {method}", preset, shown))


def print_methods() -> None:
    """Print the methods under headings, each with its presets."""
    everything = [*lines()]
    width = max(len(line.name) for line in everything)
    heading = ""
    for line in everything:
        if line.needs != heading:
            heading = line.needs
            print(f"\nmethods {heading}:" if heading == INSTALLED else f"\nmethods that learn from {heading}:")
        presets = f" (presets: {', '.join(line.presets)})" if line.presets else ""
        print(f"  {line.name:<{width}}  {line.summary}{presets}")
