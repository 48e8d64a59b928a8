"""Perceptual path length: how much does the picture change in a short step from one latent towards another?

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019, Section 4.1
(along the whole path, in Z or W); "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, Section 3 (at
the path's end, in W: the default).

Shape suffixes: N paths, Z prior dimensions, L latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.core.metric import MetricInfo, MetricResult, measured
from contrafact.metrics.lpips import judge_of
from contrafact.nn.features import Extractor, extractor_name

INFO = MetricInfo(
    kind="generators",
    low=0.0,
    high=math.inf,
    higher_is_better=False,
    source="Karras et al. 2019, Section 4.1; Karras et al. 2020, Section 3",
)
LARGEST_SIDE = 256
TAILS = (1, 99)
"""Percentiles beyond which paths are left out."""


@dataclass(frozen=True, kw_only=True)
class PplResult(MetricResult):
    """A perceptual path length, the mean of the middle 98 % of paths.

    Attributes:
        untrimmed: mean of all paths.
        median: median of all paths.
    """

    untrimmed: float
    median: float

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "untrimmed": self.untrimmed, "median": self.median}


def spherical(first_NZ: Tensor, second_NZ: Tensor, place_N: Tensor) -> Tensor:
    """Points ``(N, Z)`` of length 1 on the great circle from one to the other.

    >>> ends = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    >>> [round(float(value), 3) for value in spherical(*ends, torch.tensor([0.5]))[0]]
    [0.707, 0.707]
    """
    first, second = (values / values.norm(dim=1, keepdim=True) for values in (first_NZ, second_NZ))
    cosine = (first * second).sum(dim=1, keepdim=True)
    across = second - cosine * first
    across = across / across.norm(dim=1, keepdim=True)
    angle = place_N[:, None] * torch.acos(cosine.clamp(-1.0, 1.0))
    point: Tensor = first * torch.cos(angle) + across * torch.sin(angle)
    return point


@torch.no_grad()
def _ends(
    generator: Generator, space: str, sampling: str, epsilon: float, n: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Latents ``(N, L)`` at both ends of a step."""
    first_NZ, second_NZ = generator.prior(n, rng), generator.prior(n, rng)
    drawn_N = torch.rand(n, generator=rng) * (1.0 if sampling == "full" else 0.0)
    place_N = drawn_N.to(first_NZ)
    if space == "w":
        first_NL, second_NL = generator.map(first_NZ), generator.map(second_NZ)
        span_NL = second_NL - first_NL
        return first_NL + place_N[:, None] * span_NL, first_NL + (place_N[:, None] + epsilon) * span_NL
    # Style-based mappings forget the noise's length; to others it should be that of a draw.
    radius = math.sqrt(generator.prior_dim)
    return (
        generator.map(radius * spherical(first_NZ, second_NZ, place_N)),
        generator.map(radius * spherical(first_NZ, second_NZ, place_N + epsilon)),
    )


def _shown(images: Tensor, crop: bool) -> Tensor:
    """Images as the distance sees them: cropped to the face, at most 256 pixels across, in three channels."""
    if crop:
        eighth = images.shape[2] // 8
        images = images[:, :, 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]
    if (factor := images.shape[2] // LARGEST_SIDE) > 1:
        images = avg_pool2d(images, factor)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


@measured
def ppl(
    generator: Generator,
    *,
    extractor: Extractor | str = "vgg",
    space: Literal["z", "w"] = "w",
    sampling: Literal["full", "end"] = "end",
    epsilon: float = 1e-4,
    crop: bool = False,
    num_latents: int = 50_000,
    batch_size: int = 16,
    seed: int = 0,
) -> PplResult:
    """Perceptual path length of a generator: mean of ``LPIPS(image, image one step on) / epsilon²``.

    Args:
        generator: a fixed class, where it has classes.
        extractor: ``"vgg"`` (LPIPS as the papers have it), ``"alex"``, or a function from images to feature maps.
        space: ``w`` walks straight in the edit space, ``z`` on the sphere of the prior noise. Where the two are one
            space they still differ: steps of a line and of an arc.
        sampling: ``full`` takes a step anywhere on the path between two draws, ``end`` at its beginning (2020).
        epsilon: the step, as a share of the path.
        crop: looks at the middle of the image only, as both papers do for faces.
        num_latents: paths.
        batch_size: paths per call of the generator.
        seed: of the draws.

    Returns:
        score in [0, ∞), lower is smoother: the mean of the paths between their 1st and 99th percentile.

    Raises:
        ValueError: an unknown space or sampling, a step that is not positive, the published network is not at hand, or
            distances that are not finite.

    >>> from contrafact.generators.analytic import Analytic
    >>> scenes = [Analytic("sprite", size=16, warp=warp) for warp in (False, True)]  # straight and bent latent spaces
    >>> settings = {"extractor": lambda images: [images], "epsilon": 0.01, "num_latents": 200, "batch_size": 200}
    >>> straight, bent = (ppl(scene, **settings).score for scene in scenes)
    >>> straight < bent
    True
    """
    if space not in ("z", "w"):
        raise ValueError(f"space must be 'z' or 'w', got {space!r}")
    if sampling not in ("full", "end"):
        raise ValueError(f"sampling must be 'full' or 'end', got {sampling!r}")
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon must be between 0 and 1, got {epsilon}")
    check_count("num_latents", num_latents)
    check_count("batch_size", batch_size)
    judge, rng = judge_of(extractor), torch.Generator().manual_seed(seed)
    generator, found = generator.eval(), []
    for start in range(0, num_latents, batch_size):
        ends = _ends(generator, space, sampling, epsilon, min(batch_size, num_latents - start), rng)
        with torch.no_grad():
            images = [_shown(image, crop) for image in generator(torch.cat(ends)).float().chunk(2)]
        found.append(judge(*images))
    lengths_N = np.concatenate(found) / epsilon**2
    if not np.isfinite(lengths_N).all():
        raise ValueError(f"the distance along path {int(np.argmin(np.isfinite(lengths_N)))} is not finite")
    low = np.percentile(lengths_N, TAILS[0], method="lower")
    high = np.percentile(lengths_N, TAILS[1], method="higher")
    name = extractor if isinstance(extractor, str) else extractor_name(extractor)
    return PplResult(
        score=float(lengths_N[(lengths_N >= low) & (lengths_N <= high)].mean()),
        protocol=f"ppl_{space}_{sampling}_eps{epsilon:g}{'_crop' if crop else ''}_{name}_n{num_latents}",
        num_train=num_latents,
        seed=seed,
        untrimmed=float(lengths_N.mean()),
        median=float(np.median(lengths_N)),
    )
