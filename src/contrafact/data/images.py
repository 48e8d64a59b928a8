"""Your own pictures: a folder, a zip, arrays (npy, npz, HDF5), the Hugging Face hub's parquet, or a table of files.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray, check_count, check_indices
from contrafact.core.decoding import (
    PICTURES,
    Item,
    TooDeepError,
    TooSmallError,
    UnusableError,
    first_of,
    parse_background,
    shown_name,
)
from contrafact.core.places import fingerprint_files
from contrafact.data._album import SPLITS, Album, classes_of, part_of
from contrafact.data._albums import FORMS, open_album
from contrafact.data._files import PathLike, StoredArray, cache_folder, unpack_once, write_cache
from contrafact.data._parquet_album import ParquetAlbum
from contrafact.data._pixels import to_images
from contrafact.data._square import Fit, check_look, decode_square

WHITE = "#ffffff"
DEFAULT_SIDE = 64
_MUCH = 0.1
_BLOCK_IMAGES = 256
_BLOCK_BYTES = 2**28
_VERSION = 2
"""Raised when the same pictures become other pixels, so that no old cache is used."""


@dataclass
class Findings:
    """What decoding a folder found.

    Attributes:
        unusable: why a picture cannot be used, by its row.
        largest_size: the largest size at which no picture is too small, None where all are large enough.
        deep: whether a picture has more bits a channel than can be read.
        see_through: pictures that are not opaque.
        animated: pictures of which the first frame was taken.
        scaled: pictures of more than 8 bits a channel, which were scaled to 8.
        cut: pictures of which more than a tenth was cut off.
        most_cut: the largest share that was cut off any.
        complete: whether all have been looked at.
    """

    unusable: dict[int, str] = field(default_factory=dict)
    largest_size: int | None = None
    deep: bool = False
    see_through: int = 0
    animated: int = 0
    scaled: int = 0
    cut: int = 0
    most_cut: float = 0.0
    complete: bool = False

    def add(self, row: int, error: UnusableError) -> None:
        """Note a picture that cannot be used."""
        self.unusable[row] = str(error)
        self.deep |= isinstance(error, TooDeepError)
        if isinstance(error, TooSmallError):
            self.largest_size = min(error.side, self.largest_size or error.side)


class Images(ImageDataset):
    """Pictures of your own, each shrunk until its shorter side is ``size``, then cropped to the centre.

    Pictures are decoded on first use, once, into a cache in the cache folder. When every picture lies in a subfolder,
    the first-level subfolders are its classes; folders ``train``, ``val`` and ``test`` are parts. A zip's
    ``dataset.json``, a parquet file's and an array's ``label`` and a table's column ``label`` or ``class`` are classes.
    A warning says how many pictures are see-through, deep, animated or cut, and what became of it.

    Args:
        path: the folder, searched with all its subfolders, hidden ones excepted; or a file: ``.zip``, ``.npy``,
            ``.npz``, ``.h5``, ``.parquet``, or a ``.csv`` of picture files.
        size: image side in pixels, 64 by default; of arrays, their own. A picture with a shorter side is refused, not
            enlarged.
        background: what see-through parts are laid on: a colour's name, or a code such as ``#80ff00``.
        channels: 3 for RGB; 1 for grey; 4 for RGB and opacity, where fully see-through pixels have the background's
            colour.
        skip_damaged: instead of refusing the folder, leave out the pictures that cannot be used, with a warning that
            counts them. All are then decoded at once.
        fit: how other pictures become square: ``crop`` to the centre, ``pad`` with the background, or ``squeeze``.
        split: ``train``, ``val`` or ``test``, where there are such parts; by default the training part.

    Raises:
        ValueError: no such folder, no pictures in it, a size below 1, an unknown colour, another number of channels, or
            a part that is not there; on first use also pictures that cannot be decoded, are too small, or have more
            than 16 bits a channel: all of them are named.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> for file, colour in (("pets/cat/1.png", "red"), ("pets/dog/1.jpg", "white"), ("pets/dog/2.png", "black")):
    ...     Path(file).parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("RGB", (80, 64), colour).save(file)
    >>> pets = cf.data.Images("pets", size=32)
    >>> pets.class_names, pets.labels.tolist(), pets.batch([0]).mean((0, 2, 3)).tolist()  # red, green, blue
    (('cat', 'dog'), [0, 1, 1], [1.0, 0.0, 0.0])
    """

    name = "images"

    def __init__(
        self,
        path: PathLike,
        size: int | None = None,
        background: str = "white",
        channels: int = 3,
        skip_damaged: bool = False,
        fit: Fit = "crop",
        split: str | None = None,
    ) -> None:
        self.folder = Path(path).expanduser()
        check_look(fit, channels)
        self.background = parse_background(background)
        checked = None if size is None else check_count("size", size)
        self.source, self.fit = str(self.folder), fit
        self.split: str | None = None
        self._album = self._find(split)
        side = checked or (self._album.side if self._album is not None else None) or DEFAULT_SIDE
        self.image_shape = (channels, side, side)
        asked: dict[str, Any] = {"background": self.background, "channels": channels, "skip_damaged": skip_damaged}
        asked["fit"] = fit
        usual = {"background": WHITE, "channels": 3, "skip_damaged": False, "fit": "crop"}
        self.options = {option: value for option, value in asked.items() if value != usual[option]}
        self._decoded: StoredArray | None = None
        self._rows: IntArray | None = None  # of the decoded pictures, those kept; None for all
        self._labels: IntArray | None = None
        if self._album is not None and self._album.labels is not None:
            self._labels, self.class_names = self._album.labels, self._album.class_names
        if skip_damaged:
            self._leave_out()
        parts = [self._within(file).parts for file in self.files] if self._album is None else []
        if parts and all(len(names) > 1 for names in parts):
            self._labels, self.class_names = classes_of([names[0] for names in parts])

    def _find(self, split: str | None) -> Album | None:
        """Name the pictures; returns what gives those that are not files of a folder."""
        if not self.folder.exists():
            raise ValueError(
                f"images: {self.folder} does not exist; expected a folder of {', '.join(PICTURES)} files, or a file "
                f"ending in {', '.join(FORMS)}"
            )
        if not self.folder.is_dir():
            album = open_album(self.folder, split)
        else:
            self._top, self.split = _part_folder(self.folder, split)
            self.files = _find_pictures(self._top)
            if self.files:
                return None
            tables = sorted(self.folder.rglob("*.parquet"))
            if not tables:
                raise ValueError(f"images: {self._top} and its subfolders hold no {', '.join(PICTURES)} files")
            album = ParquetAlbum(self.folder, tables, split)
        self._top, self.split = self.folder, album.split
        self.files = [self.folder / name for name in album.names]  # places of the kind, for names alone
        return album

    def _within(self, file: Path) -> Path:
        return file.relative_to(self._top)

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    @property
    def file_names(self) -> Sequence[str]:
        return [file.relative_to(self.source).as_posix() for file in self.files]

    def parts(self) -> tuple[ImageDataset, ImageDataset] | None:
        if self.split not in ("train", "test") or type(self) is not Images:
            return None
        other = "test" if self.split == "train" else "train"
        try:
            twin = Images(self.folder, self.image_shape[1], split=other, **self.options)
        except ValueError:  # there is no such part
            return None
        return (self, twin) if self.split == "train" else (twin, self)

    def __len__(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        """Short hash of the pictures' names in the folder, order, sizes, labels and, of a small folder, contents."""
        if self._album is not None:
            digest = hashlib.sha256(self._album.fingerprint().encode())
        else:
            digest = hashlib.sha256(fingerprint_files(self.files, self.folder).encode())
        known = [] if self.labels is None else [self.labels]
        if isinstance(self, AnnotatedDataset):
            known.append(self.factors_of(np.arange(len(self))))
        for values in known:
            digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
        return digest.hexdigest()[:16]

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        if self._decoded is None:
            decoded, findings = self._decode(refuse=True)
            self._say(findings)
            self._decoded = decoded
        rows = checked if self._rows is None else self._rows[checked]
        return to_images(self._decoded.rows(rows), self.image_shape[1])

    def _leave_out(self) -> None:
        """Keep the pictures that can be used."""
        self._decoded, findings = self._decode(refuse=False)
        if unusable := findings.unusable:
            if len(unusable) == len(self.files):
                raise ValueError(self._refusal(findings))
            names = first_of(shown_name(self._within(self.files[row])) for row in unusable)
            warnings.warn(
                f"{self.name}: left out {len(unusable)} of {len(self.files)} pictures that cannot be used: {names}",
                stacklevel=4,
            )
            self._rows = np.setdiff1d(np.arange(len(self.files)), list(unusable)).astype(np.int64)
            self.files = [self.files[row] for row in self._rows]
            if self._labels is not None:
                present, self._labels = np.unique(self._labels[self._rows], return_inverse=True)
                self.class_names = tuple(self.class_names[value] for value in present)
        self._say(findings)

    def _decode(self, refuse: bool) -> tuple[StoredArray, Findings]:
        """The decoded pictures, black where one cannot be used, and what was found; both are kept in the cache.

        Raises:
            ValueError: ``refuse``, and some pictures cannot be used.
        """
        channels, size, _ = self.image_shape
        stamped = self.files if self._album is None else self._album.files()
        base = self.folder if self._album is None else self.folder.parent
        listing = b"\n".join(_stamp(file, base) for file in stamped)
        part = f"{_VERSION} {size} {channels} {self.background} {self.fit} {self.split} "
        part += hashlib.sha256(listing).hexdigest()
        record = cache_folder() / "unpacked" / f"pictures-{hashlib.sha256(part.encode()).hexdigest()[:16]}.json"
        findings, known = Findings(), _read_findings(record)
        if known is not None and refuse and known.unusable:
            raise ValueError(self._refusal(known))
        decoded = unpack_once(
            self.folder,
            part,
            (len(self), size, size, channels),
            np.uint8,
            lambda: self._blocks(findings, refuse),
        )
        if known is None:
            if not findings.complete:  # the pictures were in the cache, but not what was found
                for _ in self._blocks(findings, refuse):
                    pass
            text = json.dumps(dataclasses.asdict(findings))
            write_cache(record, lambda file: file.write(text.encode()))
        return decoded, known or findings

    def _blocks(self, findings: Findings, refuse: bool) -> Iterator[npt.NDArray[np.uint8]]:
        channels, size, _ = self.image_shape
        read = partial(decode_square, channels=channels, background=self.background, size=size, fit=self.fit)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
            first = 0
            for items in self._items():
                block = np.zeros((len(items), size, size, channels), dtype=np.uint8)
                for place, found in enumerate(pool.map(read, items)):
                    if isinstance(found, UnusableError):
                        findings.add(first + place, found)
                    else:
                        block[place] = found.pixels
                        findings.see_through += found.picture.see_through
                        findings.animated += found.picture.animated
                        findings.scaled += found.picture.scaled
                        findings.cut += found.cut > _MUCH
                        findings.most_cut = max(findings.most_cut, found.cut)
                first += len(items)
                yield block
        findings.complete = True
        if refuse and findings.unusable:
            raise ValueError(self._refusal(findings))

    def _items(self) -> Iterator[list[Item | UnusableError]]:
        """All pictures as they are found, some hundred at a time and no more than fit into memory."""
        if self._album is None:
            for first in range(0, len(self), _BLOCK_IMAGES):
                yield list(self.files[first : first + _BLOCK_IMAGES])
            return
        items: list[Item | UnusableError] = []
        held = 0
        with self._album.opened() as read:
            for row in range(len(self)):
                try:
                    item = read(row)
                    held += 0 if isinstance(item, Path) else item.nbytes if isinstance(item, np.ndarray) else len(item)
                    items.append(item)
                except UnusableError as error:
                    items.append(error)
                if len(items) == _BLOCK_IMAGES or held > _BLOCK_BYTES:
                    yield items
                    items, held = [], 0
        if items:
            yield items

    def _refusal(self, findings: Findings) -> str:
        """Every picture that cannot be used, and what to do about it."""
        listed = [
            f"{shown_name(self._within(self.files[int(row)]))} {reason}" for row, reason in findings.unusable.items()
        ]
        remedies = []
        if findings.largest_size is not None:
            remedies.append(f"load the folder with size={findings.largest_size} or less")
        if findings.deep:
            remedies.append("convert those of more than 16 bits to 8 or 16 bits")
        remedies.append("repair or remove them")
        if len(listed) < len(self) and self._takes("skip_damaged"):
            remedies.append("leave them out with skip_damaged=True (--skip-damaged)")
        return (
            f"{self.name}: {len(listed)} of {len(self)} pictures in {self.folder} cannot be used: "
            f"{first_of(listed, '; ')}. What to do: {', or '.join(remedies)}"
        )

    def _takes(self, option: str) -> bool:
        """Whether this dataset is constructed with the option; those of published pictures take few."""
        return option in inspect.signature(type(self)).parameters

    def _say(self, findings: Findings) -> None:
        """Warn of what is not in the images as it was in the pictures."""
        said = []
        if findings.see_through:
            done = f"were laid on {self.background}"
            ways = {
                "background": "choose another background with background= (--background)",
                "channels": "keep their opacity with channels=4 (--channels 4)",
            }
            if self.image_shape[0] == 4:
                done, ways = "keep their opacity as a fourth channel", {}
            if offered := [way for option, way in ways.items() if self._takes(option)]:
                done = f"{done}; {', or '.join(offered)}"
            said.append(f"{findings.see_through} of {len(self)} pictures are see-through and {done}")
        if findings.animated:
            said.append(f"{findings.animated} of {len(self)} pictures are animated, of which the first frame was taken")
        if findings.scaled:
            said.append(
                f"{findings.scaled} of {len(self)} pictures have more than 8 bits a channel and were scaled to 8"
            )
        if findings.cut and self._takes("fit"):
            said.append(
                f"{findings.cut} of {len(self)} pictures are so far from square that more than a tenth of them is cut "
                f"off (up to {findings.most_cut:.0%}); keep all of them with fit='pad' or 'squeeze' (--fit pad)"
            )
        if said:
            warnings.warn(f"{self.name}: in {self.folder}, {'; '.join(said)}", stacklevel=3)


def _find_pictures(folder: Path) -> list[Path]:
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(parent) / name for name in names if name.lower().endswith(PICTURES) and name[0] != "."]
    return sorted(found)


def _stamp(file: Path, folder: Path) -> bytes:
    """Name, size and date: what a picture's cached pixels depend on."""
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    try:
        stamp = file.stat()
    except OSError:  # a link to nothing, which is found unusable when it is decoded
        return os.fsencode(name)
    return os.fsencode(f"{name} {stamp.st_size} {stamp.st_mtime_ns}")


def _part_folder(folder: Path, split: str | None) -> tuple[Path, str | None]:
    """The folder of a part, and the part; the folder itself where there are none.

    Raises:
        ValueError: a part was asked for and is not there.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(unknown_name_message("part", split, list(SPLITS)))
    below = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    parts = {part: entry for entry in below if (part := part_of(entry.name)) is not None}
    if split is not None:
        if split not in parts:
            if any(folder.rglob("*.parquet")):
                return folder, None
            raise ValueError(
                f"images: {folder} has no part {split!r}: expected a folder {' or '.join(SPLITS[split])}, found "
                f"{', '.join(entry.name for entry in below[:10]) or 'no folders'}"
            )
        return parts[split], split
    if "train" in parts and len(parts) == len(below):
        return parts["train"], "train"
    return folder, None


def _read_findings(record: Path) -> Findings | None:
    """What an earlier decoding found; None without a record, or with a damaged one."""
    try:
        content = json.loads(record.read_bytes())
        return Findings(**{**content, "unusable": {int(row): str(why) for row, why in content["unusable"].items()}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
