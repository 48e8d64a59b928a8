"""SimCLR: an encoder that gives two views of one image the same code, and other images other codes.

A Simple Framework for Contrastive Learning of Visual Representations, Chen, Kornblith, Norouzi & Hinton, ICML 2020,
https://arxiv.org/abs/2002.05709.

Deviations: by default SGD with momentum instead of LARS, which batches of thousands need, and 200 epochs of 60,000
images at batch 256, ContraLORD's budget (``paper`` keeps that number of steps); views leave labelled factors alone
unless told otherwise, turn hues in YIQ, and are not blurred (the paper's choice for small images). Batch statistics
stay each process's own.

Shape suffixes: N images, V views (2), J feature dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import CountOrZero, Depth, Rate, Size
from contrafact.core.run import Run
from contrafact.losses.contrastive import nt_xent_loss, unit
from contrafact.methods._views import ViewContrast
from contrafact.nn.projected import ProjectedEncoder
from contrafact.training.gather import gathered
from contrafact.training.lars import LARS
from contrafact.training.pairs import draw_pairs
from contrafact.training.schedule import set_rate, warmup_cosine
from contrafact.training.views import SIMCLR, SIMCLR_SMALL, Views, choose_kinds

SMALL = 96  # sides below this take the settings for small images


@dataclass(frozen=True)
class SimCLR(ViewContrast):
    """Contrast of two views in one batch (NT-Xent).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.SimCLR.preset("quick", width=0.1, steps=1, batch_size=8).fit(images, "runs/simclr")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> run.encoder.representations, run.encoder.represent(codes, "z").shape[0]  # what the contrast sees
    (('z',), 2)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "optimizer": "lars", "batch_size": 4096, "learning_rate": 0.3, "temperature": 0.1, "weight_decay": 1e-6,
        },
        "cifar10": {
            "encoder": "resnet18", "optimizer": "lars", "batch_size": 512, "learning_rate": 1.0, "weight_decay": 1e-6,
            "steps": 97_656, "warmup_steps": 977,
        },
        "quick": {
            "encoder": "locatello", "width": 2.0, "steps": 3000, "warmup_steps": 100, "batch_size": 128,
            "temperature": 0.2,
        },
    }  # fmt: skip

    feature_dim: Size = 128
    """Outputs of the projection head."""
    head_layers: Depth = 2
    """Linear layers of the head."""
    head_norm: bool = True
    """Batch normalisation in the head, as in the released program."""
    warmup_steps: CountOrZero = 2345
    """Steps over which the learning rate rises (10 epochs)."""
    optimizer: Literal["sgd", "lars"] = "sgd"
    """SGD with momentum, or LARS, which keeps batches of thousands stable."""
    learning_rate: Rate = 0.5
    """The optimiser's learning rate for 256 images; scaled by the images of a step over 256."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a batch of one, and views that the images do not have."""
        if self.batch_size * run.world_size < 2:
            raise ValueError("a batch of one image has no negatives; batch_size must be at least 2")
        choose_kinds(source, self.augmentations)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise NT-Xent of the views of each batch."""
        small = min(source.image_shape[1:]) < SMALL
        views = Views(choose_kinds(source, self.augmentations), SIMCLR_SMALL if small else SIMCLR)
        with run.seeded_init("networks"):
            encoder = ProjectedEncoder(
                *self.body(source.image_shape),
                feature_dim=self.feature_dim,
                head_layers=self.head_layers,
                head_norm=self.head_norm,
            ).to(run.device)
        parameters = list(encoder.parameters())
        make = torch.optim.SGD if self.optimizer == "sgd" else LARS
        optimizer = make(parameters, lr=0.0, momentum=0.9, weight_decay=self.weight_decay)
        pairs_rng, views_rng = run.numpy_rng("pairs"), run.rng("views")
        state = {"encoder": encoder, "optimizer": optimizer, "pairs": pairs_rng, "views": views_rng}
        rate = self.learning_rate * self.batch_size * run.world_size / 256

        for step in run.steps(self.steps, state):
            set_rate(optimizer, rate * warmup_cosine(step, self.steps, self.warmup_steps))
            images_VN, _ = draw_pairs(source, self.batch_size, pairs_rng)
            images = views(images_VN.flatten(0, 1).to(run.device), views_rng)
            with run.autocast():
                z = encoder.project(encoder.encode(images))
            first_NJ, second_NJ = (gathered(view, run) for view in unit(z).chunk(2))
            loss = nt_xent_loss(first_NJ, second_NJ, self.temperature)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, parameters)
            optimizer.step()
            run.log(loss=loss, agreement=(first_NJ * second_NJ).sum(dim=1).mean())
        return Artefacts(encoder=encoder)
