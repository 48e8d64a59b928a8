"""What the forms of pictures that are not files in a folder share.

Each says what its pictures are called and which classes they have, and gives them one by one, so that none is held
whole in memory. Sizes that a file claims are checked before anything is unpacked.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import IntArray
from contrafact.core.decoding import Item
from contrafact.core.places import fingerprint_files

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Parts, and what their folders, files and arrays are called."""

MOST_PICTURE_BYTES = 2**27
"""Of one picture's file."""
IMAGE_KEYS = ("images", "image", "imgs", "img", "x", "data", "pictures", "arr_0")
"""What arrays and columns of pictures are called, the likeliest first."""
LABEL_KEYS = ("labels", "label", "targets", "target", "y", "classes", "class", "category", "arr_1")
"""What those of classes are called."""


class Album(ABC):
    """Pictures in one form.

    Attributes:
        place: the file they are in.
        names: what each is called, within it.
        labels: class of each, or None.
        class_names: names of the classes.
        side: shorter side of every picture, where all have one; else None.
        split: the part that was read; None where there are none.
    """

    place: Path
    names: Sequence[str]
    labels: IntArray | None = None
    class_names: tuple[str, ...] = ()
    side: int | None = None
    split: str | None = None

    @contextmanager
    @abstractmethod
    def opened(self) -> Iterator[Callable[[int], Item]]:
        """Within the block, what gives a picture by its number; quickest in ascending order."""
        yield lambda _: b""

    def files(self) -> list[Path]:
        """The files that the pictures depend on."""
        return [self.place]

    def fingerprint(self) -> str:
        """Hash of what the pictures and their classes depend on."""
        digest = hashlib.sha256(fingerprint_files(self.files()).encode())
        digest.update(str(self.split or "").encode())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()[:16]


def part_of(name: str) -> str | None:
    """The part that a folder, a file or an array of this name is of."""
    return next((part for part, names in SPLITS.items() if name.lower() in names), None)


def classes_of(labels: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Class of each picture and the classes' names, in alphabetic order."""
    names, values = np.unique(list(labels), return_inverse=True)
    return values.astype(np.int64), tuple(map(str, names))


def numbered_classes(labels: npt.ArrayLike) -> tuple[IntArray, tuple[str, ...]]:
    """The same of labels that are numbers, in ascending order."""
    values, inverse = np.unique(labels, return_inverse=True)
    return inverse.astype(np.int64), tuple(f"{value:.15g}" for value in values.tolist())


def folders_as_classes(names: Sequence[str], split: str | None, who: object) -> tuple[list[int], str | None, list[str]]:
    """Which pictures are of a part, the part, and the folder of each that is its class; empty texts for none.

    Folders that all pictures share say nothing. Where the folders that differ first are parts, one part is taken: the
    one asked for, or the training part.

    Raises:
        ValueError: a part that is not there.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = 0
    while all(len(parts) > depth for parts in folders) and len({parts[depth] for parts in folders}) == 1:
        if len(folders) == 0 or part_of(folders[0][depth]):
            break
        depth += 1
    heads = {parts[depth] if len(parts) > depth else "" for parts in folders}
    kept = list(range(len(names)))
    found = {part_of(head) for head in heads}
    if heads and None not in found and len(found) >= 1:
        wanted = split or ("train" if "train" in found else None)
        if wanted is None:
            return kept, None, [""] * len(names)
        if wanted not in found:
            raise ValueError(f"{who} has no part {wanted!r}; it has {', '.join(sorted(map(str, found)))}")
        kept = [number for number in kept if part_of(folders[number][depth]) == wanted]
        return kept, wanted, [folders[n][depth + 1] if len(folders[n]) > depth + 1 else "" for n in kept]
    if split is not None:
        raise ValueError(
            f"{who} has no parts to choose from with split={split!r} (--split): expected folders such as "
            f"{', '.join(names[0] for names in SPLITS.values())}; found {', '.join(sorted(heads)[:10]) or 'none'}"
        )
    return kept, None, [parts[depth] if len(parts) > depth else "" for parts in folders]


class Numbers(Sequence[str]):
    """Names of pictures that have none: their numbers."""

    def __init__(self, count: int, digits: int) -> None:
        self._count, self._digits = count, digits

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        return f"{range(self._count)[place]:0{self._digits}}"
