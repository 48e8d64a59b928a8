"""What every dataset promises."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contrafact.contract.promise import expect, expect_refusal
from contrafact.core.dataset import FactorDataset, ImageDataset

_INDICES = "call check_indices(self, indices) of contrafact.core.dataset first in batch()"


@dataclass(frozen=True)
class Subject:
    """A dataset to check.

    Attributes:
        dataset: an instance.
        folder: an empty folder.
        listed: whether it is one of the package's own, which are built from a path and a size.
    """

    dataset: ImageDataset
    folder: Path
    listed: bool = False


def describes_itself(subject: Subject) -> None:
    """It has a name, says where it is from, and has square grey or colour images."""
    dataset = subject.dataset
    expect(isinstance(dataset, ImageDataset), "derive it from contrafact.core.dataset.ImageDataset or FactorDataset")
    expect(dataset.name, "give it a name")
    expect(dataset.source, "say in source where the images come from: a path, or 'made up'")
    channels, height, width = dataset.image_shape
    expect(channels in (1, 3), f"images have {channels} channels; expected 1 or 3")
    expect(height == width > 0, f"images are {height}×{width}; expected squares: crop or pad them")
    expect(str(len(dataset)) in repr(dataset), "repr() does not say how many images there are")


def gives_float32_batches(subject: Subject) -> None:
    """A batch is float32 (N, C, H, W) from 0 to 1, contiguous, whatever holds the indices, and may be empty."""
    dataset, count = subject.dataset, len(subject.dataset)
    asked: tuple[Any, ...] = ([count - 1, 0, 0], np.array([count // 2]), torch.tensor([0, count - 1]), np.zeros(0, int))
    for indices in asked:
        images = dataset.batch(indices)
        expect(images.dtype == torch.float32, f"batch() gives {images.dtype}; expected float32")
        expected = (len(indices), *dataset.image_shape)
        expect(tuple(images.shape) == expected, f"batch() gives shape {tuple(images.shape)}; expected {expected}")
        expect(images.is_contiguous(), "batch() gives images that are not contiguous; call .contiguous()")
        within = not len(indices) or 0 <= images.min() <= images.max() <= 1
        expect(within, "batch() gives values outside of 0 to 1; divide bytes by 255")


def gives_the_same_image_in_any_batch(subject: Subject) -> None:
    """An image does not depend on its batch, nor on when it is asked for; and images differ."""
    indices = np.random.default_rng(0).integers(len(subject.dataset), size=20)
    together = subject.dataset.batch(indices)
    expect(torch.equal(subject.dataset.batch(indices[7:8]), together[7:8]), "an image is another alone than in a batch")
    expect(torch.equal(subject.dataset.batch(indices), together), "asked again, batch() gives other images")
    expect(len(torch.unique(together, dim=0)) > 1, "20 images are all the same")


def repeats_random_batches(subject: Subject) -> None:
    """Random batches repeat by seed."""
    one, two = (subject.dataset.random_batch(5, np.random.default_rng(3)) for _ in range(2))
    expect(torch.equal(one, two), "the same seed gives another batch: draw from the rng given")


def refuses_wrong_indices(subject: Subject) -> None:
    """Indices that are no whole numbers, or out of range, are refused."""
    wrongs: tuple[Any, ...] = ([-1], [0.5], [[0]])
    for wrong in wrongs:
        expect_refusal(partial(subject.dataset.batch, wrong), "indices", _INDICES)
    expect_refusal(lambda: subject.dataset.batch([len(subject.dataset)]), r"indices must lie in \[0", _INDICES)


def names_its_classes(subject: Subject) -> None:
    """Its labels, where it has any, are numbers of its class names."""
    labels, names = subject.dataset.labels, subject.dataset.class_names
    if labels is None:
        expect(names == (), "it has class_names and no labels")
        return
    expect(labels.shape == (len(subject.dataset),), f"labels have shape {labels.shape}; expected one for each image")
    expect(0 <= labels.min() <= labels.max() < len(names), "a label is no number of class_names")


def is_built_by_name(subject: Subject) -> None:
    """Its constructor's arguments have names, and a size that is none is refused."""
    cls = type(subject.dataset)
    parameters = inspect.signature(cls).parameters
    named = all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())
    expect(named, "give its constructor arguments with names and defaults; no *args, no **kwargs")
    if subject.listed:
        expect({"path", "size"} <= parameters.keys(), "its constructor takes path=None and size")
    if "size" not in parameters:
        return
    default = parameters["size"].default
    expect(default is None or isinstance(default, int), "give size a default: a whole number, or None for images' own")
    path = {"path": subject.folder} if "path" in parameters else {}
    build: Any = partial(cls, **path)
    advice = "call check_count('size', size) of contrafact.core.dataset first in the constructor"
    for size in (0, -8, 7.5, True):
        expect_refusal(partial(build, size=size), "size must be", advice)


def can_be_pickled(subject: Subject) -> None:
    """A pickled copy gives the same images: worker processes get their dataset so."""
    indices = [0, len(subject.dataset) - 1]
    before = subject.dataset.batch(indices)
    copied = pickle.loads(pickle.dumps(subject.dataset))
    expect(torch.equal(copied.batch(indices), before), "a pickled copy gives other images")


def counts_its_factors(subject: Subject) -> None:
    """A grid counts its factors row-major, the last one fastest, and images() and batch() agree."""
    dataset = subject.dataset
    if not isinstance(dataset, FactorDataset):
        return
    sizes = dataset.factor_sizes
    expect(len(set(dataset.factor_names)) == len(sizes), "give each factor a name of its own, and a size")
    expect(min(sizes) >= 1, "a factor has no values")
    expect(len(dataset) == np.prod(sizes), "len() is not the product of factor_sizes")
    strides = [int(np.prod(sizes[axis + 1 :])) for axis in range(len(sizes))]
    drawn = np.random.default_rng(0).integers(len(dataset), size=30).tolist()
    for index in (0, len(dataset) - 1, *drawn):
        row = dataset.factors_of([index])
        counted = sum(int(v) * s for v, s in zip(row[0], strides, strict=True))
        expect(counted == index, f"factors_of([{index}]) is {row.tolist()}, which counts to {counted}")
        expect(dataset.index_of(row).tolist() == [index], f"index_of(factors_of([{index}])) is not [{index}]")
    factors = dataset.sample(6, np.random.default_rng(0))
    expect(torch.equal(dataset.images(factors), dataset.batch(dataset.index_of(factors))), "images() is not batch()")
    expect(torch.equal(dataset.images(torch.from_numpy(factors)), dataset.images(factors)), "images() takes no tensor")


def refuses_factors_outside_the_grid(subject: Subject) -> None:
    """Factors outside the grid, of another number, or not whole are refused by name."""
    dataset = subject.dataset
    if not isinstance(dataset, FactorDataset):
        return
    last = len(dataset.factor_sizes) - 1
    factors = np.zeros((2, last + 1), dtype=int)
    factors[1, last] = dataset.factor_sizes[last]
    advice = "leave images() and index_of() as FactorDataset has them"
    pattern = f"factor {dataset.factor_names[last]!r} takes values 0 to .*; row 1 has"
    expect_refusal(lambda: dataset.images(factors), pattern, advice)
    expect_refusal(lambda: dataset.images(factors[:, 1:]), "expected factors of shape", advice)
    halves: Any = factors / 2
    expect_refusal(lambda: dataset.images(halves), "expected integer factors", advice)


CHECKS = (
    describes_itself,
    gives_float32_batches,
    gives_the_same_image_in_any_batch,
    repeats_random_batches,
    refuses_wrong_indices,
    names_its_classes,
    is_built_by_name,
    can_be_pickled,
    counts_its_factors,
    refuses_factors_outside_the_grid,
)
"""What is checked."""
