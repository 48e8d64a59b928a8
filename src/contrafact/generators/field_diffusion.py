"""DisDiff's decoder: a denoiser without codes, and a field for each factor added to it.

Yang, Wang, Lu & Zheng, "DisDiff: Unsupervised Disentanglement of Diffusion Probabilistic Models", NeurIPS 2023,
https://arxiv.org/abs/2301.13721. A U-Net removes noise; beside it a second way up makes of each factor's vector a
gradient field, and the sum of all fields corrects what the U-Net says. The same codes always give the same image
(:mod:`contrafact.generators._from_codes`).

Shape suffixes: N samples, K factors, D numbers of a factor's vector, L = K · D codes, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.generators._from_codes import FromCodes
from contrafact.nn.gradient_fields import GradientFields
from contrafact.nn.noise_schedule import Betas, Prediction
from contrafact.nn.token_unet import TokenUNet


class FieldDiffusion(FromCodes):
    """Images of a vector for each factor, by a U-Net that removes noise and a field for each factor.

    Args:
        num_factors: K.
        factor_dim: D; the codes are the factors' vectors side by side.
        image_shape: ``(C, H, W)``.
        width: multiplies the U-Net's 64 channels.
        multipliers: channels of each level, in multiples of the first one's.
        blocks: of each level, on the way down and up.
        heads: of the attention, at most.
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
        steps: how often the U-Net and the fields are asked for an image.

    Raises:
        ValueError: a size that patches or levels do not divide, or more factors than fields can be told apart.

    >>> generator = FieldDiffusion.tiny().freeze()
    >>> codes = generator.sample(2, seed=0)
    >>> codes.shape, generator(codes).shape
    (torch.Size([2, 6]), torch.Size([2, 3, 16, 16]))
    >>> said, fields = generator.asked_apart(generator.noise.repeat(2, 1, 1, 1), torch.tensor([9, 9]), codes)
    >>> fields.shape  # one for each factor
    torch.Size([2, 3, 12, 8, 8])
    """

    layer_names = ("told",)

    def __init__(
        self,
        num_factors: int,
        factor_dim: int,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        heads: int = 8,
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
        self.unet = TokenUNet(denoised, 0, 0, hidden, multipliers, blocks, heads, "film", transformer)
        self.fields = GradientFields(denoised, num_factors, factor_dim, hidden, multipliers, blocks, heads, transformer)
        self._arguments = {
            "num_factors": num_factors, "factor_dim": factor_dim, "image_shape": list(self.image_shape), "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "heads": heads, "transformer": transformer,
            "patch": patch, "codebook": codebook, "prediction": prediction, "times": times, "first_beta": first_beta,
            "last_beta": last_beta, "betas": betas, "steps": steps,
        }  # fmt: skip
        self.end(denoised, num_factors * factor_dim)
        self.parts = {f"factor {k}": (k * factor_dim, (k + 1) * factor_dim) for k in range(num_factors)}

    @classmethod
    def tiny(cls) -> FieldDiffusion:
        """A small instance for examples and contract tests, with no layer of 0, as many of a fresh one are."""
        generator = cls(3, 2, (3, 16, 16), width=0.125, patch=2, steps=2)
        with torch.no_grad():
            for weight in generator.parameters():
                if not weight.any():
                    weight.normal_(std=0.1)
        return generator

    def alone(self, noised: Tensor, times_N: Tensor) -> Tensor:
        """What the U-Net says by itself of ``noised`` at times ``(N,)``, in float32."""
        told_NE = F.silu(self.unet.at_time(times_N))
        return self.unet.ascend(self.unet.descend(noised, told_NE), told_NE).float()

    def asked_apart(self, noised: Tensor, times_N: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """What the U-Net says by itself ``(N, C, H, W)``, and what each factor adds ``(N, K, C, H, W)``, in float32.

        Of the noise a factor takes √(1 − ᾱ_t) times its field away; to the image it adds the field.
        """
        at_NE = self.unet.at_time(times_N)
        told_NE = F.silu(at_NE)
        skips = self.unet.descend(noised, told_NE)
        said = self.unet.ascend(skips, told_NE).float()
        vectors_NKD = codes.unflatten(1, (self.fields.num_factors, -1))
        fields = self.fields(skips, at_NE, vectors_NKD).float()
        if self.prediction == "epsilon":
            fields = -(1 - self.schedule.alpha_bar[times_N]).sqrt()[:, None, None, None, None] * fields
        return said, fields

    def say(self, noised: Tensor, times_N: Tensor, codes: Tensor) -> Tensor:
        said, added = self.asked_apart(noised, times_N, codes)
        return said + added.sum(dim=1)

    def forward(self, latent: Tensor) -> Tensor:
        return self.to_images(self.walk(*self.split(latent)))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """What blocks are told of each factor's vector, beside its number and the time: ``(N, K·E)``."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        vectors_NKD = self.check_latent(latent).unflatten(1, (self.fields.num_factors, -1))
        told: Tensor = self.fields.told(vectors_NKD)
        return told.flatten(1)

    def arguments(self) -> dict[str, Any]:
        return dict(self._arguments)
