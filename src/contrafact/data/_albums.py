"""Pictures that are not files in a folder: in a zip, in arrays, in parquet files, or listed in a table.

Each form says what its pictures are called and which classes they have, and gives them one by one, so that none is held
whole in memory. Sizes that a file claims are checked before anything is unpacked.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import IntArray
from contrafact.core.decoding import PICTURES, Item, UnusableError
from contrafact.core.foreign import first_line, parse_json, reading
from contrafact.core.npy import PACKINGS, check_listing
from contrafact.core.places import fingerprint_files
from contrafact.core.table import FILE_COLUMNS, Table, is_words, open_parquet, read_table
from contrafact.data._files import StoredArray, map_npy
from contrafact.data._h5 import H5File
from contrafact.data._npz import NumpyArchive

FORMS = (".zip", ".npy", ".npz", ".h5", ".hdf5", ".parquet", ".csv", ".tsv")
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Parts, and what their folders, files and arrays are called."""

_MOST_PICTURE_BYTES = 2**27
_MOST_PICTURES = 2**26
_MOST_GROUP_BYTES = 2**31
_BATCH_ROWS = 64
_IMAGE_KEYS = ("images", "image", "imgs", "img", "x", "data", "pictures", "arr_0")
_LABEL_KEYS = ("labels", "label", "targets", "target", "y", "classes", "class", "category", "arr_1")


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


def part_of(name: str) -> str | None:
    """The part that a folder, a file or an array of this name is of."""
    return next((part for part, names in SPLITS.items() if name.lower() in names), None)


def classes_of(labels: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Class of each picture and the classes' names, in alphabetic order."""
    names, values = np.unique(list(labels), return_inverse=True)
    return values.astype(np.int64), tuple(map(str, names))


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
        large = [name for name in names if infos[name].file_size > _MOST_PICTURE_BYTES]
        if large:
            raise ValueError(
                f"images: {path} holds {len(large)} files of more than {_MOST_PICTURE_BYTES // 2**20} MiB that are "
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
        if infos[name].file_size > _MOST_PICTURE_BYTES or infos[name].compress_type not in PACKINGS:
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
                self._key, self.split = _key_of(keys, _IMAGE_KEYS, split, path)
                self._shape, self._dtype = self._source.describe(self._key)
                label_key = _labels_beside(keys, self._key, self.split)
                labels = None if label_key is None else self._read_labels(label_key)
        self._layout = _layout(self._shape, self._dtype, path)
        height, width = (self._shape[axis] for axis in ((2, 3) if self._layout == "channels first" else (1, 2)))
        self.side = min(height, width)
        digits = len(str(self._shape[0] - 1))
        self.names = _Numbers(self._shape[0], digits)
        if labels is not None:
            self.labels, self.class_names = classes_of([f"{label}" for label in labels.tolist()])
            if np.issubdtype(labels.dtype, np.integer):  # in the order of numbers, not of their texts
                values, inverse = np.unique(labels, return_inverse=True)
                self.labels, self.class_names = inverse.astype(np.int64), tuple(map(str, values.tolist()))

    def _read_labels(self, key: str) -> npt.NDArray[Any] | None:
        assert self._source is not None
        shape, dtype = self._source.describe(key)
        if math.prod(shape) != self._shape[0] or dtype.kind not in "iub":
            return None  # several factors, or numbers that are no classes: a table may say what they are
        if shape[0] != self._shape[0]:
            return None
        return self._source.read(key).reshape(-1).astype(np.int64)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        stored: StoredArray = map_npy(self.place) if self._source is None else self._source.stored(self._key)

        def read(number: int) -> npt.NDArray[Any]:
            pixels = stored.rows(np.array([number]))[0]
            return np.moveaxis(pixels, 0, -1) if self._layout == "channels first" else pixels

        yield read


class _Numbers(Sequence[str]):
    """Names of pictures that have none: their numbers."""

    def __init__(self, count: int, digits: int) -> None:
        self._count, self._digits = count, digits

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        return f"{range(self._count)[place]:0{self._digits}}"


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
        return next((key for key in keys if key != images and _part_of_key(key, _LABEL_KEYS) == split), None)
    lowered = {key.lower(): key for key in keys if key != images}
    return next((lowered[key] for key in _LABEL_KEYS if key in lowered), None)


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


class ParquetAlbum(Album):
    """Parquet files as the Hugging Face hub has them: a column of pictures ``{bytes, path}``, one of classes.

    Args:
        place: the file, or the folder of several.
        files: parquet files, in their order.
        split: a part, by the files' names, ``test-00000-of-00001.parquet``.

    Raises:
        ValueError: the package that reads them is not installed, a damaged file, one without pictures, or one whose
            pictures are elsewhere.
    """

    def __init__(self, place: Path, files: Sequence[Path], split: str | None) -> None:
        self.place = place
        of_part = {file: part_of(file.name.replace(".", "-").split("-")[0]) for file in files}
        found = sorted({part for part in of_part.values() if part is not None})
        if split is not None and split not in found:
            raise ValueError(f"images: {place} has no part {split!r}; found {', '.join(found) or 'none'}")
        self.split = split or ("train" if "train" in found and len(found) > 1 else None)
        self._files = [file for file in files if self.split is None or of_part[file] == self.split]
        names: list[str] = []
        labels: list[Any] = []
        self._starts = [0]
        known: tuple[str, ...] = ()
        for file in self._files:
            with open_parquet(file) as opened:
                column, label = self._columns(opened, file)
                known = known or _hub_names(opened, label)
                paths, values = self._listed(opened, file, column, label)
                names += paths
                labels += values
            self._starts.append(len(names))
            if len(names) > _MOST_PICTURES:
                raise ValueError(f"images: {place} lists more than {_MOST_PICTURES} pictures")
        if not names:
            raise ValueError(f"images: {place} holds no rows")
        unique = len(set(names)) == len(names) and all(names)
        self.names = names if unique else _Numbers(len(names), len(str(len(names) - 1)))
        if labels and all(label is not None for label in labels):
            self._classify(labels, known)

    def _classify(self, labels: Sequence[Any], known: tuple[str, ...]) -> None:
        whole = all(isinstance(label, int) for label in labels)
        if whole and known and min(labels) >= 0 and max(labels) < len(known):
            self.labels, self.class_names = np.asarray(labels, dtype=np.int64), known
        elif whole:
            values, inverse = np.unique(np.asarray(labels, dtype=np.int64), return_inverse=True)
            self.labels, self.class_names = inverse.astype(np.int64), tuple(map(str, values.tolist()))
        elif all(isinstance(label, str) for label in labels):
            self.labels, self.class_names = classes_of(labels)

    def files(self) -> list[Path]:
        return list(self._files)

    def _columns(self, opened: Any, file: Path) -> tuple[str, str | None]:
        """Names of the columns of pictures and of classes."""
        types, schema = importlib.import_module("pyarrow").types, opened.schema_arrow

        def holds_pictures(kind: Any) -> bool:
            if types.is_struct(kind):
                inside = [kind.field(i) for i in range(kind.num_fields)]
                return any(
                    f.name == "bytes" and (types.is_binary(f.type) or types.is_large_binary(f.type)) for f in inside
                )
            return bool(types.is_binary(kind) or types.is_large_binary(kind))

        pictures = [field.name for field in schema if holds_pictures(field.type)]
        if not pictures:
            raise ValueError(
                f"images: {file} has no column of pictures, image: {{bytes, path}}; it has "
                f"{', '.join(schema.names[:20]) or 'none'}"
            )
        column = next((name for name in _IMAGE_KEYS if name in pictures), pictures[0])
        texts_or_numbers = {
            field.name
            for field in schema
            if types.is_integer(field.type) or types.is_string(field.type) or types.is_large_string(field.type)
        }
        return column, next((name for name in _LABEL_KEYS if name in texts_or_numbers), None)

    def _listed(self, opened: Any, file: Path, column: str, label: str | None) -> tuple[list[str], list[Any]]:
        """What the pictures are called, and their classes."""
        metadata = opened.metadata
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        if any(size > _MOST_GROUP_BYTES for size in groups):
            raise ValueError(
                f"images: {file} has row groups of {max(groups) / 1e9:.1f} GB; write it again with smaller ones"
            )
        nested = f"{column}.path" in {opened.schema.column(i).path for i in range(len(opened.schema))}
        wanted = [*([f"{column}.path"] if nested else []), *([label] if label else [])]
        names: list[str] = []
        labels: list[Any] = []
        for batch in opened.iter_batches(2**14, columns=wanted, use_threads=False) if wanted else ():
            if nested:
                paths = batch.column(batch.schema.get_field_index(column)).to_pylist()
                names += [str((path or {}).get("path") or "") for path in paths]
            if label:
                labels += batch.column(batch.schema.get_field_index(label)).to_pylist()
        return names or [""] * metadata.num_rows, labels

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        state: dict[str, Any] = {"next": 0, "rows": iter(()), "file": -1}

        def rows() -> Iterator[Any]:
            for file in self._files:
                with open_parquet(file) as opened:
                    column, _ = self._columns(opened, file)
                    for batch in opened.iter_batches(_BATCH_ROWS, columns=[column], use_threads=False):
                        yield from batch.column(0)

        def read(number: int) -> bytes:
            if number < state["next"] or not state["next"]:
                state["rows"], state["next"] = rows(), 0
            while True:
                cell = next(state["rows"])
                state["next"] += 1
                if state["next"] > number:
                    value = cell.as_py()
                    content = value.get("bytes") if isinstance(value, dict) else value
                    if content is None or len(content) > _MOST_PICTURE_BYTES:
                        raise UnusableError("holds no bytes" if content is None else "is too large for a picture")
                    return bytes(content)

        yield read


def _hub_names(opened: Any, label: str | None) -> tuple[str, ...]:
    """The classes' names, where the hub's library has written them into the file."""
    text = (opened.schema_arrow.metadata or {}).get(b"huggingface")
    if text is None or label is None:
        return ()
    try:
        names = parse_json(text, "its description")["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


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
        label = next((names.index(name) for name in _LABEL_KEYS if name in names), None)
        if label is not None:
            column = table.columns[label][kept]
            if is_words(column) and all(cell is not None for cell in column):
                self.labels, self.class_names = classes_of(column.tolist())
            elif not is_words(column) and not np.isnan(column).any():
                values, inverse = np.unique(column, return_inverse=True)
                self.labels, self.class_names = inverse.astype(np.int64), tuple(f"{value:.15g}" for value in values)

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
