"""Cars3D: 183 car models seen from 96 sides, three factors; 17,568 images.

Reed, Zhang, Zhang & Lee, "Deep Visual Analogy-Making", NeurIPS 2015. There is no stand-in.

Shape suffixes: N images, H height, W width, C channels.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, ClassVar

import numpy as np
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.core.foreign import first_line, reading
from contrafact.data._files import AnyArray, PathLike, StoredArray, data_folder, missing_file_message, unpack_once
from contrafact.data._matlab import read_variables
from contrafact.data._pixels import check_size, to_images

FILE = "nips2015-analogy-data.tar.gz"
SIDE = 128
ELEVATIONS, AZIMUTHS = 4, 24
VIEWS = ELEVATIONS * AZIMUTHS
SPLITS = ("all", "train", "test")

_MOST_CAR_BYTES, _MOST_ARCHIVE_BYTES, _MOST_NAME_BYTES = 2**24, 2**28, 2**16
"""One car has 5 MB. An archive may always unpack to 16 times its own size."""
_NAME_TYPES = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class Cars3D(FactorDataset):
    """Cars3D, images ``(3, size, size)`` of 183 cars, or of the 163 training or the 20 test cars.

    The cars come in the order of the archive's ``list.txt``, by name where there is none; the last 20 are for testing.

    Args:
        path: the published ``nips2015-analogy-data.tar.gz``, a folder that holds it, or the unpacked folder with the
            ``car_*_mesh.mat`` files (itself, or as its ``cars``); by default the data folder. Unpacked once.
        split: ``all``, ``train`` or ``test``.
        size: image side: 128, 64 or 32; below 128, pixels are area averages.

    Raises:
        ValueError: unknown split or size, no file, a damaged one, or another number of cars.

    >>> import contrafact as cf
    >>> cf.data.Cars3D("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: cars3d: ...
    """

    name = "cars3d"
    factor_names = ("elevation", "azimuth", "object")
    factors_of_interest = ("elevation", "azimuth")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "flip": ("azimuth",),
        "color": ("object",),
        "grayscale": ("object",),
    }
    num_cars = 183
    num_test_cars = 20

    def __init__(self, path: PathLike | None = None, split: str = "all", size: int = 64) -> None:
        if split not in SPLITS:
            raise ValueError(f"cars3d: split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.image_shape = (3, check_size(self.name, size, (128, 64, 32)), size)
        num_train_cars = self.num_cars - self.num_test_cars
        cars = {"all": (0, self.num_cars), "train": (0, num_train_cars), "test": (num_train_cars, self.num_cars)}[split]
        self._first_car = cars[0]
        self.factor_sizes = (ELEVATIONS, AZIMUTHS, cars[1] - cars[0])
        source = _find_source(path)
        self.split = split
        self.source = str(source)
        # Images are kept in the order the archive stores cars in: a compressed archive can only be read in one go.
        self._places = self._unpack(source, "places", (self.num_cars,), np.int64)
        self._pixels = self._unpack(source, "images", (self.num_cars * VIEWS, SIDE, SIDE, 3), np.uint8)

    def _unpack(self, source: Path, part: str, shape: tuple[int, ...], dtype: type[np.generic]) -> StoredArray:
        blocks = {"places": self._read_places, "images": self._read_images}[part]
        return unpack_once(source, part + _listing(source), shape, dtype, lambda: blocks(source))

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        elevation, azimuth, car = self.factors_of(check_indices(self, indices)).T
        places = self._places.rows(self._first_car + car)
        pixels = self._pixels.rows(places * VIEWS + elevation * AZIMUTHS + azimuth)
        return to_images(pixels, self.image_shape[1])

    def _read_places(self, source: Path) -> Iterator[AnyArray]:
        """Where each car of ``list.txt`` stands in the archive."""
        cars, listed = [], None
        for name, stream in _members(source):
            if name == "list.txt":
                with reading(f"cars3d: list.txt in {source}", "list of files"):
                    lines = stream.read(_MOST_CAR_BYTES).decode().splitlines()
                listed = [PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
            else:
                cars.append(PurePosixPath(name).stem)
            if len(cars) > self.num_cars:
                raise ValueError(f"cars3d: {source} holds more than {self.num_cars} files car_*_mesh.mat; get it again")
        if len(cars) != self.num_cars:
            raise ValueError(
                f"cars3d: {source} holds {len(cars)} files car_*_mesh.mat, expected {self.num_cars}; get it again"
            )
        order = sorted(cars) if listed is None else listed
        if sorted(order) != sorted(cars):
            named, there = Counter(order), Counter(cars)
            odd = sorted((named - there) + (there - named))
            raise ValueError(
                f"cars3d: list.txt in {source} does not name each of the files beside it once, starting with "
                f"{odd[0]!r:.80}"
            )
        yield np.array([cars.index(name) for name in order], dtype=np.int64)

    def _read_images(self, source: Path) -> Iterator[AnyArray]:
        for name, stream in _members(source):
            if name != "list.txt":
                yield _views(source, name, stream)


def _find_source(path: PathLike | None) -> Path:
    """The archive, or the folder with the unpacked .mat files."""
    roots = [data_folder(), data_folder() / "cars3d"] if path is None else [Path(path).expanduser()]
    for root in roots:
        if root.is_file():
            return root
        if (root / FILE).is_file():
            return root / FILE
        for folder in (root, root / "cars", root / "data" / "cars"):
            if next(folder.glob("car_*_mesh.mat"), None) is not None:
                return folder
    if path is None:
        raise ValueError(missing_file_message("cars3d", (FILE,), "download it from the page of the paper's authors"))
    raise ValueError(f"cars3d: {roots[0]} is neither {FILE} nor a folder with it or with car_*_mesh.mat files")


def _listing(source: Path) -> str:
    """What an unpacked folder's content is known by; an archive is known by itself."""
    if source.is_file():
        return ""
    stamps = [(file.name, file.stat()) for file in sorted(source.iterdir())]
    text = "\n".join(f"{name} {stamp.st_size} {stamp.st_mtime_ns}" for name, stamp in stamps)
    return hashlib.sha256(text.encode()).hexdigest()


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The .mat files and the list, by name without folder, in the order they are stored in."""
    if source.is_dir():
        for file in sorted(source.iterdir()):
            if _is_wanted(file.name):
                with file.open("rb") as stream:
                    yield file.name, stream
        return
    most = max(_MOST_ARCHIVE_BYTES, 16 * source.stat().st_size)
    try:
        with tarfile.open(source, "r|gz", tarinfo=_Member) as archive:
            for member in archive:
                if member.offset_data + member.size > most:
                    raise tarfile.ReadError(f"it unpacks to more than {most / 1e9:.2f} GB")
                path = PurePosixPath(member.name)
                if path.parent.name == "cars" and _is_wanted(path.name):
                    content = archive.extractfile(member)
                    if content is not None:  # None for links and folders
                        yield path.name, content
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"cars3d: {source} is not a complete tar.gz archive ({error}); get it again") from error


class _Member(tarfile.TarInfo):
    """A header that cannot make the reader take a whole archive for one name."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _NAME_TYPES and member.size > _MOST_NAME_BYTES:
            raise tarfile.ReadError(f"a name of {member.size} bytes")
        return member


def _is_wanted(name: str) -> bool:
    return name == "list.txt" or (name.startswith("car_") and name.endswith("_mesh.mat"))


def _views(source: Path, name: str, stream: IO[bytes]) -> AnyArray:
    """One car's images ``(96, 128, 128, 3)``, elevation slowest."""
    expected = ((SIDE, SIDE, 3, AZIMUTHS, ELEVATIONS), "uint8")
    try:
        content = stream.read(_MOST_CAR_BYTES + 1)
        if len(content) > _MOST_CAR_BYTES:
            raise ValueError(f"it has more than {_MOST_CAR_BYTES} bytes")
        found = next((v for v in read_variables(content, _MOST_CAR_BYTES) if v.name == "im"), None)
        fits = found is not None and (found.shape, found.kind) == expected
        images = found.bytes_array() if found is not None and fits else None
    except (ValueError, zlib.error, OSError, tarfile.TarError) as error:
        raise ValueError(
            f"cars3d: {name} in {source} is not a complete MATLAB 5 file ({first_line(error)}); get it again"
        ) from error
    if found is None:
        raise ValueError(f"cars3d: {name} in {source} has no key 'im'")
    if images is None:
        raise ValueError(
            f"cars3d: key 'im' of {name} in {source}: expected uint8 of shape {expected[0]}, found {found.kind} of "
            f"shape {found.shape}"
        )
    return np.asarray(images.transpose(4, 3, 0, 1, 2)).reshape(VIEWS, SIDE, SIDE, 3)
