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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.run import Run
from contrafact.methods._concept_tokens import QUICK, TokenSettings
from contrafact.methods._noised import NoisedSettings, autoencoder_optimizer, learn_autoencoder
from contrafact.nn.token_unet import Conditioning
from contrafact.training.stages import stages


@dataclass(frozen=True)
class EncDiff(NoisedSettings, TokenSettings):
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

    conditioning: Conditioning = "attention"
    """How tokens reach the denoiser: attention, or film, which scales and shifts its channels (the ablation)."""
    noised: Literal["at random", "fully"] = "at random"
    """How far images are noised in training: to a time drawn anew, or always to the last, which leaves nothing of them
    (the control)."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Train the autoencoder, if there is one, then encoder and denoiser."""
        solver_steps = self.decode_steps if self.noised == "at random" else 1
        training = self.start(source, run, self.conditioning, self.prediction, solver_steps, self.times, self.codebook)
        first_stage, schedule = training.generator.first_stage, training.generator.schedule
        autoencoder = autoencoder_optimizer(first_stage, self.autoencoder_rate, training.state)
        lengths = (self.autoencoder_steps if autoencoder else 0, self.steps)
        before, after = stages(run, lengths, training.state)
        if autoencoder is not None:
            learn_autoencoder(before, training, autoencoder, run)
        for step in after:
            images = training.batch()
            with torch.no_grad():
                clean = training.generator.to_denoised(images)
            noise, times_N = training.normal(clean), self.draw_times(len(images), training.noise).to(run.device)
            noised = schedule.noised(clean, noise, times_N)
            with run.autocast():
                tokens = training.generator.tokens(training.encoder.encode(images))
                said = training.generator.predict(noised, times_N, tokens)
            loss = self.away(said, noise, clean)
            training.descend(loss, step)
            run.log(loss=loss)
        return training.artefacts()

    def draw_times(self, count: int, rng: torch.Generator) -> Tensor:
        """``(N,)`` times to which images of a batch are noised."""
        if self.noised == "fully":
            return torch.full((count,), self.times - 1)
        return super().draw_times(count, rng)
