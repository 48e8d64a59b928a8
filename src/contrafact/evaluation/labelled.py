"""The annotated images of a dataset, as a dataset of known factors: what a run that was told of a few is scored on.

Shape suffixes: N images, M annotated images, K factors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from contrafact.core.annotations import UNKNOWN, FewLabels, IntArray
from contrafact.core.dataset import AnnotatedDataset, ImageDataset, check_indices
from contrafact.core.few_labels import choose_labels
from contrafact.core.method import FinishedRun
from contrafact.core.run import LABELS

FEWEST = 10
"""Images with every label, below which there is nothing to score."""
_MOST_BINS, _IMAGES_PER_BIN = 10, 4


class LabelledImages(AnnotatedDataset):
    """The images of which every factor is known; a continuous one in up to ten bins of equally many images.

    Args:
        dataset: all images.
        labels: what is known of some of them.

    Attributes:
        indices: which of all images they are ``(M,)``.

    Raises:
        ValueError: every factor is known of fewer than ten images, or none of them differs there.

    >>> from contrafact.core.few_labels import choose_labels
    >>> from contrafact.core.memory import MemoryImages
    >>> import torch
    >>> images = MemoryImages(torch.rand(30, 1, 8, 8))
    >>> part = LabelledImages(images, choose_labels(images, {"hue": [0, 1, -1] * 10, "size": [1, 2, 3] * 10}))
    >>> len(part), part.factor_names, part.factors_of([0, 1]).tolist()  # of hue −1 nothing is known
    (20, ('hue', 'size'), [[0, 0], [1, 1]])
    """

    def __init__(self, dataset: ImageDataset, labels: FewLabels) -> None:
        self._whole = dataset
        self.name, self.image_shape, self.source, self.options = (
            dataset.name,
            dataset.image_shape,
            dataset.source,
            dataset.options,
        )
        known = (labels.values != UNKNOWN).all(axis=1)
        if known.sum() < FEWEST:
            raise ValueError(
                f"{labels.origin}: {', '.join(labels.names)} are all known of {known.sum()} images; at least {FEWEST} "
                "are needed to score codes"
            )
        self.indices = labels.indices[known]
        columns = [_counted(labels, k, known) for k in range(len(labels.names))]
        kept = [k for k, column in enumerate(columns) if column.max() > 0]
        if not kept:
            raise ValueError(f"{labels.origin}: no factor differs among the images of which all are known")
        self._factors_MK = np.stack([columns[k] for k in kept], axis=1)
        self.factor_names = tuple(labels.names[k] for k in kept)
        self.factor_sizes = tuple(int(size) for size in self._factors_MK.max(axis=0) + 1)
        if len(kept) == 1 and labels.value_names and not labels.continuous:
            self.class_names = tuple(
                labels.value_names[kept[0]][value] for value in np.unique(labels.values[known, kept[0]])
            )

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        return self._whole.batch(self.indices[check_indices(self, indices)])

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        return self._factors_MK[check_indices(self, indices)]

    @property
    def labels(self) -> IntArray | None:
        return self._factors_MK[:, 0] if len(self.factor_names) == 1 else None

    @property
    def file_names(self) -> Sequence[str] | None:
        names = self._whole.file_names
        return None if names is None else [names[index] for index in self.indices]

    def fingerprint(self) -> str:
        return self._whole.fingerprint()


def _counted(labels: FewLabels, k: int, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> IntArray:
    """A factor's values among the images that are kept, from 0 without gaps; bins of a continuous one."""
    if labels.names[k] not in labels.continuous:
        return np.unique(labels.values[known, k], return_inverse=True)[1].astype(np.int64)
    assert labels.amounts is not None
    amounts = labels.amounts[known, k]
    bins = max(2, min(_MOST_BINS, len(amounts) // _IMAGES_PER_BIN))
    edges = np.quantile(amounts, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(edges, amounts, side="right"), return_inverse=True)[1].astype(np.int64)


def held_out(run: FinishedRun, dataset: ImageDataset, table: str | Path) -> LabelledImages:
    """The images that a table of labels knows, to score a run on; a note says how many the run was told of.

    Args:
        run: a finished run.
        dataset: the images, those the run learned from or others.
        table: a file as ``fit --labels`` reads it: a column ``file`` or ``index``, and one per factor.

    Raises:
        ValueError: no such file, a table that does not fit the images, or too few images with every label.
    """
    if not Path(table).is_file():
        raise ValueError(f"no file {table}; labels are a table: a column file or index, one per factor")
    labels = choose_labels(dataset, Path(table))
    part = LabelledImages(dataset, labels)
    told = _told_of(run, dataset)
    if twice := len(np.intersect1d(part.indices, told)):
        print(
            f"note: {twice} of the {len(part)} images in {table} are among those whose labels the run learned from",
            file=sys.stderr,
        )
    return part


def _told_of(run: FinishedRun, dataset: ImageDataset) -> IntArray:
    """The images of a dataset whose labels a run learned from."""
    path = run.folder / LABELS
    if not path.exists() or dataset.fingerprint() != run.config["source"].get("fingerprint"):
        return np.zeros(0, dtype=np.int64)
    return choose_labels(dataset, path).indices


def scored_part(run: FinishedRun, dataset: ImageDataset) -> ImageDataset:
    """What a run is scored on: of images of which nothing is known but what the run was told, those; else all.

    Args:
        run: a finished run.
        dataset: the images it is to be scored on.
    """
    said = run.config["source"].get("labels") or {}
    path = run.folder / LABELS
    if not said.get("own") or isinstance(dataset, LabelledImages) or not path.exists():
        return dataset
    if dataset.fingerprint() != run.config["source"].get("fingerprint"):
        return dataset
    part = LabelledImages(dataset, choose_labels(dataset, path))
    print(
        f"note: scored on the {len(part)} of {len(dataset)} images of which {', '.join(part.factor_names)} are known, "
        "which are among those the run learned from",
        file=sys.stderr,
    )
    return part
