"""What the methods of latent optimisation share: settings of the codes, the generator and their training.

The defaults are those of ZeroDIM (Gabbay, Cohen & Hoshen 2021, https://arxiv.org/abs/2106.15610) on factor benchmarks;
each method writes its own where its paper has others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Method
from contrafact.core.ranges import Count, Rate, Share, Size, SizeOrZero, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.reconstruction import Reconstruction, image_distance, perceptual_distance
from contrafact.nn.factor_codes import LateKernel
from contrafact.nn.vgg import LEAST_SIDE, VGG16, vgg16
from contrafact.training.latent_training import ValueCodes


@dataclass(frozen=True)
class LatentOptimisation(Method):
    """Settings of every method that optimises codes with a generator, then teaches an encoder."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several", "missing", "continuous")
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")
    older: ClassVar[Mapping[str, Any]] = {"vgg_weights": None}

    num_images: Count = 20_000
    """Training images, drawn from the dataset; the annotated ones are among them."""
    factor_dim: Size = 1
    """Dimensions E of each factor's code."""
    residual_dim: SizeOrZero = 7
    """Dimensions R of the residual."""
    sigma: Weight = 1.0
    """Standard deviation of the noise on the residual."""
    reconstruction: Reconstruction = "squared"
    """squared (colour), bernoulli (black and white), multiscale (photographs without a perceptual network), or vgg
    (photographs, with vgg_weights)."""
    vgg_weights: str | None = None
    """VGG-16's weights for reconstruction vgg: torchvision's vgg16-397923af.pth, which is yours to fetch."""
    decoder: Literal["conv", "style"] = "conv"
    """The factor benchmarks' decoder, or a StyleGAN2 synthesis network for photographs."""
    width: Width = 1.0
    """Multiplies every channel count."""
    batch_size: Size = 128
    """Images per step."""
    steps: Steps = 31_400
    """Steps of stage 1 (200 epochs of 20,000 images)."""
    latent_rate: Rate = 1e-2
    """Learning rate of latents and value embeddings."""
    generator_rate: Rate = 1e-3
    """Learning rate of the generator in stage 1."""

    def check_options(self) -> None:
        """Refuse a perceptual loss without its weights, and weights that nothing reads."""
        if self.reconstruction == "vgg" and self.vgg_weights is None:
            raise ValueError(
                "reconstruction 'vgg' compares features of VGG-16; say where its weights lie (--vgg-weights "
                "vgg16-397923af.pth), or take 'multiscale', which needs none"
            )
        if self.reconstruction != "vgg" and self.vgg_weights is not None:
            raise ValueError(
                f"vgg_weights are those of reconstruction 'vgg', but it is {self.reconstruction!r}; leave them out, or "
                "set it to 'vgg'"
            )

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images that are too small for VGG, and a file that does not hold it."""
        height, width = source.image_shape[1:]
        if self.reconstruction == "vgg":
            if min(height, width) < LEAST_SIDE:
                raise ValueError(
                    f"VGG-16 halves images five times: they need {LEAST_SIDE} pixels a side, got {height} x {width}; "
                    "take another reconstruction, or larger images"
                )
            _network(str(self.vgg_weights), run.device)

    def distance(self, made: Tensor, images: Tensor) -> Tensor:
        """How far images ``(N, C, H, W)`` are from their targets, by ``reconstruction``: a scalar."""
        if self.reconstruction != "vgg":
            return image_distance(made, images, self.reconstruction)
        return perceptual_distance(made, images, _network(str(self.vgg_weights), made.device))


@functools.cache  # 59 MB that every step reads, and no part of what a checkpoint holds
def _network(path: str, device: torch.device) -> VGG16:
    return vgg16(path).to(device)


@dataclass(frozen=True)
class FewLabelTerm:
    """Settings of ZeroDIM's way with annotated factors: a table of value embeddings and a classifier for each."""

    value_codes: ValueCodes = "learned"
    """Value embeddings: learned from near zero, or spaced evenly in their order and learned a hundred times slower."""
    classifier_rate: Rate = 1e-4
    """Learning rate of the classifiers."""
    entropy_after: Share = 0.1
    """Share of stage 1 after which the entropy of the classifiers' assignments counts (20 of 200 epochs)."""
    classification_weight: Weight = 1e-3
    """Weight of the cross-entropy of annotated images, inside the supervised term."""
    supervised_weight: Weight = 10.0
    """Weight of the annotated batch against the other."""
    late_kernel: LateKernel = 2
    """Side of the kernels in the second half of the classifiers' convolutions: 2 as Locatello et al. and ZeroDIM's
    program have it, or 4."""
