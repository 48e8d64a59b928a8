"""EncDiff's decoder: codes as tokens that a denoiser attends to, without chance.

Yang, Lan, Lu & Zheng, "Diffusion Model with Cross Attention as an Inductive Bias for Disentanglement", NeurIPS 2024,
https://arxiv.org/abs/2402.09712. Each code is made a token by a network of its own; a U-Net that removes noise attends
to the tokens at every level. The same codes always give the same image (:mod:`contrafact.generators._from_codes`).

Shape suffixes: N samples, L codes, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.generators._from_codes import FromCodes
from contrafact.nn.noise_schedule import Betas, Prediction
from contrafact.nn.token_unet import ConceptTokens, Conditioning, TokenUNet


class TokenDiffusion(FromCodes):
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
        denoised = self.begin(image_shape, patch, codebook, prediction, (times, first_beta, last_beta, betas), steps)
        hidden = self.first_channels(width)
        self.tokens = ConceptTokens(check_count("latent_dim", latent_dim), token_dim)
        self.unet = TokenUNet(
            denoised, latent_dim, token_dim, hidden, multipliers, blocks, heads, conditioning, transformer
        )
        self._arguments = {
            "latent_dim": latent_dim, "image_shape": list(self.image_shape), "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "heads": heads, "token_dim": token_dim,
            "conditioning": conditioning, "transformer": transformer, "patch": patch, "codebook": codebook,
            "prediction": prediction, "times": times, "first_beta": first_beta, "last_beta": last_beta,
            "betas": betas, "steps": steps,
        }  # fmt: skip
        self.end(denoised, latent_dim)

    @classmethod
    def tiny(cls) -> TokenDiffusion:
        """A small instance for examples and contract tests, whose last layer is not 0 as in a fresh one."""
        generator = cls(3, (3, 16, 16), width=0.125, token_dim=4, patch=2, steps=2)
        with torch.no_grad():
            generator.unet.end.weight.normal_(std=0.3)
        return generator

    def predict(self, noised: Tensor, times_N: Tensor, tokens: Tensor) -> Tensor:
        """What the U-Net says of ``noised`` at times, in float32, as the solver needs it."""
        return self.unet(noised, times_N, tokens).float()  # type: ignore[no-any-return]

    def say(self, noised: Tensor, times_N: Tensor, codes: Tensor) -> Tensor:
        return self.predict(noised, times_N, self.tokens(codes))

    def forward(self, latent: Tensor) -> Tensor:
        return self.from_tokens(self.tokens(self.check_latent(latent)))

    def from_tokens(self, tokens: Tensor, steps: int | None = None) -> Tensor:
        """Images ``(N, C, H, W)`` of tokens ``(N, L, D)``, in another number of steps if one is given."""
        noise = self.noise.expand(len(tokens), -1, -1, -1)
        made = self.schedule.solve(lambda x, t: self.predict(x, t, tokens), noise, steps or self.steps, self.prediction)
        return self.to_images(made)

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """The tokens of codes ``(N, L·D)``."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        tokens: Tensor = self.tokens(self.check_latent(latent))
        return tokens.flatten(1)

    def arguments(self) -> dict[str, Any]:
        return dict(self._arguments)
