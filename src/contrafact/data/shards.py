"""Pictures in shards, WebDataset tars or parquet files, here or far away, of which no more than a part is held.

Shape suffixes: N images, K factors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray, check_count, check_indices
from contrafact.core.decoding import UnusableError, parse_background, shown_name
from contrafact.core.progress import Progress
from contrafact.core.table import open_parquet
from contrafact.data._album import MOST_PICTURE_BYTES, SPLITS, Numbers, classes_of, numbered_classes, part_of
from contrafact.data._blocks import BlockCache
from contrafact.data._files import PathLike, cache_folder
from contrafact.data._parquet_album import picture_columns
from contrafact.data._passes import Passes, move
from contrafact.data._pixels import to_images
from contrafact.data._shard_index import Column, ShardIndex, identity, index_of
from contrafact.data._square import Fit, Fitted, check_look, decode_square
from contrafact.data._stores import Ahead, Store, is_remote, without_secrets
from contrafact.data.images import DEFAULT_SIDE, WHITE

CACHE_GB = 10.0
_FETCHES, _ROW_GROUPS = 16, 2  # at once: row groups may be large
_STREAMS = 4
_AHEAD_BYTES = 2**20
_BATCH_ROWS = 64
_MOST_VALUES = 1000


class Shards(ImageDataset):
    """Pictures in tar shards (WebDataset) or parquet files (the Hugging Face hub's), read where they lie.

    Shards may lie on this machine or wherever fsspec reaches: ``s3://``, ``https://``, ``gs://``. Their headers, and
    the columns beside the pictures, are read once, into an index of some bytes a picture in the cache folder. Pictures
    are read and decoded when they are asked for: of a tar on this machine one by one, else in blocks (a tar's
    neighbours within 1 MiB, a parquet file's row group), of which the cache folder keeps the latest. ``random_batch``
    goes through all pictures in shuffled passes, 4,096 mixed at a time, each block fetched about once a pass, and goes
    on in the middle of a pass when a run is resumed.

    A picture's class is in ``.cls`` or under ``label`` in ``.json`` (tar), or in a column ``label``. Where at least two
    such fields or columns of whole numbers go from 0 to K - 1, they are factors.

    Args:
        path: a file, a folder of shards, or several: ``train-{000..099}.tar``, ``train-*.parquet``.
        size: image side in pixels.
        background: what see-through parts are laid on: a colour's name, or a code such as ``#80ff00``.
        channels: 3 for RGB; 1 for grey; 4 for RGB and opacity.
        fit: how pictures become square: ``crop`` to the centre, ``pad`` with the background, or ``squeeze``.
        split: ``train``, ``val`` or ``test``, by the words in the files' names; by default the training part, where
            there are several.
        files: of a folder, which files: ``train-{000..099}.tar``.
        cache_gb: how many GB of fetched blocks the cache folder keeps, for all processes of this machine together.

    Raises:
        ValueError: no such shards, a damaged one, one without pictures, a part that is not there, or options out of
            range; when they are read also pictures that cannot be decoded or are too small.

    >>> import io, tarfile
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> with tarfile.open("pets-000.tar", "w") as tar:
    ...     for number, colour in enumerate(("red", "white", "black")):
    ...         picture = io.BytesIO()
    ...         Image.new("RGB", (80, 64), colour).save(picture, "png")
    ...         for ending, content in (("png", picture.getvalue()), ("cls", str(number % 2).encode())):
    ...             member = tarfile.TarInfo(f"{number:06}.{ending}")
    ...             member.size = len(content)
    ...             tar.addfile(member, io.BytesIO(content))
    >>> pets = cf.data.Shards("pets-{000..000}.tar", size=32)
    >>> pets.labels.tolist(), pets.batch([0]).mean((0, 2, 3)).tolist(), list(pets.file_names)
    ([0, 1, 0], [1.0, 0.0, 0.0], ['000000.png', '000001.png', '000002.png'])
    """

    name = "shards"

    def __init__(
        self,
        path: PathLike,
        size: int | None = None,
        background: str = "white",
        channels: int = 3,
        fit: Fit = "crop",
        split: str | None = None,
        files: str | None = None,
        cache_gb: float = CACHE_GB,
    ) -> None:
        side = DEFAULT_SIDE if size is None else check_count("size", size)
        check_look(fit, channels)
        if split is not None and split not in SPLITS:
            raise ValueError(unknown_name_message("part", split, list(SPLITS)))
        if not (isinstance(cache_gb, int | float) and cache_gb > 0):
            raise ValueError(f"cache_gb must be a number of GB above 0, got {cache_gb!r}")
        self.image_shape, self.fit = (channels, side, side), fit
        self.background, self.cache_gb = parse_background(background), float(cache_gb)
        self.store, self.options = _located(str(path), files)
        self.source = without_secrets(self.store.text) if is_remote(self.store.text) else str(_folder_of(str(path)))
        asked = {"background": self.background, "channels": channels, "fit": fit}
        usual = {"background": WHITE, "channels": 3, "fit": "crop"}
        self.options |= {option: value for option, value in asked.items() if value != usual[option]}
        self.split, self._shards = _of_part(self.store, split)
        self._index = _indexed(self.store, self._shards)
        self._ends_S = np.cumsum([len(index) for index in self._index])
        blocks = [np.bincount(index.blocks_N) for index in self._index]
        self._passes = Passes(np.concatenate(blocks))
        self._blocks = BlockCache(cache_folder() / "shards", int(self.cache_gb * 1e9))
        self._ahead: dict[int, tuple[tuple[int, int] | None, tuple[int, Future[Tensor]] | None]] = {}
        self._reader: ThreadPoolExecutor | None = None
        self._labels: IntArray | None = None
        columns = _shared_columns(self._index)
        self._classify(columns)
        self._factors = {name: values for name, values in columns.items() if _is_factor(values)}
        if len(self._factors) > 1 and type(self) is Shards:
            self.__class__ = AnnotatedShards  # only the shards say whether their factors are known
            self.factor_names = tuple(self._factors)
            self.factor_sizes = tuple(int(values.max()) + 1 for values in self._factors.values())

    def _classify(self, columns: Mapping[str, Column]) -> None:
        values = columns.get("label")
        if values is None:
            return
        classes = next((index.classes for index in self._index if index.classes), ())
        if values.dtype.kind == "U":
            self._labels, self.class_names = classes_of(values.tolist())
        elif classes and values.min() >= 0 and values.max() < len(classes):
            self._labels, self.class_names = values, classes
        else:
            self._labels, self.class_names = numbered_classes(values)

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    @property
    def file_names(self) -> Sequence[str]:
        if not all(index.names for index in self._index):
            return Numbers(len(self), len(str(len(self) - 1)))
        return [name for index in self._index for name in index.names.decode().split("\n")]

    def __len__(self) -> int:
        return int(self._ends_S[-1])

    def place(self) -> Path | None:
        return Path(self.source) if self.store.is_here else None

    def fingerprint(self) -> str:
        """Short hash of the shards' names and sizes and of what is known of their pictures, wherever they lie."""
        digest = hashlib.sha256(f"{self.split or ''}".encode())
        for shard, index in zip(self._shards, self._index, strict=True):
            last = self.store.names[shard].replace("\\", "/").rpartition("/")[2].partition("?")[0]
            digest.update(f"{last}\0{self.store.sizes[shard]}\0{len(index)}\0".encode("utf-8", "surrogateescape"))
            digest.update(np.ascontiguousarray(index.offsets_N, dtype="<i8").tobytes())
        if self._labels is not None:
            digest.update(np.ascontiguousarray(self._labels, dtype="<i8").tobytes())
        return digest.hexdigest()[:16]

    def parts(self) -> tuple[ImageDataset, ImageDataset] | None:
        if self.split not in ("train", "test"):
            return None
        other = "test" if self.split == "train" else "train"
        channels, size, _ = self.image_shape
        try:
            twin = Shards(
                self.store.text, size, self.background, channels, self.fit, split=other, cache_gb=self.cache_gb
            )
        except ValueError:  # there is no such part
            return None
        return (self, twin) if self.split == "train" else (twin, self)

    def random_batch(self, n: int, rng: np.random.Generator) -> Tensor:
        """The next ``n`` images of a shuffled pass, which ``rng`` leads through: float32 ``(n, C, H, W)`` in [0, 1].

        Each image comes once a pass; another stream goes through other passes. See :mod:`contrafact.data._passes`. Of
        a stream that asks again and again for as many, the next batch is read while this one is used.
        """
        count = check_count("n", n)
        found = move(rng, count)
        if found is None:
            return self.batch(rng.integers(len(self), size=count))
        place, stream = found
        expected, coming = self._ahead.pop(stream, (None, None))
        if coming is not None and coming[0] == os.getpid() and expected == (place, count):
            images = coming[1].result()
        else:
            images = self.batch(self._passes.at(place, count, stream))
        coming = None
        if expected == (place, count):  # not of one that asks once
            rows = self._passes.at(place + count, count, stream)
            self._reader = self._reader or ThreadPoolExecutor(1)
            coming = os.getpid(), self._reader.submit(self.batch, rows)
        while len(self._ahead) >= _STREAMS:
            self._ahead.pop(next(iter(self._ahead)))
        self._ahead[stream] = (place + count, count), coming
        return images

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ahead": {}, "_reader": None}

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        channels, size, _ = self.image_shape
        pixels = np.empty((len(checked), size, size, channels), dtype=np.uint8)
        shards = np.searchsorted(self._ends_S, checked, side="right")
        wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for place, (shard, row) in enumerate(zip(shards.tolist(), checked.tolist(), strict=True)):
            within = row - (int(self._ends_S[shard - 1]) if shard else 0)
            wanted.setdefault((shard, int(self._index[shard].blocks_N[within])), []).append((place, within))
        read = partial(decode_square, channels=channels, background=self.background, size=size, fit=self.fit)

        def fetch(item: tuple[tuple[int, int], list[tuple[int, int]]]) -> list[bytes]:
            (shard, block), chosen = item
            return self._encoded(shard, block, [within for _, within in chosen])

        def fill(item: tuple[int, int, int, bytes]) -> None:
            shard, place, within, content = item
            picture = read(content) if content else UnusableError("holds no bytes")
            if not isinstance(picture, Fitted):
                raise ValueError(self._refusal(shard, within, picture))
            pixels[place] = picture.pixels

        several = any(self._is_parquet(shard) for shard, _ in wanted)
        with ThreadPoolExecutor(_ROW_GROUPS if several else _FETCHES) as pool:
            found = list(pool.map(fetch, wanted.items()))
        items = [
            (shard, place, within, content)
            for ((shard, _), chosen), contents in zip(wanted.items(), found, strict=True)
            for (place, within), content in zip(chosen, contents, strict=True)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
            list(pool.map(fill, items))
        return to_images(pixels, size) if len(pixels) else torch.zeros((0, *self.image_shape))

    def _refusal(self, shard: int, within: int, picture: UnusableError) -> str:
        index = self._index[shard]
        called = index.names.decode().split("\n")[within] if index.names else f"row {within}"
        return (
            f"{self.name}: {shown_name(called)} in {self.store.shown(self._shards[shard])} {picture}; take it out "
            "of the shard, or load the shards at a smaller size"
        )

    def _is_direct(self, shard: int) -> bool:
        """Whether pictures are read one by one: a tar's on this machine."""
        return self.store.is_here and not self._is_parquet(shard)

    def _is_parquet(self, shard: int) -> bool:
        return self.store.names[self._shards[shard]].lower().endswith(".parquet")

    def _encoded(self, shard: int, block: int, rows: Sequence[int]) -> list[bytes]:
        """Files of the pictures at ``rows`` of a shard, all in one block."""
        index, file = self._index[shard], self._shards[shard]
        if self._is_direct(shard):
            return [self.store.read(file, int(index.offsets_N[row]), int(index.sizes_N[row])) for row in rows]
        first, end = np.searchsorted(index.blocks_N, [block, block + 1]).tolist()
        make: Callable[[], Sequence[bytes]]
        if self._is_parquet(shard):
            make = partial(_row_group, self.store, file, block, end - first)
        else:
            make = partial(_stretch, self.store, file, index, first, end)
        name = f"{identity(self.store, file)}-{block}"
        return self._blocks.pictures(name, [row - first for row in rows], make)


class AnnotatedShards(Shards, AnnotatedDataset):
    """Shards whose pictures' factors are known; :class:`Shards` becomes one by itself.

    Attributes:
        factor_names: K names of fields or columns.
        factor_sizes: K numbers of values.
    """

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        checked = check_indices(self, indices)
        return np.stack([self._factors[name][checked] for name in self.factor_names], axis=1).astype(np.int64)


def _stretch(store: Store, file: int, index: ShardIndex, first: int, end: int) -> list[bytes]:
    """Pictures ``[first, end)`` of a tar, read at once."""
    begin = int(index.offsets_N[first])
    content = store.read(file, begin, int(index.offsets_N[end - 1] + index.sizes_N[end - 1]) - begin)
    places = zip(index.offsets_N[first:end].tolist(), index.sizes_N[first:end].tolist(), strict=True)
    return [content[offset - begin : offset - begin + size] for offset, size in places]


def _row_group(store: Store, file: int, group: int, count: int) -> list[bytes]:
    """Pictures of a row group of a parquet file; one that is missing or too large is empty."""
    who = f"shards: {store.shown(file)}"
    found: list[bytes] = []
    with open_parquet(who, Ahead(store, file, _AHEAD_BYTES)) as opened:
        column, _ = picture_columns(opened, who)
        for batch in opened.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[column], use_threads=False):
            for cell in batch.column(0):
                value = cell.as_py()
                content = value.get("bytes") if isinstance(value, dict) else value
                found.append(content if content is not None and len(content) <= MOST_PICTURE_BYTES else b"")
    if len(found) != count:
        raise ValueError(f"{who}: row group {group} holds {len(found)} rows and says {count}; get the file again")
    return found


def _located(path: str, files: str | None) -> tuple[Store, dict[str, Any]]:
    """The shards, and how they are named beside their folder."""
    if files is not None:
        if is_remote(path) or "/" in files or "\\" in files:
            raise ValueError(f"files names what lies in a folder of this machine, got {files!r} for {path!r}")
        return Store(os.path.join(path, files)), {"files": files}
    folder, name = os.path.split(path)
    if not is_remote(path) and ("{" in name or "*" in name) and not ("{" in folder or "*" in folder):
        return Store(path), {"files": name}
    return Store(path), {}


def _folder_of(path: str) -> Path:
    """The file or folder that a path names, without what stands for several files."""
    found = Path(path).expanduser()
    while "{" in str(found) or "*" in str(found):
        found = found.parent
    return found


def _of_part(store: Store, split: str | None) -> tuple[str | None, list[int]]:
    """The part that is read, and the numbers of its shards."""
    parts = []
    for name in store.names:
        words = name.replace("\\", "/").rpartition("/")[2].replace(".", "-").replace("_", "-").split("-")
        parts.append(next((part for word in words if (part := part_of(word))), None))
    found = sorted({part for part in parts if part is not None})
    if split is not None and split not in found:
        raise ValueError(
            f"shards: {store.shown(0)} and its like are of no part {split!r}; found {', '.join(found) or 'none'}"
        )
    chosen = split or ("train" if "train" in found and len(found) > 1 else None)
    return chosen or (found[0] if len(found) == 1 and None not in parts else None), [
        number for number, part in enumerate(parts) if chosen is None or part == chosen
    ]


def _indexed(store: Store, shards: Sequence[int]) -> list[ShardIndex]:
    found = []
    with (
        ThreadPoolExecutor(1 if store.is_here else _FETCHES) as pool,
        Progress("indexing shards (once)", len(shards)) as bar,
    ):
        for index in pool.map(partial(index_of, store), shards):
            found.append(index)
            bar.advance()
    return found


def _shared_columns(shards: Sequence[ShardIndex]) -> dict[str, Column]:
    """What is known of the pictures of all shards."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in shards[0].columns:
        values = [index.columns[name] for index in shards if name in index.columns]
        if len(values) == len(shards) and len({part.dtype.kind for part in values}) == 1:
            columns[name] = np.concatenate(values)
    return columns


def _is_factor(values: Column) -> bool:
    """Whether whole numbers go from 0 on without a gap."""
    if values.dtype.kind != "i" or values.min() != 0 or not 1 <= values.max() < _MOST_VALUES:
        return False
    return len(np.unique(values)) == int(values.max()) + 1
