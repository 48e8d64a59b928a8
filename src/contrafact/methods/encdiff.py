"""EncDiff: scalars as concept tokens that a diffusion model attends to, and no other loss (Yang et al. 2024).

Diffusion Model with Cross Attention as an Inductive Bias for Disentanglement, Yang, Lan, Lu & Zheng, NeurIPS 2024,
https://arxiv.org/abs/2402.09712. An encoder makes J numbers of an image, a network of its own makes each a token, a
denoiser attends to the tokens; encoder and denoiser learn together, down the denoiser's loss. The paper holds two
things responsible for what comes apart: attention (``conditioning="film"`` is the ablation), and that images are noised
to every degree (``noised="fully"`` is the control: a decoder that attends to tokens and sees no image at all).

Deviations: the autoencoder of ``paper`` has neither discriminator nor perceptual distance; blocks have a skip
connection each, and down- and upsampling none; how long to train is ours. ``quick`` predicts the image instead of the
noise, under squared error, with times drawn towards the noise: the paper's loss takes longer than a laptop has.

Shape suffixes: N images, J codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Count, Positive, Rate, Size, SizeOrZero, Steps
from contrafact.core.run import Run
from contrafact.methods._concept_tokens import QUICK, TokenSettings, TokenTraining
from contrafact.nn.noise_schedule import Prediction
from contrafact.nn.token_unet import Conditioning
from contrafact.training.stages import stages

Distance = Literal["absolute", "squared"]


@dataclass(frozen=True)
class EncDiff(TokenSettings):
    """Codes as concept tokens of a diffusion model.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.125, "encoder_width": 0.1, "steps": 2, "decode_steps": 2}
    >>> run = cf.methods.EncDiff.preset("quick", **small).fit(images, "runs/encdiff")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 20]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {**QUICK, "codebook": 0, "prediction": "image", "distance": "squared", "lateness": 3.0},
        "tiny": {"codebook": 16, "levels": 2, "patch": 2, "blocks": 1, "times": 20, "decode_steps": 2, "ema": 0.5},
    }

    codebook: SizeOrZero = 2048
    """Entries of the codebook of the autoencoder in whose maps images are denoised, each of which stands for a square
    of ``patch`` pixels; 0 denoises the pixels."""
    conditioning: Conditioning = "attention"
    """How tokens reach the denoiser: attention, or film, which scales and shifts its channels (the ablation)."""
    noised: Literal["at random", "fully"] = "at random"
    """How far images are noised in training: to a time drawn anew, or always to the last, which leaves nothing of them
    (the control)."""
    lateness: Positive = 1.0
    """The density of times grows as their power of this less 1: 1 is uniform, more draws them towards the noise."""
    prediction: Prediction = "epsilon"
    """What the denoiser says: epsilon, the noise, or the image."""
    distance: Distance = "absolute"
    """How far that is from what it should be."""
    times: Size = 1000
    """Times of the noise schedule."""
    decode_steps: Count = 8
    """How often the denoiser is asked for an image of codes; once where images are always noised fully."""
    autoencoder_steps: Steps = 100_000
    """Steps that the autoencoder with the codebook trains first."""
    autoencoder_rate: Rate = 5.76e-4
    """Its learning rate."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Train the autoencoder, if there is one, then encoder and denoiser."""
        solver_steps = self.decode_steps if self.noised == "at random" else 1
        training = self.start(source, run, self.conditioning, self.prediction, solver_steps, self.times, self.codebook)
        first_stage, schedule = training.generator.first_stage, training.generator.schedule
        autoencoder = None
        if first_stage is not None:
            autoencoder = torch.optim.Adam(
                first_stage.parameters(), self.autoencoder_rate, betas=(0.5, 0.9), fused=True
            )
            training.state["autoencoder"] = autoencoder
        lengths = (self.autoencoder_steps if autoencoder else 0, self.steps)
        before, after = stages(run, lengths, training.state)
        if autoencoder is not None:
            self._learn_autoencoder(before, training, autoencoder, run)
        for step in after:
            images = training.batch()
            with torch.no_grad():
                clean = training.generator.to_denoised(images)
            noise, times_N = training.normal(clean), self.draw_times(len(images), training.noise).to(run.device)
            noised = schedule.noised(clean, noise, times_N)
            with run.autocast():
                tokens = training.generator.tokens(training.encoder.encode(images))
                said = training.generator.predict(noised, times_N, tokens)
            error = said - (noise if self.prediction == "epsilon" else clean)
            loss = error.abs().mean() if self.distance == "absolute" else error.square().mean()
            training.descend(loss, step)
            run.log(loss=loss)
        return training.artefacts()

    def draw_times(self, count: int, rng: torch.Generator) -> Tensor:
        """``(N,)`` times to which images of a batch are noised."""
        if self.noised == "fully":
            return torch.full((count,), self.times - 1)
        share_N = torch.rand(count, generator=rng, dtype=torch.float64) ** (1 / self.lateness)
        return (share_N * self.times).long().clamp(max=self.times - 1)

    def _learn_autoencoder(
        self, steps: Iterable[int], training: TokenTraining, optimizer: torch.optim.Optimizer, run: Run
    ) -> None:
        """Stage 1: codebook, encoder and decoder of what is denoised; then it rests."""
        first_stage = training.generator.first_stage
        for _ in steps:
            with run.autocast():
                error, distance = first_stage.loss(2 * training.batch() - 1)
            optimizer.zero_grad(set_to_none=True)
            (error + distance).backward()
            run.average_gradients(first_stage.parameters())
            optimizer.step()
            run.log(autoencoder_error=error, codebook_distance=distance)
        first_stage.requires_grad_(False)
        training.generator.fit_deviation(training.glimpse(256))
