"""Pictures in parquet files, as the Hugging Face hub has them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.decoding import Item, UnusableError
from contrafact.core.foreign import parse_json
from contrafact.core.table import open_parquet
from contrafact.data._album import (
    IMAGE_KEYS,
    LABEL_KEYS,
    MOST_PICTURE_BYTES,
    Album,
    Numbers,
    classes_of,
    numbered_classes,
    part_of,
)

_MOST_PICTURES = 2**26
_MOST_GROUP_BYTES = 2**31
_BATCH_ROWS = 64


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
                column, label = picture_columns(opened, f"images: {file}")
                known = known or hub_names(opened, label)
                paths, values = _listed(opened, file, column, label)
                names += paths
                labels += values
            self._starts.append(len(names))
            if len(names) > _MOST_PICTURES:
                raise ValueError(f"images: {place} lists more than {_MOST_PICTURES} pictures")
        if not names:
            raise ValueError(f"images: {place} holds no rows")
        unique = len(set(names)) == len(names) and all(names)
        self.names = names if unique else Numbers(len(names), len(str(len(names) - 1)))
        if labels and all(label is not None for label in labels):
            self._classify(labels, known)

    def _classify(self, labels: Sequence[Any], known: tuple[str, ...]) -> None:
        whole = all(isinstance(label, int) for label in labels)
        if whole and known and min(labels) >= 0 and max(labels) < len(known):
            self.labels, self.class_names = np.asarray(labels, dtype=np.int64), known
        elif whole:
            self.labels, self.class_names = numbered_classes(np.asarray(labels, dtype=np.int64))
        elif all(isinstance(label, str) for label in labels):
            self.labels, self.class_names = classes_of(labels)

    def files(self) -> list[Path]:
        return list(self._files)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Item]]:
        state: dict[str, Any] = {"next": 0, "rows": iter(()), "file": -1}

        def rows() -> Iterator[Any]:
            for file in self._files:
                with open_parquet(file) as opened:
                    column, _ = picture_columns(opened, f"images: {file}")
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
                    if content is None or len(content) > MOST_PICTURE_BYTES:
                        raise UnusableError("holds no bytes" if content is None else "is too large for a picture")
                    return bytes(content)

        yield read


def picture_columns(opened: Any, who: str) -> tuple[str, str | None]:
    """Names of the columns of pictures and of classes."""
    types, schema = importlib.import_module("pyarrow").types, opened.schema_arrow

    def holds_pictures(kind: Any) -> bool:
        if types.is_struct(kind):
            inside = [kind.field(i) for i in range(kind.num_fields)]
            return any(f.name == "bytes" and (types.is_binary(f.type) or types.is_large_binary(f.type)) for f in inside)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    pictures = [field.name for field in schema if holds_pictures(field.type)]
    if not pictures:
        raise ValueError(
            f"{who} has no column of pictures, image: {{bytes, path}}; it has {', '.join(schema.names[:20]) or 'none'}"
        )
    column = next((name for name in IMAGE_KEYS if name in pictures), pictures[0])
    texts_or_numbers = {
        field.name
        for field in schema
        if types.is_integer(field.type) or types.is_string(field.type) or types.is_large_string(field.type)
    }
    return column, next((name for name in LABEL_KEYS if name in texts_or_numbers), None)


def _listed(opened: Any, file: Path, column: str, label: str | None) -> tuple[list[str], list[Any]]:
    """What the pictures are called, and their classes."""
    metadata = opened.metadata
    whole_groups(metadata, f"images: {file}")
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


def whole_groups(metadata: Any, who: str) -> None:
    """Refuse row groups that fit into no memory.

    Raises:
        ValueError: one has more than 2 GiB.
    """
    largest = max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)
    if largest > _MOST_GROUP_BYTES:
        raise ValueError(f"{who} has row groups of {largest / 1e9:.1f} GB; write it again with smaller ones")


def hub_names(opened: Any, label: str | None) -> tuple[str, ...]:
    """The classes' names, where the hub's library has written them into the file."""
    text = (opened.schema_arrow.metadata or {}).get(b"huggingface")
    if text is None or label is None:
        return ()
    try:
        names = parse_json(text, "its description")["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()
