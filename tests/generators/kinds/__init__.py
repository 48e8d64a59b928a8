"""Kinds of files people have: how each is written, and what must come of reading it.

Every file beside this one has a list ``KINDS``; a kind more is one entry there. They are a row each of the tables in
``docs/generators.md`` (``python docs/checkpoints/rows.py`` writes those), and ``test_kinds.py`` reads every one.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from contrafact.core.generator import Generator
from contrafact.generators.checkpoints import load_generator
from tests.generators.recorded import Recorded


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        family: the architecture, as the table says it.
        program: whose file it is.
        file: the name it has there.
        read: what is read of it (of one that is refused: what it is).
        write: writes one into an empty folder, from what the original program recorded; returns what a person names.
        recorded: the recording in ``reference/`` (its ``latent`` and ``image``), or what makes the original's anew
            where a plain torch module is it; None for a file that is refused.
        changes: what has to be said on loading.
        compare: the largest difference of an image in 0..1 from the original's, where it is not
            :func:`difference_of_images` that tells.
    """

    family: str
    program: str
    file: str
    read: str
    write: Callable[[Path], Path]
    recorded: str | Callable[[], Mapping[str, torch.Tensor]] | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    compare: Callable[[Generator, Any], float] | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.family}, {self.program}, {self.file}: {self.read}"


def kinds() -> list[Kind]:
    """All, in the order of their files' names and within these."""
    modules = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return [kind for name in modules for kind in importlib.import_module(f"{__name__}.{name}").KINDS]


def difference_of_images(generator: Generator, recorded: Any, black: float = -1.0, white: float = 1.0) -> float:
    """Largest difference of an image in 0..1; ``black`` and ``white`` are the original's."""
    expected = (recorded["image"] - black) / (white - black)
    with torch.no_grad():
        return float((generator(recorded["latent"]) - expected).abs().max())


def measure(kind: Kind, folder: Path) -> float:
    """Write the file, read it, and compare what it makes with what the original made."""
    assert kind.recorded is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not say all about its network")
        generator = load_generator(kind.write(folder), kind.changes)
    recorded = Recorded(kind.recorded) if isinstance(kind.recorded, str) else kind.recorded()
    return (kind.compare or difference_of_images)(generator, recorded)


def refusal(kind: Kind, folder: Path) -> str:
    """What is said of a file that is refused, without the folder's name and the list of all architectures.

    Raises:
        AssertionError: it was read.
    """
    try:
        load_generator(kind.write(folder), kind.changes)
    except ValueError as error:
        said = str(error).replace(f"{folder}/", "")
        return re.sub(r"known here \([^)]*\)", "known here (…)", said)
    raise AssertionError(f"{kind.name} was read")
