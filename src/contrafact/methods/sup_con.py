"""SupCon: an encoder from a few labelled images alone, the control of every few-label table (Khosla et al. 2020).

Supervised Contrastive Learning, NeurIPS 2020, https://arxiv.org/abs/2004.11362. The encoder of CD-GAN, the same labels
and the same augmentation, but no generated and no unlabelled image: what it scores, a GAN must beat.

Deviations: CD-GAN's small encoder, whose last layer is the contrasted one (no projection head is thrown away), Adam
instead of LARS; batches hold equally many images of every class; the kept weights are a moving average.

Shape suffixes: N images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from contrafact.core.dataset import ImageDataset
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Keep, Positive, Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.losses.contrastive import Reading, supervised_contrastive_loss
from contrafact.nn.critics import ClassEncoder, ClassEncoderChoice
from contrafact.training.anchors import Anchors, MovingAverage
from contrafact.training.augment import Augmentation, AugmentationName


@dataclass(frozen=True)
class SupCon(Method):
    """Supervised contrast of two views of labelled images.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> run = cf.methods.SupCon.preset("quick", width=0.1, steps=1).fit(images, "runs/sup-con")
    >>> run.encoder(images.batch([0, 1])).shape[1] == run.encoder.code_dim
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ()
    yields: ClassVar[tuple[str, ...]] = ("encoder",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "tiny": {"encoder": "conv"},
        "cifar10": {"encoder": "resnet18", "class_dim": 128},
        "dsprites": {"class_dim": 40},
        "quick": {"width": 0.5, "steps": 800},
        "standard": {"steps": 2000},
    }

    encoder: ClassEncoderChoice = "conv"
    """Encoder: conv (CD-GAN's at 28 px), residual, resnet18 (CD-GAN's on CIFAR-10), or one of your own."""
    class_dim: Size = 50
    """Dimensions of the class code f."""
    width: Width = 1.0
    """Multiplies the encoder's channel counts."""
    temperature: Positive = 0.1
    """τ."""
    reading: Reading = "outside"
    """Where the sum over positives stands: outside the logarithm (the paper's better one), or inside."""
    augmentation: AugmentationName = "weak"
    """How views differ: none, weak (shift, flip), strong (warp, flip, erase), each also _no_flip."""
    anchors_per_class: Size = 10
    """Labelled images of every class per step, in two views each."""
    average: Keep = 0.99
    """Moving average of the weights that is kept: share of old weights per step; 0 keeps the last ones."""
    steps: Steps = 2000
    """Training steps."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate at the start; it falls to zero along a cosine."""

    def shared_settings(self) -> tuple[str, ...]:
        """Images of every class."""
        return ("anchors_per_class",)

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images without labels of every class."""
        Anchors(source, torch.device("cpu"))

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise the supervised contrastive loss."""
        anchors, augment = Anchors(source, run.device), Augmentation.named(self.augmentation)
        with run.seeded_init("encoder"):
            encoder = ClassEncoder(source.image_shape, self.class_dim, kind=self.encoder, width=self.width)
        encoder.to(run.device)
        average = MovingAverage(encoder, self.average)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.steps))))
        )
        rng = run.rng("anchors")
        state = {"encoder": encoder, "average": average, "optimizer": optimizer, "schedule": schedule, "anchors": rng}

        for _ in run.steps(self.steps, state):
            images, labels_N = anchors.draw(self.anchors_per_class, rng)
            views = torch.cat([augment(images, rng), augment(images, rng)])
            with run.autocast():
                features_NJ, _ = encoder.heads(views)
            loss = supervised_contrastive_loss(features_NJ, labels_N.repeat(2), self.temperature, self.reading)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, encoder.parameters())
            optimizer.step()
            schedule.step()
            average.follow()
            run.log(loss=loss)
        return Artefacts(encoder=average.module)
