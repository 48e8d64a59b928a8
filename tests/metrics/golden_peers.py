"""Values of metrics that other papers' programs gave for the recorded codes and factors, and ours beside them.

Their programs are named in ``golden/README.md``; each entry of ``OURS`` says what of ours is one of them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.metrics import dcimig, infomec, jemmig, mcc, med, precision_recall, r2, snc_nk, svcca

FILE = Path(__file__).parent / "golden" / "peers.json"
Arrays = dict[str, np.ndarray]


@functools.cache
def peers() -> dict[str, dict[str, float]]:
    """The programs' values by case."""
    return json.loads(FILE.read_text())


def _of_training(metric: Callable[..., Any], **settings: Any) -> Callable[[Arrays], float]:
    return lambda data: metric(data["codes_train"], data["factors_train"], **settings).score


def _mcc(data: Arrays, held_out: bool = False, **settings: Any) -> float:
    """Theirs takes as many codes as factors."""
    num_factors = data["factors_train"].shape[1]
    given = [data["codes_train"][:, :num_factors], data["factors_train"]]
    if held_out:
        given += [data["codes_test"][:, :num_factors], data["factors_test"]]
    return mcc(*given, **settings).score


def _r2(data: Arrays, num_train: int | None = None, **settings: Any) -> float:
    train = (data["codes_train"][:num_train], data["factors_train"][:num_train])
    return r2(*train, data["codes_test"], data["factors_test"], **settings).score


def _snc(data: Arrays) -> float:
    train = (data["codes_train"], data["factors_train"])
    return snc_nk(*train, *train, epochs=1).score


def _med(score: str, top_k: int = 1) -> Callable[[Arrays], float]:
    return lambda data: med(data["codes_train"], data["factors_train"], top_k=top_k).scores()[score]


def _infomec(score: str) -> Callable[[Arrays], float]:
    return lambda data: infomec(data["codes_train"], data["factors_train"]).scores()[score]


def _of_sets(score: str) -> Callable[[Arrays], float]:
    return lambda data: precision_recall(data["codes_train"], 1.1 * data["codes_test"]).scores()[score]


def _svcca(data: Arrays) -> float:
    factors = data["factors_train"]
    mixed = factors @ np.random.default_rng(0).normal(size=(factors.shape[1], factors.shape[1]))
    return svcca([data["codes_train"], mixed], variance=1.0).score


OURS: dict[str, tuple[Callable[[Arrays], float], float]] = {
    "mcc_pearson": (_mcc, 1e-9),
    "mcc_pearson_out": (lambda data: _mcc(data, held_out=True), 1e-9),
    "mcc_spearman": (lambda data: _mcc(data, correlation="spearman"), 1e-9),
    "mcc_spearman_out": (lambda data: _mcc(data, held_out=True, correlation="spearman"), 1e-9),
    # Canonical correlations by iteration there.
    "mcc_weak_out": (lambda data: _mcc(data, held_out=True, alignment="weak"), 1e-4),
    "dcimig_10": (_of_training(dcimig, num_bins=10), 1e-9),
    "dcimig_20": (_of_training(dcimig), 1e-9),
    "jemmig_10": (_of_training(jemmig, num_bins=10), 1e-9),
    "jemmig_20": (_of_training(jemmig, num_bins=20), 1e-9),
    "r2_linear": (_r2, 1e-9),
    "r2_kernel_500": (lambda data: _r2(data, num_train=500, probe="kernel"), 1e-9),
    # On the training points, where equally good matchings of bins and values score the same.
    "snc_train": (_snc, 1e-9),
    "med_disentanglement": (_med("disentanglement"), 1e-9),
    "med_completeness": (_med("completeness"), 1e-9),
    **{f"med_top{k}": (_med("top_k", k), 1e-9) for k in (1, 2)},
    **{f"med_top{k}_completeness": (_med("top_k_completeness", k), 1e-9) for k in (1, 2)},
    "infomec_modularity": (_infomec("modularity"), 1e-9),
    "infomec_compactness": (_infomec("compactness"), 1e-9),
    # Ended after 100 steps there, at the optimum here.
    "infomec_explicitness": (_infomec("explicitness"), 1e-3),
    "svcca_whole": (_svcca, 1e-9),
    **{score: (_of_sets(score), 1e-9) for score in ("precision", "recall", "density", "coverage")},
}


def rows(case: str, data: Arrays) -> Iterator[tuple[str, float, float, float]]:
    """Name, their value, ours, and how far apart they may be."""
    for name, theirs in peers().get(case, {}).items():
        ours, tolerance = OURS[name]
        yield name.replace("_", " "), theirs, ours(data), tolerance
