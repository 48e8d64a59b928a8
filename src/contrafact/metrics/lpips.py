"""LPIPS: perceptual distance between pairs of images, in the features of a network.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, Eq. 1. With another
network than the published ones, or without their learnt weights, the protocol carries its name.

Shape suffixes: N pairs, C channels, H height, W width.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, as_array, measured
from contrafact.nn.features import (
    Extractor,
    Images,
    batches_of,
    checkpoint_folder,
    extractor_name,
    import_installed,
    run,
)

INFO = MetricInfo(kind="images", low=0.0, high=math.inf, higher_is_better=False, source="Zhang et al. 2018, Eq. 1")
BACKBONES = {"alex": "alexnet-owt-*.pth", "vgg": "vgg16-*.pth"}


def feature_distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """Sum over layers of the mean over places of ``‖a/‖a‖ - b/‖b‖‖²``, ``(N,)``."""
    total = torch.zeros(len(first[0]), dtype=torch.float64)
    for a_NCHW, b_NCHW in zip(first, second, strict=True):
        a, b = (v.double() / v.double().norm(dim=1, keepdim=True).clamp(min=1e-10) for v in (a_NCHW, b_NCHW))
        total += ((a - b) ** 2).sum(dim=1).mean(dim=(1, 2)).cpu()
    return total


def published(net: str) -> Any:
    """The published network ``alex`` or ``vgg``, which takes two batches of images in −1..1.

    Raises:
        ValueError: the package or the weights are not at hand.
    """
    missing = []
    if importlib.util.find_spec("lpips") is None:
        missing.append("the package lpips (pip install lpips)")
    if not any(checkpoint_folder().glob(BACKBONES[net])):
        missing.append(f"its backbone's weights at {checkpoint_folder() / BACKBONES[net]}")
    if missing:
        raise ValueError(
            f"LPIPS with {net!r} needs {' and '.join(missing)}; or pass extractor=, a function from images "
            "(n, C, H, W) in [0, 1] to a list of feature maps: scores then carry its name"
        )
    return import_installed("lpips").LPIPS(net=net, verbose=False).eval()


def judge_of(extractor: Extractor | str) -> Callable[[Tensor, Tensor], FloatArray]:
    """What gives the distances ``(n,)`` of two batches of images in [0, 1].

    Raises:
        ValueError: an unknown name, or the published network is not at hand; of the judge, features that do not fit.
    """
    if isinstance(extractor, str) and extractor not in BACKBONES:
        raise ValueError(f"extractor must be one of {', '.join(BACKBONES)} or a function of images, got {extractor!r}")
    network = published(extractor) if isinstance(extractor, str) else None

    def judge(first: Tensor, second: Tensor) -> FloatArray:
        if network is not None:
            with torch.no_grad():
                distance = network(first * 2 - 1, second * 2 - 1).flatten()
        else:
            maps = [list(run(extractor, side)) for side in (first, second)]  # type: ignore[arg-type]
            if not maps[0] or any(m.ndim != 4 or len(m) != len(first) for m in maps[0]):
                raise ValueError("the extractor must return a list of feature maps (n, C, H, W), one row per image")
            distance = feature_distance(*maps)
        return as_array(distance).astype(np.float64)

    return judge


@measured
def lpips(first: Images, second: Images, *, extractor: Extractor | str = "alex", batch_size: int = 64) -> MetricResult:
    """Mean perceptual distance between the n-th images of two sets.

    Args:
        first: images ``(N, C, H, W)`` in [0, 1], or an iterable of such batches.
        second: as many, in the same order and batches.
        extractor: ``"alex"`` or ``"vgg"`` (the published networks), or a function from images to a list of feature
            maps ``(n, C, H, W)``, whose layers and channels then weigh alike.
        batch_size: images per call.

    Returns:
        score in [0, ∞), lower is closer.

    Raises:
        ValueError: the published network is not at hand, shapes do not fit, or the extractor misbehaves.

    >>> images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> lpips(images, images, extractor=lambda x: [x]).score
    0.0
    """
    judge = judge_of(extractor)
    values = []
    sides = (batches_of(first, "first", batch_size), batches_of(second, "second", batch_size))
    for a, b in zip_longest(*sides):
        if a is None or b is None or a.shape != b.shape:
            shapes = " and ".join("none" if side is None else str(tuple(side.shape)) for side in (a, b))
            raise ValueError(f"images are compared in pairs, but first and second came in batches of {shapes}")
        values.append(judge(a, b))
    if not values:
        raise ValueError("first holds no images")
    distances_N = np.concatenate(values)
    if not np.isfinite(distances_N).all():
        raise ValueError(f"the features of pair {int(np.argmin(np.isfinite(distances_N)))} are not finite")
    name = extractor if isinstance(extractor, str) else extractor_name(extractor)
    return MetricResult(
        score=float(distances_N.mean()), protocol=f"lpips_{name}_n{len(distances_N)}", num_train=len(distances_N)
    )
