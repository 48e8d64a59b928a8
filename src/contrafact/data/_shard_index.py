"""What a shard holds and where, read once: a tar's headers, a parquet file's columns beside the pictures.

Shape suffixes: N pictures.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import IntArray
from contrafact.core.decoding import PICTURES
from contrafact.core.foreign import parse_json
from contrafact.core.table import open_parquet
from contrafact.data import _tar
from contrafact.data._album import LABEL_KEYS, MOST_PICTURE_BYTES
from contrafact.data._files import cache_folder, write_cache
from contrafact.data._npz import NumpyArchive
from contrafact.data._parquet_album import hub_names, picture_columns, whole_groups
from contrafact.data._stores import Ahead, Store

BLOCK_BYTES = 2**20
"""Pictures of a tar that begin within so many bytes are read together; of a parquet file, those of a row group."""

_VERSION = 1
"""Raised when the same shard is described otherwise, so that no old index is used."""
_AHEAD_BYTES = 2**15
_MOST_CLS_BYTES, _MOST_JSON_BYTES, _MOST_COLUMNS, _LONGEST_WORD = 256, 2**16, 64, 200
_MOST_NUMBER, _MOST_ROWS = 2**62, 2**26

Column = npt.NDArray[Any]
"""int64 or texts ``(N,)``."""


@dataclass
class ShardIndex:
    """What a shard holds.

    Attributes:
        blocks_N: number of the block each picture is in, ascending.
        offsets_N: byte each begins at, of a tar; of a parquet file, its place in the row group.
        sizes_N: bytes of each, of a tar; of a parquet file, zeros.
        names: what all are called, one a line.
        columns: what is known of each, by name: whole numbers, or words.
        classes: names of the column ``label``'s values, where the hub's library wrote them.
    """

    blocks_N: IntArray
    offsets_N: IntArray
    sizes_N: IntArray
    names: bytes
    columns: dict[str, Column] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.blocks_N)


def index_of(store: Store, file: int) -> ShardIndex:
    """The index of a shard, from the cache folder where it has been read before.

    Args:
        store: where the shard lies.
        file: its number there.

    Raises:
        ValueError: a damaged shard, one of no known form, or one without pictures.
    """
    kept = cache_folder() / "shards" / f"index-{identity(store, file)}.npz"
    if kept.exists():
        try:
            return _read(kept)
        except (ValueError, KeyError):
            kept.unlink(missing_ok=True)
    made = _of_parquet(store, file) if store.names[file].lower().endswith(".parquet") else _of_tar(store, file)
    arrays = {f"column {name}": values for name, values in made.columns.items()}
    arrays |= {"blocks": made.blocks_N, "offsets": made.offsets_N, "sizes": made.sizes_N}
    arrays |= {"names": np.frombuffer(made.names, np.uint8), "classes": np.array(made.classes, dtype=np.str_)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: values for name, values in arrays.items() if values.size})
    write_cache(kept, lambda stream: stream.write(buffer.getbuffer()))
    return made


def identity(store: Store, file: int) -> str:
    """Short hash of a version of a shard, for names of what is kept of it."""
    text = f"{_VERSION} {store.names[file]} {store.sizes[file]} {store.stamps[file]}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _read(kept: Any) -> ShardIndex:
    archive = NumpyArchive("shards", kept)
    held = {key.removesuffix(".npy"): archive.read(key) for key in archive.keys()}  # noqa: SIM118
    columns = {name.removeprefix("column "): values for name, values in held.items() if name.startswith("column ")}
    classes = tuple(map(str, held.get("classes", ())))
    arrays = (held["blocks"], held["offsets"], held["sizes"])
    return ShardIndex(*arrays, held.get("names", np.zeros(0, np.uint8)).tobytes(), columns, classes)


# -- tar --------------------------------------------------------------------------------------------------------------


def _of_tar(store: Store, file: int) -> ShardIndex:
    """A tar in the WebDataset form: members that share their name up to the first dot are one sample."""
    who = f"shards: {store.shown(file)}"
    stream = Ahead(store, file, 2**12 if store.is_here else _AHEAD_BYTES)
    offsets, sizes, names = [], [], []
    known: list[dict[str, Any]] = []
    for key, picture, beside in _samples(_tar.members(stream.part, stream.length, who)):
        if picture is None:
            continue
        if picture.size > MOST_PICTURE_BYTES:
            raise ValueError(
                f"{who} holds {picture.name[:60]!r} of more than {MOST_PICTURE_BYTES // 2**20} MiB; leave it out"
            )
        offsets.append(picture.offset)
        sizes.append(picture.size)
        names.append(picture.name)
        known.append(_known_of(beside, stream.part, f"{who}, {key[:60]!r}"))
    if not offsets:
        raise ValueError(f"{who} holds no {', '.join(PICTURES)} files")
    offsets_N = np.array(offsets, dtype=np.int64)
    blocks_N = np.unique((offsets_N - offsets_N[0]) // BLOCK_BYTES, return_inverse=True)[1].astype(np.int64)
    return ShardIndex(blocks_N, offsets_N, np.array(sizes, dtype=np.int64), _lines(names), _columns(known))


def _samples(
    members: Iterator[_tar.Member],
) -> Iterator[tuple[str, _tar.Member | None, dict[str, _tar.Member]]]:
    """Name, picture and what lies beside it, by ending, of each sample."""
    current: str | None = None
    picture: _tar.Member | None = None
    beside: dict[str, _tar.Member] = {}
    for member in members:
        path = PurePosixPath(member.name)
        if path.name.startswith(".") or any(part == "__MACOSX" for part in path.parts):
            continue
        stem, _, ending = path.name.partition(".")
        key = f"{path.parent}/{stem}"
        if key != current:
            if current is not None:
                yield current, picture, beside
            current, picture, beside = key, None, {}
        last = f".{ending.rpartition('.')[2].lower()}"
        if last in PICTURES:
            picture = picture or member  # of several, the first
        elif last in (".cls", ".json"):
            beside.setdefault(last, member)
    if current is not None:
        yield current, picture, beside


def _known_of(beside: dict[str, _tar.Member], read: Callable[[int, int], bytes], who: str) -> dict[str, Any]:
    """What a sample's ``.json`` and ``.cls`` say of its picture."""
    known: dict[str, Any] = {}
    described = beside.get(".json")
    if described is not None and described.size <= _MOST_JSON_BYTES:
        text = read(described.offset, described.size)
        listed = parse_json(text, f".json of {who}", "write it again, or leave it out", finite=False)
        if isinstance(listed, dict):
            for name, value in listed.items():
                wordy = name.lower() in LABEL_KEYS and isinstance(value, str) and len(value) <= _LONGEST_WORD
                number = isinstance(value, int) and abs(value) < _MOST_NUMBER
                if (wordy or number) and len(name) <= _LONGEST_WORD and len(known) < _MOST_COLUMNS:
                    known[name] = value if wordy else int(value)
    labelled = beside.get(".cls")
    if labelled is not None and labelled.size <= _MOST_CLS_BYTES:
        word = read(labelled.offset, labelled.size).decode("utf-8", "replace").strip()
        known["label"] = int(word) if word.removeprefix("-").isdecimal() and len(word) < 19 else word[:_LONGEST_WORD]
    return known


def _columns(known: Sequence[dict[str, Any]]) -> dict[str, Column]:
    """What is known of every picture, as columns."""
    columns = {}
    for name in known[0]:
        values = [each.get(name) for each in known]
        if all(isinstance(value, int) for value in values):
            columns[name] = np.array(values, dtype=np.int64)
        elif all(isinstance(value, int | str) for value in values):
            columns[name] = np.array([str(value) for value in values], dtype=np.str_)
    return columns


def _lines(names: Sequence[str]) -> bytes:
    return "\n".join(name.replace("\n", " ") for name in names).encode("utf-8", "replace")


# -- parquet ----------------------------------------------------------------------------------------------------------


def _of_parquet(store: Store, file: int) -> ShardIndex:
    """A parquet file as the Hugging Face hub has them, by its footer and the columns beside the pictures."""
    who = f"shards: {store.shown(file)}"
    with open_parquet(who, Ahead(store, file, _AHEAD_BYTES)) as opened:
        types, metadata = importlib.import_module("pyarrow").types, opened.metadata
        picture, label = picture_columns(opened, who)
        whole_groups(metadata, who)
        rows = np.array([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], np.int64)
        count = int(rows.sum())
        if not count or count != metadata.num_rows or count > _MOST_ROWS:
            raise ValueError(f"{who} holds {count} rows and says {metadata.num_rows}; expected 1 to {_MOST_ROWS}")
        numbers = [f.name for f in opened.schema_arrow if types.is_integer(f.type) or types.is_boolean(f.type)]
        leaves = {opened.schema.column(leaf).path for leaf in range(len(opened.schema))}
        paths = [f"{picture}.path"] if f"{picture}.path" in leaves else []
        wanted = [*dict.fromkeys([*([label] if label else []), *numbers])][:_MOST_COLUMNS]
        found: dict[str, list[Any]] = {name: [] for name in wanted}
        names: list[str] = []
        asked = [*paths, *wanted]
        for batch in opened.iter_batches(2**14, columns=asked, use_threads=False) if asked else ():
            for name in wanted:
                found[name] += batch.column(batch.schema.get_field_index(name)).to_pylist()
            if paths:
                cells = batch.column(batch.schema.get_field_index(picture)).to_pylist()
                names += [str((cell or {}).get("path") or "") for cell in cells]
        classes = hub_names(opened, label)
    columns = {}
    for name, values in found.items():
        if len(values) == count and all(isinstance(value, int) and abs(value) < _MOST_NUMBER for value in values):
            columns["label" if name == label else name] = np.array(values, dtype=np.int64)
        elif len(values) == count and all(isinstance(value, str) and len(value) <= _LONGEST_WORD for value in values):
            columns["label" if name == label else name] = np.array(values, dtype=np.str_)
    blocks_N = np.repeat(np.arange(len(rows)), rows)
    offsets_N = np.arange(count) - np.repeat(np.cumsum(rows) - rows, rows)
    listed = _lines(names) if all(names) else b""
    return ShardIndex(blocks_N, offsets_N, np.zeros(count, np.int64), listed, columns, classes)
