"""Pictures that are not files in a folder: in a zip, in arrays, in parquet files, or listed in a table."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.catalog import unknown_name_message
from contrafact.core.decoding import PICTURES, Item, UnusableError
from contrafact.core.foreign import first_line, parse_json, reading
from contrafact.core.npy import PACKINGS, check_listing
from contrafact.core.table import FILE_COLUMNS, Table, is_words, read_table
from contrafact.data._album import (
    IMAGE_KEYS,
    LABEL_KEYS,
    MOST_PICTURE_BYTES,
    SPLITS,
    Album,
    Numbers,
    classes_of,
    folders_as_classes,
    numbered_classes,
    part_of,
)
from contrafact.data._files import StoredArray, map_npy
from contrafact.data._h5 import H5File
from contrafact.data._npz import NumpyArchive
from contrafact.data._parquet_album import ParquetAlbum

FORMS = (".zip", ".npy", ".npz", ".h5", ".hdf5", ".parquet", ".csv", ".tsv")


def open_album(path: Path, split: str | None) -> Album:
    """The pictures in a file.

    Args:
        path: its ending says which form it has: one of :data:`FORMS`.
        split: a part of :data:`SPLITS`; None for all there is, or the training part where there are parts.

    Raises:
        ValueError: another ending, a damaged file, one without pictures, or without this part.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(unknown_name_message("part", split, list(SPLITS)))
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return ZipAlbum(path, split)
    if suffix in (".npy", ".npz", ".h5", ".hdf5"):
        return ArrayAlbum(path, split)
    if suffix == ".parquet":
        return ParquetAlbum(path, [path], split)
    if suffix in (".csv", ".tsv"):
        return TableAlbum(path, split)
    raise ValueError(
        f"images: {path} is no form of pictures that is read; expected a folder of {', '.join(PICTURES)}, or a file "
        f"ending in {', '.join(FORMS)}"
    )


class ZipAlbum(Album):
    """A zip archive of pictures; classes from its ``dataset.json`` (StyleGAN2-ADA's), else from its folders.

    Args:
        path: the archive.
        split: a part, where its folders are parts.

    Raises:
        ValueError: no such archive, one packed in another way than zip's own, one without pictures, or labels that do
            not fit them.
    """

    def __init__(self, path: Path, split: str | None) -> None:
        self.place = path
        with reading(f"images: {path}", "zip file"):
            check_listing(path, "images: ")
            try:
                with zipfile.ZipFile(path) as archive:
                    infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
                    described = self._described(archive, infos)
            except (zipfile.BadZipFile, EOFError) as error:
                raise ValueError(f"images: {path} is not a complete zip file ({error}); get it again") from error
        names = sorted(name for name in infos if _is_picture(name))
        if not names:
            found = ", ".join(sorted(infos)[:5]) or "nothing"
            raise ValueError(f"images: {path} holds no {', '.join(PICTURES)} files; found {found}")
        strange = [name for name in names if infos[name].compress_type not in PACKINGS or infos[name].flag_bits & 1]
        if strange:
            raise ValueError(
                f"images: {path} is encrypted or packed in a way that is not read ({len(strange)} of {len(names)} "
                f"pictures, as {strange[0][:60]}); pack it again as a plain zip"
            )
        large = [name for name in names if infos[name].file_size > MOST_PICTURE_BYTES]
        if large:
            raise ValueError(
                f"images: {path} holds {len(large)} files of more than {MOST_PICTURE_BYTES // 2**20} MiB that are "
                f"called pictures, as {large[0][:60]}; leave them out"
            )
        kept, self.split, folders = folders_as_classes(names, split, f"images: {path}")
        self.names = [names[number] for number in kept]
        if described:
            missing = [name for name in self.names if name not in described]
            if missing:
                raise ValueError(
                    f"images: dataset.json of {path} labels no picture {missing[0]!r} and {len(missing) - 1} more; "
                    "label every picture, or take dataset.json out"
                )
            self.labels, self.class_names = classes_of([described[name] for name in self.names])
        elif all(folders):
            self.labels, self.class_names = classes_of(folders)

    def _described(self, archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
        """Class of each picture, by StyleGAN2-ADA's ``dataset.json``."""
        name = next((name for name in infos if PurePosixPath(name).name == "dataset.json"), None)
        if name is None:
            return {}
        if infos[name].file_size > MOST_PICTURE_BYTES or infos[name].compress_type not in PACKINGS:
            raise ValueError(f"images: dataset.json of {self.place} is too long for a list of labels")
        try:
            text = _bounded(archive, infos[name])
        except UnusableError as error:
            raise ValueError(f"images: dataset.json of {self.place} {error}; get the archive again") from error
        listed = parse_json(text, f"dataset.json of {self.place}", "take it out, or write it again")
        labels = listed.get("labels") if isinstance(listed, dict) else None
        if labels is None:
            return {}
        folder = PurePosixPath(name).parent
        try:
            pairs = {(folder / str(file)).as_posix(): int(label) for file, label in labels}
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"images: dataset.json of {self.place} must hold a list of pairs [file, class number] under 'labels'"
            ) from error
        digits = len(str(max(pairs.values(), default=0)))
        return {file: f"{label:0{digits}}" for file, label in pairs.items()}

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        with reading(f"images: {self.place}", "zip file"), zipfile.ZipFile(self.place) as archive:
            yield lambda number: _bounded(archive, archive.getinfo(self.names[number]))


def _is_picture(name: str) -> bool:
    """Whether a name is a picture's, and not what a Mac puts beside it."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in PICTURES and not hidden


def _bounded(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's bytes, no more than the archive says.

    Raises:
        UnusableError: they are damaged, or not as many.
    """
    try:
        with archive.open(info) as stream:
            content = stream.read(info.file_size + 1)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, zlib.error) as error:
        raise UnusableError(f"is damaged in the archive ({first_line(error)})") from error
    if len(content) != info.file_size:
        raise UnusableError("is not as long as the archive says")
    return content


class ArrayAlbum(Album):
    """Pictures as rows of an array in an ``.npy``, ``.npz`` or HDF5 file, classes in an array beside it.

    Args:
        path: the file.
        split: a part, where its arrays are of parts: ``train_images``, ``x_train``.

    Raises:
        ValueError: a damaged file, no array of images, or classes that do not fit it.
    """

    def __init__(self, path: Path, split: str | None) -> None:
        self.place = path
        suffix = path.suffix.lower()
        self._source: NumpyArchive | H5File | None = None
        labels: npt.NDArray[Any] | None = None
        with reading(f"images: {path}", f"{suffix[1:]} file"):
            if suffix == ".npy":
                if split is not None:
                    raise ValueError(f"images: {path} has no parts to choose from; leave out split={split!r} (--split)")
                stored = map_npy(path)
                self._shape, self._dtype = stored.shape, stored.dtype
            else:
                self._source = NumpyArchive("images", path) if suffix == ".npz" else H5File("images", path, {})
                keys = self._source.keys()
                self._key, self.split = _key_of(keys, IMAGE_KEYS, split, path)
                self._shape, self._dtype = self._source.describe(self._key)
                label_key = _labels_beside(keys, self._key, self.split)
                labels = None if label_key is None else self._read_labels(label_key)
        self._layout = _layout(self._shape, self._dtype, path)
        height, width = (self._shape[axis] for axis in ((2, 3) if self._layout == "channels first" else (1, 2)))
        self.side = min(height, width)
        digits = len(str(self._shape[0] - 1))
        self.names = Numbers(self._shape[0], digits)
        if labels is not None:
            self.labels, self.class_names = numbered_classes(labels)

    def _read_labels(self, key: str) -> npt.NDArray[Any] | None:
        assert self._source is not None
        shape, dtype = self._source.describe(key)
        if not shape or shape[0] != self._shape[0]:
            count = shape[0] if shape else "one"
            raise ValueError(
                f"images: {self.place} holds {self._shape[0]} images under {self._key!r} and {count} labels under "
                f"{key!r}; save one for each image, or the images alone"
            )
        if math.prod(shape) != self._shape[0] or dtype.kind not in "iub":
            warnings.warn(
                f"images: {key!r} of {self.place}, {dtype} of shape {tuple(shape)}, is no whole number for each image "
                "and left out; a table may say what it is (--labels)",
                stacklevel=2,
            )
            return None
        return self._source.read(key).reshape(-1).astype(np.int64)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        stored: StoredArray = map_npy(self.place) if self._source is None else self._source.stored(self._key)

        def read(number: int) -> npt.NDArray[Any]:
            pixels = stored.rows(np.array([number]))[0]
            return np.moveaxis(pixels, 0, -1) if self._layout == "channels first" else pixels

        yield read


def _key_of(keys: Sequence[str], wanted: Sequence[str], split: str | None, path: Path) -> tuple[str, str | None]:
    """The array of images and the part it is of."""
    parts = {part: key for key in keys if (part := _part_of_key(key, wanted)) is not None}
    if parts:
        chosen = split or ("train" if "train" in parts else next(iter(parts)))
        if chosen not in parts:
            raise ValueError(f"images: {path} has no part {chosen!r}; it has {', '.join(parts)}")
        return parts[chosen], chosen
    lowered = {key.lower(): key for key in keys}
    found = next((lowered[key] for key in wanted if key in lowered), None)
    if found is None and len(keys) == 1:
        found = keys[0]
    if found is None:
        raise ValueError(
            f"images: {path} holds {', '.join(list(keys)[:20]) or 'nothing'}; expected images under "
            f"{', '.join(wanted[:3])}, or a single array"
        )
    if split is not None:
        raise ValueError(f"images: {path} has no parts to choose from; leave out split={split!r} (--split)")
    return found, None


def _part_of_key(key: str, wanted: Sequence[str]) -> str | None:
    """The part of an array called ``train_images`` or ``x_train``."""
    words = key.lower().split("_")
    if len(words) != 2:
        return None
    first, second = words
    if second in wanted:
        return part_of(first)
    return part_of(second) if first in wanted else None


def _labels_beside(keys: Sequence[str], images: str, split: str | None) -> str | None:
    """The array of classes that goes with an array of images."""
    if split is not None:
        return next((key for key in keys if key != images and _part_of_key(key, LABEL_KEYS) == split), None)
    lowered = {key.lower(): key for key in keys if key != images}
    return next((lowered[key] for key in LABEL_KEYS if key in lowered), None)


def _layout(shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> str:
    """How an array holds pictures.

    Raises:
        ValueError: it holds none.
    """
    known = dtype.kind in "uif" and (dtype.kind != "i" or dtype.itemsize <= 8)
    if known and len(shape) == 3 and 0 not in shape:
        return "grey"
    if known and len(shape) == 4 and 0 not in shape:
        if shape[3] in (1, 3, 4):
            return "channels last"
        if shape[1] in (1, 3, 4):
            return "channels first"
    raise ValueError(
        f"images: {path}: expected images (N, H, W), (N, H, W, C) or (N, C, H, W) of bytes, of 16 bits, or of floats "
        f"in [0, 1]; found {dtype} of shape {shape}"
    )


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a text that is too long for a name
        return False


class TableAlbum(Album):
    """A table of picture files, relative to its folder or absolute; a column ``label`` or ``class`` is their class.

    Args:
        path: the table.
        split: a part, by a column ``split``.

    Raises:
        ValueError: no column of files, or no such part.
    """

    def __init__(self, path: Path, split: str | None) -> None:
        self.place = path
        table = read_table(path, FILE_COLUMNS)
        names = [name.lower() for name in table.names or ()]
        key = next((number for number, name in enumerate(names) if name in FILE_COLUMNS), None)
        if key is None or not len(table):
            raise ValueError(
                f"images: {path}: expected a column {FILE_COLUMNS[0]} with a picture in every row; got the columns "
                f"{', '.join(table.names or ()) or 'without names'} and {len(table)} rows"
            )
        kept = self._rows_of(table, names, split)
        missing = [row for row in kept if table.columns[key][row] is None]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"{table.place(missing[0])}{more}: no file is named; name one, or leave the row out")
        self.names = [str(table.columns[key][row]).replace("\\", "/") for row in kept]
        label = next((names.index(name) for name in LABEL_KEYS if name in names), None)
        if label is not None:
            column = table.columns[label][kept]
            if is_words(column) and all(cell is not None for cell in column):
                self.labels, self.class_names = classes_of(column.tolist())
            elif not is_words(column) and not np.isnan(column).any():
                self.labels, self.class_names = numbered_classes(column)

    def _rows_of(self, table: Table, names: Sequence[str], split: str | None) -> list[int]:
        column = table.columns[names.index("split")] if "split" in names else None
        if column is None or not is_words(column):
            if split is not None:
                raise ValueError(f"images: {self.place} has no column split; leave out split={split!r} (--split)")
            return list(range(len(table)))
        parts = [part_of(str(cell)) for cell in column]
        if split is None and "train" not in parts:
            return list(range(len(table)))
        self.split = split or "train"
        kept = [row for row, part in enumerate(parts) if part == self.split]
        if not kept:
            raise ValueError(
                f"images: {self.place} has no part {split!r}; found {', '.join(sorted(set(map(str, column))))}"
            )
        return kept

    def files(self) -> list[Path]:
        every = [self.place, *(self.place.parent / name for name in self.names)]
        return [file for file in every if _is_there(file)]

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        yield lambda number: self.place.parent / self.names[number]
