"""What the methods of latent optimisation share: settings of the codes, the generator and their training.

The defaults are those of ZeroDIM (Gabbay, Cohen & Hoshen 2021, https://arxiv.org/abs/2106.15610) on factor benchmarks;
each method writes its own where its paper has others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Method
from contrafact.core.ranges import Count, Rate, Share, Size, SizeOrZero, Steps, Weight, Width
from contrafact.losses.reconstruction import Reconstruction
from contrafact.nn.factor_codes import LateKernel
from contrafact.training.latent_training import ValueCodes


@dataclass(frozen=True)
class LatentOptimisation(Method):
    """Settings of every method that optimises codes with a generator, then teaches an encoder."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several", "missing", "continuous")
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")

    num_images: Count = 20_000
    """Training images, drawn from the dataset; the annotated ones are among them."""
    factor_dim: Size = 1
    """Dimensions E of each factor's code."""
    residual_dim: SizeOrZero = 7
    """Dimensions R of the residual."""
    sigma: Weight = 1.0
    """Standard deviation of the noise on the residual."""
    reconstruction: Reconstruction = "squared"
    """squared (colour), bernoulli (black and white), or multiscale (photographs without a perceptual network)."""
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
