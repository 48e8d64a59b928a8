"""Any folder of pictures (PNG, JPEG, WebP, BMP); subfolders, where there are any, are classes.

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

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray, check_count, check_indices
from contrafact.core.decoding import (
    MODES,
    TooDeepError,
    TooSmallError,
    UnusableError,
    concealed,
    decode,
    first_of,
    parse_background,
    shown_name,
)
from contrafact.core.places import fingerprint_files
from contrafact.data._files import PathLike, StoredArray, cache_folder, unpack_once, write_cache
from contrafact.data._pixels import to_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
WHITE = "#ffffff"
_BLOCK_IMAGES = 256


@dataclass
class Findings:
    """What decoding a folder found.

    Attributes:
        unusable: why a picture cannot be used, by its row.
        largest_size: the largest size at which no picture is too small, None where all are large enough.
        deep: whether a picture has more than 8 bits a channel.
        see_through: pictures that are not opaque.
        animated: pictures of which the first frame was taken.
        complete: whether all have been looked at.
    """

    unusable: dict[int, str] = field(default_factory=dict)
    largest_size: int | None = None
    deep: bool = False
    see_through: int = 0
    animated: int = 0
    complete: bool = False

    def add(self, row: int, error: UnusableError) -> None:
        """Note a picture that cannot be used."""
        self.unusable[row] = str(error)
        self.deep |= isinstance(error, TooDeepError)
        if isinstance(error, TooSmallError):
            self.largest_size = min(error.side, self.largest_size or error.side)


class Images(ImageDataset):
    """A folder of pictures, each shrunk until its shorter side is ``size``, then cropped to the centre.

    Pictures are decoded on first use, once, into a cache in the cache folder. When every picture lies in a subfolder,
    the first-level subfolders are its classes. A warning says how many pictures are see-through and what became of it.

    Args:
        path: the folder; searched with all its subfolders, hidden ones excepted.
        size: image side in pixels. A picture with a shorter side is refused, not enlarged.
        background: what see-through parts are laid on: a colour's name, or a code such as ``#80ff00``.
        channels: 3 for RGB; 1 for grey; 4 for RGB and opacity, where fully see-through pixels have the background's
            colour.
        skip_damaged: instead of refusing the folder, leave out the pictures that cannot be used, with a warning that
            counts them. All are then decoded at once.

    Raises:
        ValueError: no such folder, no pictures in it, a size below 1, an unknown colour, or another number of channels;
            on first use also pictures that cannot be decoded, are too small, or have more than 8 bits a channel: all of
            them are named.

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
        size: int = 64,
        background: str = "white",
        channels: int = 3,
        skip_damaged: bool = False,
    ) -> None:
        self.folder = Path(path).expanduser()
        if isinstance(channels, bool) or channels not in MODES:
            raise ValueError(f"channels must be 3 (RGB), 1 (grey) or 4 (RGB and opacity), got {channels!r}")
        self.background = parse_background(background)
        self.image_shape = (channels, check_count("size", size), size)
        self.source = str(self.folder)
        if not self.folder.is_dir():
            raise ValueError(f"images: {self.folder} is not a folder; expected a folder of {', '.join(SUFFIXES)} files")
        self.files = _find_pictures(self.folder)
        if not self.files:
            raise ValueError(f"images: {self.folder} and its subfolders hold no {', '.join(SUFFIXES)} files")
        asked: dict[str, Any] = {"background": self.background, "channels": channels, "skip_damaged": skip_damaged}
        usual = {"background": WHITE, "channels": 3, "skip_damaged": False}
        self.options = {option: value for option, value in asked.items() if value != usual[option]}
        self._decoded: StoredArray | None = None
        self._rows: IntArray | None = None  # of the decoded pictures, those kept; None for all
        if skip_damaged:
            self._leave_out()
        parts = [file.relative_to(self.folder).parts for file in self.files]
        self._labels: IntArray | None = None
        if all(len(names) > 1 for names in parts):
            classes, labels = np.unique([names[0] for names in parts], return_inverse=True)
            self.class_names = tuple(map(str, classes))
            self._labels = labels.astype(np.int64)

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    @property
    def file_names(self) -> Sequence[str]:
        return [file.relative_to(self.folder).as_posix() for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        """Short hash of the pictures' names in the folder, order, sizes, labels and, of a small folder, contents."""
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
            names = first_of(shown_name(self.files[row].relative_to(self.folder)) for row in unusable)
            warnings.warn(
                f"{self.name}: left out {len(unusable)} of {len(self.files)} pictures that cannot be used: {names}",
                stacklevel=4,
            )
            self._rows = np.setdiff1d(np.arange(len(self.files)), list(unusable)).astype(np.int64)
            self.files = [self.files[row] for row in self._rows]
        self._say(findings)

    def _decode(self, refuse: bool) -> tuple[StoredArray, Findings]:
        """The decoded pictures, black where one cannot be used, and what was found; both are kept in the cache.

        Raises:
            ValueError: ``refuse``, and some pictures cannot be used.
        """
        channels, size, _ = self.image_shape
        listing = b"\n".join(_stamp(file, self.folder) for file in self.files)
        part = f"{size} {channels} {self.background} {hashlib.sha256(listing).hexdigest()}"
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
        read = partial(_decode_picture, channels=channels, background=self.background, size=size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
            for first in range(0, len(self), _BLOCK_IMAGES):
                files = self.files[first : first + _BLOCK_IMAGES]
                block = np.zeros((len(files), size, size, channels), dtype=np.uint8)
                for place, found in enumerate(pool.map(read, files)):
                    if isinstance(found, UnusableError):
                        findings.add(first + place, found)
                    else:
                        block[place], see_through, animated = found
                        findings.see_through += see_through
                        findings.animated += animated
                yield block
        findings.complete = True
        if refuse and findings.unusable:
            raise ValueError(self._refusal(findings))

    def _refusal(self, findings: Findings) -> str:
        """Every picture that cannot be used, and what to do about it."""
        listed = [
            f"{shown_name(self.files[int(row)].relative_to(self.folder))} {reason}"
            for row, reason in findings.unusable.items()
        ]
        remedies = []
        if findings.largest_size is not None:
            remedies.append(f"load the folder with size={findings.largest_size} or less")
        if findings.deep:
            remedies.append("convert those of more than 8 bits to 8 bits")
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
        if said:
            warnings.warn(f"{self.name}: in {self.folder}, {'; '.join(said)}", stacklevel=3)


def _find_pictures(folder: Path) -> list[Path]:
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(parent) / name for name in names if name.lower().endswith(SUFFIXES) and name[0] != "."]
    return sorted(found)


def _stamp(file: Path, folder: Path) -> bytes:
    """Name, size and date: what a picture's cached pixels depend on."""
    try:
        stamp = file.stat()
    except OSError:  # a link to nothing, which is found unusable when it is decoded
        return os.fsencode(file.relative_to(folder))
    return os.fsencode(f"{file.relative_to(folder)} {stamp.st_size} {stamp.st_mtime_ns}")


def _decode_picture(
    file: Path, channels: int, background: str, size: int
) -> tuple[npt.NDArray[np.uint8], bool, bool] | UnusableError:
    """The picture's centre ``(size, size, channels)``, and whether it is see-through and animated; or what is wrong."""
    from PIL import Image, ImageOps

    try:
        decoded = decode(file, channels, background, smallest=size)
    except UnusableError as error:
        return error
    fitted = ImageOps.fit(decoded.picture, (size, size), Image.Resampling.LANCZOS, centering=(0.5, 0.5))
    if channels == 4:
        fitted = concealed(fitted, background)
    return np.asarray(fitted).reshape(size, size, channels), decoded.see_through, decoded.animated


def _read_findings(record: Path) -> Findings | None:
    """What an earlier decoding found; None without a record, or with a damaged one."""
    try:
        content = json.loads(record.read_bytes())
        return Findings(**{**content, "unusable": {int(row): str(why) for row, why in content["unusable"].items()}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
