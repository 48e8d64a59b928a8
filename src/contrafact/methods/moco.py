"""MoCo: contrast with a queue of features that a slowly following copy of the encoder made.

Momentum Contrast for Unsupervised Visual Representation Learning, He, Fan, Wu, Xie & Girshick, CVPR 2020,
https://arxiv.org/abs/1911.05722; its second version, Chen, Fan, Girshick & He, https://arxiv.org/abs/2003.04297, is the
preset v2.

Deviations: the paper shuffles keys among 8 GPUs so that batch statistics do not give the positive away; here keys are
shuffled into groups with statistics of their own, however many processes there are. Views leave labelled factors alone
unless told otherwise, and turn hues in YIQ. 200 epochs are those of 60,000 images at batch 256.

Shape suffixes: N images, K queue length, J feature dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Depth, Length, Positive, Rate, Share, Size
from contrafact.core.run import Run
from contrafact.losses.contrastive import queue_infonce_loss, unit
from contrafact.methods._views import ViewContrast
from contrafact.nn.projected import ProjectedEncoder
from contrafact.training.gather import gathered_rows
from contrafact.training.momentum import FeatureQueue, check_queue, follow, in_shuffled_groups, momentum_copy
from contrafact.training.pairs import draw_pairs
from contrafact.training.schedule import set_rate, warmup_cosine
from contrafact.training.views import MOCO, MOCO_V2, Views, choose_kinds


@dataclass(frozen=True)
class MoCo(ViewContrast):
    """Contrast with a queue and a momentum encoder.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.1, "steps": 1, "batch_size": 8, "queue_length": 16}
    >>> run = cf.methods.MoCo.preset("quick", **small).fit(images, "runs/moco")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> run.encoder.representations, run.encoder.represent(codes, "z").shape[0]  # what the contrast sees
    (('z',), 2)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "v2": {"head_layers": 2, "temperature": 0.2, "schedule": "cosine", "jitter": "v2", "blur": True},
        "quick": {
            "encoder": "locatello", "width": 2.0, "steps": 3000, "batch_size": 128,
            "queue_length": 4096, "momentum": 0.99, "learning_rate": 0.06, "schedule": "cosine", "head_layers": 2,
            "temperature": 0.2, "key_groups": 4,
        },
        "tiny": {"encoder": "conv", "queue_length": 7},
    }  # fmt: skip

    feature_dim: Size = 128
    """Outputs of the head, which the queue holds."""
    head_layers: Depth = 1
    """Linear layers of the head: 1 (first version) or 2 (second)."""
    queue_length: Length = 65_536
    """Length K of the queue; at least the images of a step, and need not be a multiple of them."""
    momentum: Share = 0.999
    """How slowly the key encoder follows, m."""
    key_groups: Size = 8
    """Shuffled groups in which keys are encoded, each with batch statistics of its own (the paper's GPUs)."""
    temperature: Positive = 0.07
    """Temperature τ."""
    jitter: Literal["v1", "v2"] = "v1"
    """How colours change: hues by up to 0.4 of the circle in every view (first version), or by 0.1 in 80 % (second)."""
    blur: bool = False
    """Count blur among the automatic changes (second version)."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Learning rate: a tenth after 60 % of the steps and again after 80 % (first version), or a cosine (second)."""
    learning_rate: Rate = 0.03
    """SGD's learning rate for 256 images; scaled by the images of a step over 256."""

    def check_options(self) -> None:
        """Refuse a queue shorter than a step's images."""
        check_queue(self.queue_length, self.batch_size)

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a queue shorter than the images of all processes, and views that the images do not have."""
        check_queue(self.queue_length, self.batch_size * run.world_size)
        self._kinds(source)

    def _kinds(self, source: ImageDataset) -> tuple[str, ...]:
        usual = ("crop", "flip", "light", "color", "grayscale", *(("blur",) if self.blur else ()))
        return choose_kinds(source, self.augmentations, usual)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise InfoNCE of each query against its key and the queue; then queue the keys."""
        views = Views(self._kinds(source), MOCO_V2 if self.jitter == "v2" else MOCO)
        with run.seeded_init("networks"):
            encoder = ProjectedEncoder(
                *self.body(source.image_shape),
                feature_dim=self.feature_dim,
                head_layers=self.head_layers,
            ).to(run.device)
        slow = momentum_copy(encoder)
        queue = FeatureQueue(self.queue_length, self.feature_dim, run.rng("queue", shared=True)).to(run.device)
        parameters = list(encoder.parameters())
        optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=self.weight_decay)
        pairs_rng, views_rng, groups_rng = run.numpy_rng("pairs"), run.rng("views"), run.rng("groups")
        state = {"encoder": encoder, "slow": slow, "queue": queue, "optimizer": optimizer, "pairs": pairs_rng}
        state |= {"views": views_rng, "groups": groups_rng}
        rate = self.learning_rate * self.batch_size * run.world_size / 256

        for step in run.steps(self.steps, state):
            set_rate(optimizer, rate * self._rate_factor(step))
            images_VN, _ = draw_pairs(source, self.batch_size, pairs_rng)
            first, second = views(images_VN.flatten(0, 1).to(run.device), views_rng).chunk(2)
            loss, keys_NJ, agreement = self.step_loss(encoder, slow, queue.features, first, second, groups_rng, run)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, parameters)
            optimizer.step()
            queue.push(gathered_rows(keys_NJ, run))  # after backward, which still reads what this overwrites
            run.log(loss=loss, agreement=agreement)
        return Artefacts(encoder=encoder)

    def step_loss(
        self,
        encoder: ProjectedEncoder,
        slow: ProjectedEncoder,
        queue_KJ: Tensor,
        first: Tensor,
        second: Tensor,
        rng: torch.Generator,
        run: Run,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch's two views after the slow copy has followed; its keys, to queue once the step is made, and
        how well they agree with the queries."""
        with run.autocast():
            queries_NJ = unit(encoder.project(encoder.encode(first)))
            follow(slow, encoder, self.momentum)
            keys_NJ = encode_shuffled(slow, second, self.key_groups, rng)
        loss = queue_infonce_loss(queries_NJ, keys_NJ, queue_KJ, self.temperature)
        return loss, keys_NJ, (queries_NJ * keys_NJ).sum(dim=1).mean()

    def _rate_factor(self, step: int) -> float:
        if self.schedule == "cosine":
            return warmup_cosine(step, self.steps, 0)
        return 0.1 ** ((step >= 0.6 * self.steps) + (step >= 0.8 * self.steps))


@torch.no_grad()
def encode_shuffled(slow: ProjectedEncoder, images: Tensor, groups: int, rng: torch.Generator) -> Tensor:
    """Unit keys ``(N, J)`` of images in their order, encoded in shuffled groups of at least two."""
    return in_shuffled_groups(lambda part: unit(slow.project(slow.encode(part))), images, groups, rng)
