"""Scoring what else an encoder makes of its codes: projections, and the parts (sub-embeddings) of both.

``metric:name`` asks for a static metric on the representation ``name`` instead of the codes: ``linear_probe:z``.

Shape suffixes: N images, J code dimensions, Z dimensions of a representation, K factors.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, PairDataset
from contrafact.core.encoder import Encoder
from contrafact.core.few_labels import CLASS
from contrafact.core.metric import MetricResult
from contrafact.evaluation.codes import evaluate
from contrafact.evaluation.sampling import names_of_factors
from contrafact.metrics import CATALOG
from contrafact.metrics.sub_embedding_gaps import GapResult

GAPS = "sub_embedding_gaps"
CONTRASTIVE_METRICS = ("linear_probe", "knn_probe", "smoothness")
_BATCH = 4096


class Target(NamedTuple):
    """A metric, and the representation it is asked of; None for the codes."""

    metric: str
    representation: str | None

    def __str__(self) -> str:
        return self.metric if self.representation is None else f"{self.metric}:{self.representation}"


def parse_target(text: str) -> Target:
    """``linear_probe:z`` as a metric's catalogue name and a representation; ``all`` stays as it is.

    ``FILE.py:METRIC`` and ``FILE.py:METRIC:z`` name one of somebody's own, whose file is run.

    Raises:
        ValueError: an unknown metric.
    """
    own = re.fullmatch(r"(.*\.py:[^:]*)(?::(.*))?", text)
    metric, representation = own.groups() if own else text.partition(":")[::2]
    return Target(metric if metric == "all" else CATALOG.admit(metric), representation or None)


def is_probe(target: Target) -> bool:
    """Whether a target is scored by :func:`score_targets`: a classifier on codes, or anything of a representation."""
    return target.representation is not None or target.metric in (GAPS, "linear_probe", "knn_probe")


def usual_metrics(encoder: Encoder) -> tuple[str, ...]:
    """Probes and smoothness for an encoder with a projection, the sub-embedding table for one with parts; else none."""
    if not encoder.representations and encoder.num_parts == 1:
        return ()
    gaps = (GAPS, *(f"{GAPS}:{name}" for name in encoder.representations)) if encoder.num_parts > 1 else ()
    return (*CONTRASTIVE_METRICS, *gaps)


def score_targets(
    encoder: Encoder,
    dataset: ImageDataset,
    sample: Sequence[npt.NDArray[np.generic]],
    targets: Sequence[Target],
    seed: int,
) -> dict[str, MetricResult]:
    """Probes of the codes, and any static metrics of representations.

    The table's tasks are the factors that pairs share, else the dataset's factors of interest; its parts the encoder's.

    Args:
        encoder: made the codes.
        dataset: whose factors they are.
        sample: codes and factors to fit on, then held-out ones.
        targets: what to score.
        seed: of metrics that have one.

    Raises:
        ValueError: a representation the encoder does not have, or what a metric refuses.
    """
    codes, factors, codes_test, factors_test = sample
    names, columns = _tasks(dataset)
    results: dict[str, MetricResult] = {}
    for target in targets:
        seen, seen_test = codes, codes_test
        if target.representation is not None:
            seen, seen_test = (_represent(encoder, values, target.representation) for values in (codes, codes_test))
        known, known_test, settings, called = factors, factors_test, {}, names_of_factors(dataset)
        if target.metric == GAPS:
            known, known_test = factors[:, columns], factors_test[:, columns]
            settings, called = {GAPS: {"parts": max(2, encoder.num_parts)}}, names
        scored = evaluate(
            *(seen, known, seen_test, known_test),
            metrics=[target.metric],
            settings=settings,
            factor_names=called,
            seed=seed,
        ).results[target.metric]
        if isinstance(scored, GapResult):
            scored = dataclasses.replace(scored, tasks=names)
        results[str(target)] = scored
    return results


def _tasks(dataset: ImageDataset) -> tuple[tuple[str, ...], list[int]]:
    if not isinstance(dataset, AnnotatedDataset):
        return (CLASS,), [0]
    held = dataset.held if isinstance(dataset, PairDataset) else ()
    names = held or dataset.factors_of_interest or dataset.factor_names
    return names, [dataset.factor_names.index(name) for name in names]


@torch.no_grad()
def _represent(encoder: Encoder, codes: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.generic]:
    device = next(encoder.parameters()).device
    parts = [
        encoder.represent(torch.from_numpy(codes[first : first + _BATCH]).to(device), name).float().cpu().numpy()
        for first in range(0, len(codes), _BATCH)
    ]
    return np.concatenate(parts)
