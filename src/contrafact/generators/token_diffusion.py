"""EncDiff's decoder: codes as tokens that a denoiser attends to, without chance.

Yang, Lan, Lu & Zheng, "Diffusion Model with Cross Attention as an Inductive Bias for Disentanglement", NeurIPS 2024,
https://arxiv.org/abs/2402.09712. Each code is made a token by a network of its own; a U-Net that removes noise attends
to the tokens at every level. The noise to begin with is one image, drawn once and kept with the weights, and the solver
draws none: the same codes always give the same image, and two codes differ in nothing else.

Codes have no prior. To draw some, each is drawn by itself from its own distribution over the training images.

Shape suffixes: N samples, L codes, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.nn.noise_schedule import Betas, NoiseSchedule, Prediction
from contrafact.nn.quantiles import at_quantiles, measured_quantiles, normal_quantiles
from contrafact.nn.token_unet import ConceptTokens, Conditioning, TokenUNet
from contrafact.nn.vector_quantised import VectorQuantised

ENTRY_DIM = 3
"""Dimensions of an entry of the codebook, as the paper's."""


class TokenDiffusion(Generator):
    """Images of codes, by a token for each code and a U-Net that removes noise.

    Args:
        latent_dim: L, codes and tokens.
        image_shape: ``(C, H, W)``.
        width: multiplies the U-Net's 64 channels.
        multipliers: channels of each level, in multiples of the first one's.
        blocks: of each level, on the way down and up.
        heads: of the attention, at most.
        token_dim: numbers in a token.
        conditioning: how tokens reach the features: ``attention``, or ``film`` (an ablation).
        transformer: blocks also attend to themselves and have two linear layers.
        patch: how many times smaller what is denoised is than the image: squares of so many pixels lie side by side in
            its channels, or, with a codebook, become one entry.
        codebook: entries of the codebook of a vector-quantised autoencoder that makes and decodes what is denoised; 0
            for none.
        prediction: what the U-Net says: ``image`` or ``epsilon``, the noise.
        times: T of the noise schedule.
        first_beta: its β at time 0.
        last_beta: its β at T − 1.
        betas: how β rises.
        steps: how often the U-Net is asked for an image.

    Raises:
        ValueError: a size that patches or levels do not divide.

    >>> generator = TokenDiffusion.tiny().freeze()
    >>> codes = generator.sample(2, seed=0)
    >>> torch.equal(generator(codes), generator(codes))  # the noise is always the same
    True
    """

    layer_names = ("tokens",)
    space = "codes"
    quantiles: Tensor
    noise: Tensor
    deviation: Tensor

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        heads: int = 8,
        token_dim: int = 16,
        conditioning: Conditioning = "attention",
        transformer: bool = False,
        patch: int = 1,
        codebook: int = 0,
        prediction: Prediction = "image",
        times: int = 1000,
        first_beta: float = 0.0015,
        last_beta: float = 0.0155,
        betas: Betas = "sqrt_linear",
        steps: int = 8,
    ) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        channels, height, image_width = image_shape
        if height % check_count("patch", patch) or image_width % patch:
            raise ValueError(f"squares of {patch} pixels do not divide {height}×{image_width}; choose another patch")
        if prediction not in ("image", "epsilon"):
            raise ValueError(unknown_name_message("prediction", prediction, ["epsilon", "image"]))
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        self.image_shape = (channels, height, image_width)
        self.first_stage = VectorQuantised(self.image_shape, codebook, shrink=patch) if codebook else None
        denoised = (ENTRY_DIM if codebook else channels * patch**2, height // patch, image_width // patch)
        hidden = max(8, 8 * round(8 * width))
        self.schedule = NoiseSchedule(times, first_beta, last_beta, betas)
        self.schedule.solver_times(steps)  # refuses more than there are
        self.tokens = ConceptTokens(latent_dim, token_dim)
        self.unet = TokenUNet(
            denoised, latent_dim, token_dim, hidden, multipliers, blocks, heads, conditioning, transformer
        )
        self.patch, self.prediction, self.steps = patch, prediction, steps
        self._arguments = {
            "latent_dim": latent_dim, "image_shape": list(self.image_shape), "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "heads": heads, "token_dim": token_dim,
            "conditioning": conditioning, "transformer": transformer, "patch": patch, "codebook": codebook,
            "prediction": prediction, "times": times, "first_beta": first_beta, "last_beta": last_beta,
            "betas": betas, "steps": steps,
        }  # fmt: skip
        self.register_buffer("noise", torch.randn(1, *denoised))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("quantiles", normal_quantiles(latent_dim))

    @classmethod
    def tiny(cls) -> TokenDiffusion:
        """A small instance for examples and contract tests, whose last layer is not 0 as in a fresh one."""
        generator = cls(3, (3, 16, 16), width=0.125, token_dim=4, patch=2, steps=2)
        with torch.no_grad():
            generator.unet.end.weight.normal_(std=0.3)
        return generator

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

    def to_images(self, denoised: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` of what :meth:`to_denoised` makes of them."""
        if self.first_stage is None:
            return (F.pixel_shuffle(denoised, self.patch) + 1) / 2
        return (self.first_stage.decode(self.first_stage.quantise(denoised * self.deviation).map) + 1) / 2

    def predict(self, noised: Tensor, times_N: Tensor, tokens: Tensor) -> Tensor:
        """What the U-Net says of ``noised`` at times, in float32, as the solver needs it."""
        return self.unet(noised, times_N, tokens).float()  # type: ignore[no-any-return]

    def forward(self, latent: Tensor) -> Tensor:
        return self.from_tokens(self.tokens(self.check_latent(latent)))

    def from_tokens(self, tokens: Tensor, steps: int | None = None) -> Tensor:
        """Images ``(N, C, H, W)`` of tokens ``(N, L, D)``, in another number of steps if one is given."""
        noise = self.noise.expand(len(tokens), -1, -1, -1)
        made = self.schedule.solve(lambda x, t: self.predict(x, t, tokens), noise, steps or self.steps, self.prediction)
        return self.to_images(made)

    def split(self, latent: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The noise that images of codes ``(N, L)`` begin with, and the codes of every step."""
        latent = self.check_latent(latent)
        return self.noise.expand(len(latent), -1, -1, -1), [latent] * self.steps

    def walk(self, x: Tensor, edits: Sequence[Tensor]) -> Tensor:
        """Go on from ``x``, the noise, for as many steps as there are codes ``(N, L)``."""
        for place, codes in enumerate(edits):
            said = self.predict(x, self.schedule.time(place, self.steps, x), self.tokens(codes))
            x = self.schedule.go(said, x, place, self.steps, self.prediction)
        return x

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        """What codes of ``edit`` ``(N, L)`` change in the noise that the U-Net sees in ``x``, against codes of 0.

        Codes of 0 are those of the mean image, which here is what a prompt of no words is to a model of texts.
        """
        at = self.schedule.time(step, self.steps, x)
        tokens = self.tokens(torch.cat([self.check_latent(edit), torch.zeros_like(edit)]))
        said = self.predict(torch.cat([x, x]), torch.cat([at, at]), tokens)
        edited, empty = (self.schedule.both(part, x, at, self.prediction)[1] for part in said.chunk(2))
        return edited - empty

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """The tokens of codes ``(N, L·D)``."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        tokens: Tensor = self.tokens(self.check_latent(latent))
        return tokens.flatten(1)

    def arguments(self) -> dict[str, Any]:
        return dict(self._arguments)
