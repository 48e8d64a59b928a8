"""Attention decoder: an autoencoder whose decoder attends to a token for each code, and nothing else.

The control of EncDiff (Yang et al., "Diffusion Model with Cross Attention as an Inductive Bias for Disentanglement",
NeurIPS 2024, https://arxiv.org/abs/2402.09712; ``methods/encdiff.py``), as a method of its own: the same encoder,
tokens and U-Net, but no diffusion. The U-Net is asked once, always of the same noise, which holds nothing of any image,
and learns to say the image: what it knows of it the tokens tell. One pass makes an image.

Shape suffixes: N images, J codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.run import Run
from contrafact.methods._concept_tokens import QUICK, TokenSettings


@dataclass(frozen=True)
class AttentionDecoder(TokenSettings):
    """Codes as tokens of an autoencoder's decoder.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.125, "encoder_width": 0.1, "steps": 2}
    >>> run = cf.methods.AttentionDecoder.preset("quick", **small).fit(images, "runs/attention")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 20]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": QUICK,
        "tiny": {"levels": 2, "patch": 2, "blocks": 1, "ema": 0.5},
    }

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise the squared error of the image that tokens make of noise."""
        training = self.start(source, run)
        generator = training.generator
        for step in run.steps(self.steps, training.state):
            images = training.batch()
            with run.autocast():
                made = generator.from_tokens(generator.tokens(training.encoder.encode(images)))
            loss = (made - images).square().mean()
            training.descend(loss, step)
            run.log(loss=loss)
        return training.artefacts()
