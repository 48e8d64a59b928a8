"""What methods share whose decoder is told by a token for each code: settings, encoder and generator in training.

Each method writes its own loop and loss. Networks and defaults are those of EncDiff's release (``methods/encdiff.py``).

Shape suffixes: N images, J codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import CountOrZero, Depth, Keep, Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.nn.batch_norm_encoder import BatchNormEncoder
from contrafact.nn.noise_schedule import Prediction
from contrafact.nn.token_unet import Conditioning
from contrafact.training.latent_table import cosine_rate
from contrafact.training.momentum import follow, momentum_copy

MULTIPLIERS = (1, 2, 4, 4, 4, 4)
"""Channels of each level of the U-Net, in multiples of the first one's."""
QUICK: Mapping[str, Any] = {
    "width": 0.5, "encoder_width": 0.5, "levels": 2, "blocks": 1, "heads": 1, "transformer": False, "patch": 2,
    "steps": 600, "batch_size": 32, "learning_rate": 4e-3, "warmup_steps": 50, "cosine": True, "ema": 0.0,
}  # fmt: skip
"""What every ``quick`` preset starts from, on images of 16 pixels: some twenty seconds of one core that has bfloat16, a
minute of others."""


@dataclass(frozen=True)
class CodeSettings(Method):
    """Settings of an encoder and a U-Net that makes images under its codes."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")
    without: ClassVar[Mapping[str, str]] = {
        "encoder": "its encoder's last layer is put into units of the codes' own deviation; simclr trains one of yours",
    }

    width: Width = 1.0
    """Multiplies the U-Net's channel counts."""
    encoder_width: Width = 1.0
    """Multiplies the encoder's channel counts."""
    levels: Depth = 4
    """Sizes at which the U-Net works: what it denoises, half of it, and so on."""
    blocks: Depth = 2
    """Blocks of each level, on the way down and on the way up."""
    heads: Size = 8
    """Heads of the attention, at most; each has at least eight channels."""
    transformer: bool = True
    """Blocks also attend to themselves and have two linear layers, as latent diffusion's."""
    patch: Size = 4
    """How many times smaller than the image is what the U-Net works on: squares of so many pixels lie side by side in
    its channels."""
    steps: Steps = 300_000
    """Training steps."""
    batch_size: Size = 128
    """Images per step."""
    learning_rate: Rate = 2.56e-4
    """AdamW's learning rate."""
    warmup_steps: CountOrZero = 10_000
    """Steps over which the learning rate rises to its full value."""
    cosine: bool = False
    """Let the learning rate fall to zero along a cosine."""
    ema: Keep = 0.9999
    """Momentum of the slowly following copy of tokens and U-Net that is kept; 0 keeps the networks themselves."""

    def rate(self, step: int, steps: int | None = None) -> float:
        """Learning rate at a step of so many; ``steps`` unless others are given."""
        last = self.steps if steps is None else steps
        falling = cosine_rate(step, last, self.learning_rate) if self.cosine else self.learning_rate
        return falling * min(1.0, (step + 1) / max(1, self.warmup_steps))


@dataclass(frozen=True)
class TokenSettings(CodeSettings):
    """Settings of an encoder whose codes become tokens."""

    latent_dim: Size = 20
    """Codes J, and tokens."""
    token_dim: Size = 16
    """Numbers in a token."""

    def start(
        self,
        source: ImageDataset,
        run: Run,
        conditioning: Conditioning = "attention",
        prediction: Prediction = "image",
        decode_steps: int = 1,
        times: int = 1000,
        codebook: int = 0,
    ) -> TokenTraining:
        """Fresh networks, optimiser and random streams."""
        with run.seeded_init("networks"):
            encoder = BatchNormEncoder(source.image_shape, self.latent_dim, self.encoder_width)
            generator = architecture("token_diffusion")(
                self.latent_dim,
                source.image_shape,
                self.width,
                MULTIPLIERS[: self.levels],
                self.blocks,
                self.heads,
                self.token_dim,
                conditioning,
                self.transformer,
                self.patch,
                codebook,
                prediction,
                times,
                steps=decode_steps,
            )
        return TokenTraining(self, source, run, encoder.to(run.device), generator.to(run.device))


class TokenTraining:
    """An encoder and a generator in training on images.

    Attributes:
        encoder: images to codes.
        generator: codes to images.
        noise: random stream of whatever the loss draws.
        state: everything a step changes, for ``run.steps``.
    """

    def __init__(
        self, settings: TokenSettings, source: ImageDataset, run: Run, encoder: BatchNormEncoder, generator: Any
    ) -> None:
        self._settings, self._source, self._run = settings, source, run
        self.encoder, self.generator = encoder, generator
        self._denoiser = nn.ModuleList([generator.tokens, generator.unet])
        self._slow = momentum_copy(self._denoiser) if settings.ema else self._denoiser
        self._learned = [*encoder.parameters(), *self._denoiser.parameters()]
        self._optimizer = torch.optim.AdamW(self._learned, lr=settings.learning_rate, fused=True)
        self._images, self.noise = run.numpy_rng("images"), run.rng("noise")
        self.state: dict[str, Any] = {"encoder": encoder, "generator": generator, "optimizer": self._optimizer}
        self.state |= {"images": self._images, "noise": self.noise, "slow": self._slow}

    def batch(self) -> Tensor:
        """The next ``batch_size`` images, drawn at random."""
        return self._source.random_batch(self._settings.batch_size, self._images).to(self._run.device)

    def glimpse(self, count: int) -> Tensor:
        """Images that are the same whenever they are asked for."""
        return self._source.random_batch(count, self._run.numpy_rng("glimpse", shared=True)).to(self._run.device)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise of a tensor's shape."""
        return torch.randn(like.shape, generator=self.noise).to(like.device)

    def descend(self, loss: Tensor, step: int) -> None:
        """One step of AdamW at the rate of this step, and the slow copy after it."""
        self._optimizer.param_groups[0]["lr"] = self._settings.rate(step)
        self._optimizer.zero_grad(set_to_none=True)
        self._run.backward(loss, self._learned)
        self._optimizer.step()
        if self._settings.ema:
            follow(self._slow, self._denoiser, self._settings.ema)

    @torch.no_grad()
    def artefacts(self) -> Artefacts:
        """What was learned: codes in units of their own deviation, each drawn as it is distributed, and the error."""
        self.encoder.eval()
        if self._settings.ema:
            self._denoiser.load_state_dict(self._slow.state_dict())
        draw = self._run.numpy_rng("held out", shared=True)
        batches = [self._source.random_batch(256, draw).to(self._run.device) for _ in range(16)]
        codes_NJ = torch.cat([self.encoder.encode(images).float() for images in batches])
        center_J, scale_J = codes_NJ.mean(dim=0), codes_NJ.std(dim=0).clamp(min=1e-6)
        self.encoder.rescale(center_J, scale_J)
        self.generator.tokens.rescale(center_J, scale_J)
        self.generator.fit_prior((codes_NJ - center_J) / scale_J)
        error = (self.generator(self.encoder(batches[0])) - batches[0]).square().mean()
        deviations = [round(float(scale), 3) for scale in scale_J]
        self.generator.note = {"mse": round(float(error), 5), "deviations_learned": deviations}
        return Artefacts(encoder=self.encoder, generator=self.generator)
