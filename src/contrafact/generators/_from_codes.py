"""What decoders share that remove noise under codes, without chance: one noise image, a solver, codes by quantiles.

The noise to begin with is one image, drawn once and kept with the weights, and the solver draws none: the same codes
always give the same image, and two codes differ in nothing else. Codes have no prior; to draw some, each is drawn by
itself from its own distribution over the training images.

Shape suffixes: N samples, L codes, C channels, H height, W width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.nn.noise_schedule import Betas, NoiseSchedule, Prediction
from contrafact.nn.quantiles import at_quantiles, measured_quantiles, normal_quantiles
from contrafact.nn.vector_quantised import VectorQuantised

ENTRY_DIM = 3
"""Dimensions of an entry of the codebook, as the papers'."""


class FromCodes(Generator):
    """Images of codes by removing noise.

    Attributes:
        first_stage: the autoencoder whose maps are denoised, None where pixels are.
        schedule: of the noise.
        prediction: what the network says.
        steps: how often it is asked for an image.
        patch: how many times smaller than the image is what is denoised.
    """

    space = "codes"
    first_stage: VectorQuantised | None
    schedule: NoiseSchedule
    prediction: Prediction
    steps: int
    patch: int
    quantiles: Tensor
    noise: Tensor
    deviation: Tensor

    def begin(
        self,
        image_shape: tuple[int, int, int],
        patch: int,
        codebook: int,
        prediction: Prediction,
        schedule: tuple[int, float, float, Betas],
        steps: int,
    ) -> tuple[int, int, int]:
        """Make the autoencoder and the schedule; the shape ``(C, H, W)`` of what is denoised.

        Raises:
            ValueError: a side that patches do not divide, an unknown prediction, or more steps than times.
        """
        channels, height, width = image_shape
        if height % check_count("patch", patch) or width % patch:
            raise ValueError(f"squares of {patch} pixels do not divide {height}×{width}; choose another patch")
        if prediction not in ("image", "epsilon"):
            raise ValueError(unknown_name_message("prediction", prediction, ["epsilon", "image"]))
        self.image_shape = (channels, height, width)
        self.first_stage = VectorQuantised(self.image_shape, codebook, shrink=patch) if codebook else None
        self.schedule = NoiseSchedule(*schedule)
        self.schedule.solver_times(steps)  # refuses more than there are
        self.patch, self.prediction, self.steps = patch, prediction, steps
        return (ENTRY_DIM if codebook else channels * patch**2, height // patch, width // patch)

    @staticmethod
    def first_channels(width: float) -> int:
        """Channels of the U-Net's first level: 64 times the width, a multiple of 8.

        Raises:
            ValueError: a width that is not positive.
        """
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        return max(8, 8 * round(8 * width))

    def end(self, denoised: tuple[int, int, int], latent_dim: int) -> None:
        """Draw the noise, and let codes be normal until they are measured."""
        self.latent_dim = self.prior_dim = latent_dim
        self.register_buffer("noise", torch.randn(1, *denoised))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("quantiles", normal_quantiles(latent_dim))

    @abstractmethod
    def say(self, noised: Tensor, times_N: Tensor, codes: Tensor) -> Tensor:
        """What the network says of ``noised`` at times, under codes ``(N, L)``, in float32, as the solver needs it."""

    @torch.no_grad()
    def fit_prior(self, latents: Tensor) -> None:
        """Draw from now on each code as it is distributed in ``latents (N, L)``."""
        self.quantiles.copy_(measured_quantiles(latents))

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        """Prior noise ``(N, L)`` to codes: the quantile of each at Φ(z)."""
        return at_quantiles(self.quantiles, z * self.check_condition(label, truncation))

    @torch.no_grad()
    def fit_deviation(self, images: Tensor) -> None:
        """Denoise from now on maps of deviation 1, as those of ``images`` are then."""
        self.deviation.copy_(self.deviation * self.to_denoised(images).float().std())

    def to_denoised(self, images: Tensor) -> Tensor:
        """What is denoised of images: −1 to 1 with squares of pixels in the channels, or the autoencoder's map."""
        pictures = 2 * images - 1
        if self.first_stage is None:
            return F.pixel_unshuffle(pictures, self.patch)
        return self.first_stage.encode(pictures) / self.deviation

    def to_images(self, denoised: Tensor, nearest: bool = True) -> Tensor:
        """Images ``(N, C, H, W)`` of what :meth:`to_denoised` makes of them.

        Args:
            denoised: of the shape of the noise.
            nearest: put the nearest entries of the codebook in its place, if there is one.
        """
        if self.first_stage is None:
            return (F.pixel_shuffle(denoised, self.patch) + 1) / 2
        maps = denoised * self.deviation
        return (self.first_stage.decode(self.first_stage.quantise(maps).map if nearest else maps) + 1) / 2

    def split(self, latent: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The noise that images of codes ``(N, L)`` begin with, and the codes of every step."""
        latent = self.check_latent(latent)
        return self.noise.expand(len(latent), -1, -1, -1), [latent] * self.steps

    def walk(self, x: Tensor, edits: Sequence[Tensor]) -> Tensor:
        """Go on from ``x``, the noise, for as many steps as there are codes ``(N, L)``."""
        for place, codes in enumerate(edits):
            said = self.say(x, self.schedule.time(place, self.steps, x), codes)
            x = self.schedule.go(said, x, place, self.steps, self.prediction)
        return x

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        """What codes of ``edit`` ``(N, L)`` change in the noise that the network sees in ``x``, against codes of 0.

        Codes of 0 are those of the mean image, which here is what a prompt of no words is to a model of texts.
        """
        at = self.schedule.time(step, self.steps, x)
        codes = torch.cat([self.check_latent(edit), torch.zeros_like(edit)])
        said = self.say(torch.cat([x, x]), torch.cat([at, at]), codes)
        edited, empty = (self.schedule.both(part, x, at, self.prediction)[1] for part in said.chunk(2))
        return edited - empty
