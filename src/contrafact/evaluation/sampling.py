"""Codes and factors of random images: what the metrics of a run's encoder see.

Shape suffixes: N images, J code dimensions, K factors.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray, check_count
from contrafact.core.encoder import Encoder
from contrafact.core.few_labels import CLASS
from contrafact.core.method import FinishedRun
from contrafact.core.places import find_place
from contrafact.core.progress import Progress
from contrafact.data import CATALOG as DATASETS
from contrafact.data.load import FOLDER_DATASET, SHARDED_DATASET, load_dataset, load_recorded
from contrafact.evaluation.classes import split_for_scoring

BATCH = 512
"""Images encoded at a time."""
Codes32 = npt.NDArray[np.float32]


@torch.no_grad()
def encode(
    encoder: Encoder, dataset: ImageDataset, indices: IntArray, batch: int = BATCH, representation: str | None = None
) -> Codes32:
    """Codes ``(N, J)``, or another representation, of the dataset's images at ``indices`` ``(N,)``.

    In batches, on the encoder's device.

    Raises:
        ValueError: the dataset's images are not of the encoder's shape, or it has no such representation.
    """
    device = next(encoder.parameters()).device
    parts = []
    with Progress(f"encoding {dataset.name}", len(indices)) as progress:
        for start in range(0, len(indices), check_count("batch", batch)):
            images = dataset.batch(indices[start : start + batch]).to(device)
            codes = encoder(images)
            parts.append((codes if representation is None else encoder.represent(codes, representation)).float().cpu())
            progress.advance(len(images))
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def factors_of(dataset: ImageDataset, indices: IntArray) -> IntArray:
    """What is known of the images at ``indices`` ``(N,)``: their factors ``(N, K)``, or their label as one factor.

    Raises:
        ValueError: the dataset has neither.
    """
    if isinstance(dataset, AnnotatedDataset):
        return dataset.factors_of(indices)
    if dataset.labels is None:
        raise ValueError(
            f"{dataset.name} has neither factors nor labels, so nothing is known to score codes against; "
            "choose another dataset with --data"
        )
    return dataset.labels[indices][:, None]


def sample_indices(dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> tuple[IntArray, IntArray]:
    """Indices of a random training sample and a held-out one, without repetition.

    A dataset too small for both is used whole, divided in the proportion asked for.
    """
    total = check_count("num_train", num_train) + check_count("num_test", num_test)
    if total > len(dataset):
        num_train, total = max(1, len(dataset) * num_train // total), len(dataset)
    chosen = np.random.default_rng(seed).choice(len(dataset), total, replace=False)
    return chosen[:num_train].astype(np.int64), chosen[num_train:].astype(np.int64)


def dataset_of(run: FinishedRun, data: str | None = None) -> ImageDataset | None:
    """The data a run is about: what it was trained on, or what its generator was, at the size of its images.

    Args:
        run: a finished run.
        data: a name or path of other data, which is loaded as the run's was.

    Returns:
        None when nothing says what data that was.

    Raises:
        ValueError: the data is not where it was.
    """
    source = run.config["source"]
    height, options = source["image_shape"][-1], source.get("options", {})
    if data is not None:
        options = {option: value for option, value in options.items() if option != "files"}  # of the run's own folder
        other = load_dataset(data, size=height)
        takes = inspect.signature(type(other)).parameters
        return load_dataset(data, size=height, **options) if options.keys() & takes.keys() else other
    if source["kind"] == "data":
        return _load_again({**source, "split": split_for_scoring(source.get("split"))}, run, height, source)
    note = run.generator.note if run.has("generator") else {}
    if "trained_on" not in note:
        return None
    about = {"name": note["trained_on"], "from": note.get("from", ""), "fingerprint": note.get("fingerprint", "")}
    return _load_again({"kind": "data", "split": "test", **about}, run, height, {})


def training_data_of(run: FinishedRun) -> ImageDataset:
    """The very images a run learned from, without its few labels.

    Raises:
        ValueError: they are not where they were.
    """
    source = run.config["source"]
    return _load_again(source, run, source["image_shape"][-1], source)


def _load_again(wanted: Mapping[str, Any], run: FinishedRun, size: int, known: Mapping[str, Any]) -> ImageDataset:
    """The dataset ``wanted``, from where it lies now when that can be found, else by its name; in parts, its split.

    Args:
        wanted: name, place and fingerprint, as in a run's configuration.
        run: the run, for messages and for what its folder's place says of the data's.
        size: side of the images.
        known: the same of the very data the run saw, if that is it.
    """
    name, options = wanted["name"], wanted.get("options", {})
    place = None if ":" in name else find_place(wanted, run.folder)  # a path does not carry a variant, a name does
    in_parts = name in DATASETS and "split" in inspect.signature(DATASETS.get(name)).parameters
    own = name in (FOLDER_DATASET, SHARDED_DATASET)
    if place is None and own:
        kind = "folder" if name == FOLDER_DATASET else "shards"
        raise ValueError(
            f"{run.folder} learned from the {kind} {wanted['from']!r}, which is not where it was; name it with --data"
        )
    split = wanted.get("split") or "test"
    splits = [split if in_parts else None]
    if own:  # which has parts only if the run says so; and need not have the one it has not seen
        splits = [split, known.get("split")] if known.get("split") else [None]
    dataset = _first_of(name, place, [{"size": size, "split": part, **options} for part in splits])
    before = known.get("fingerprint")
    if before and known.get("split") == getattr(dataset, "split", None) and before != dataset.fingerprint():
        print(f"note: {dataset.source} has changed since {run.folder} learned from it", file=sys.stderr)
    return dataset


def _first_of(name: str, place: Path | None, asked: Sequence[Mapping[str, Any]]) -> ImageDataset:
    """The dataset at its place, or by its name, with the first options that it takes.

    Raises:
        ValueError: why it cannot be loaded with the last of them.
    """
    for options in asked[:-1]:
        with suppress(ValueError):
            return _first_of(name, place, [options])
    if place is None:
        return load_recorded(name, asked[-1])
    with suppress(ValueError):
        found = load_recorded(str(place), asked[-1])
        if found.name == name:
            return found
    if name not in DATASETS or name == FOLDER_DATASET:  # shards in a folder would be taken for its pictures
        return load_recorded(str(place), asked[-1])
    return load_recorded(name, {**asked[-1], "path": place})  # a file under another name than the published one


class Sample(NamedTuple):
    """What static metrics see: codes and factors to fit on, and held out.

    Attributes:
        codes_NJ: codes to fit on.
        factors_NK: their factors.
        codes_test_NJ: held-out codes.
        factors_test_NK: their factors.
    """

    codes_NJ: Codes32
    factors_NK: IntArray
    codes_test_NJ: Codes32
    factors_test_NK: IntArray

    def of_factors(self, columns: Sequence[int]) -> Sample:
        """The same codes, with these factors only."""
        return self._replace(factors_NK=self.factors_NK[:, columns], factors_test_NK=self.factors_test_NK[:, columns])


def annotated_columns(run: FinishedRun, dataset: ImageDataset) -> list[int] | None:
    """Which factors a run with few labels was told of: what its codes are scored on; None for a run without labels."""
    names = run.annotated_factors
    if not names or not isinstance(dataset, AnnotatedDataset) or not set(names) <= set(dataset.factor_names):
        return None
    return [dataset.factor_names.index(name) for name in names]


def names_of_factors(dataset: ImageDataset) -> tuple[str, ...]:
    """What the columns of a dataset's factors are called, a class too."""
    return tuple(dataset.factor_names) if isinstance(dataset, AnnotatedDataset) else (CLASS,)


def draw_sample(encoder: Encoder, dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> Sample:
    """Codes and factors of a random sample and of a held-out one.

    Raises:
        ValueError: images of another shape than the encoder's, or nothing known of them.
    """
    train, test = sample_indices(dataset, num_train, num_test, seed)
    factors_NK, factors_test_NK = factors_of(dataset, train), factors_of(dataset, test)
    codes = encode(encoder, dataset, np.concatenate([train, test]))
    return Sample(codes[: len(train)], factors_NK, codes[len(train) :], factors_test_NK)


def draw_probe_sample(encoder: Encoder, dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> Sample:
    """As :func:`draw_sample`, but fitted on the published training part and held out from the test part, if there are.

    Raises:
        ValueError: images of another shape than the encoder's, or nothing known of them.
    """
    if (parts := dataset.parts()) is None:
        return draw_sample(encoder, dataset, num_train, num_test, seed)
    rng = np.random.default_rng(seed)
    counts = (check_count("num_train", num_train), check_count("num_test", num_test))
    train, test = (
        rng.choice(len(part), min(count, len(part)), replace=False).astype(np.int64)
        for part, count in zip(parts, counts, strict=True)
    )
    return Sample(
        encode(encoder, parts[0], train),
        factors_of(parts[0], train),
        encode(encoder, parts[1], test),
        factors_of(parts[1], test),
    )
