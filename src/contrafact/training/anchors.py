"""The few labelled images as anchors: balanced draws, and the centre of each class in an encoder's codes.

Shape suffixes: M labelled images, K classes, N images, J code dimensions.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.nn.critics import ClassEncoder

CENTRE_IMAGES = 1024
"""Labelled images that centres are taken from, at least: a thousand place them as well as ten thousand."""


class Anchors:
    """Labelled images of a dataset, all on the device (they are few).

    Args:
        dataset: images with ``few_labels`` of one factor.
        device: where to keep them.

    Raises:
        ValueError: no labels, labels of several factors, of one class, or a class without a label.
    """

    def __init__(self, dataset: ImageDataset, device: torch.device) -> None:
        few = dataset.few_labels
        if few is None or not len(few):
            raise ValueError(
                f"no image of {dataset.name} is labelled; load it with labels=0.024 (--labels 0.024) or a number of "
                "images"
            )
        classes = torch.from_numpy(few.classes)
        self.count = few.sizes[0]
        if self.count < 2:
            raise ValueError(f"{dataset.name} has one class only; labels need at least two to tell apart")
        present = torch.bincount(classes, minlength=self.count)
        if (present == 0).any():
            missing = ", ".join(map(str, (present == 0).nonzero().flatten().tolist()))
            raise ValueError(
                f"no image of class {missing} is labelled; give at least one label per class, or another label seed"
            )
        order = classes.argsort(stable=True)
        self.images = dataset.batch(few.indices[order.numpy()]).to(device)
        self.labels_M = classes[order].to(device)
        self._first_K, self._present_K = present.cumsum(0) - present, present

    def draw(self, per_class: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``per_class`` images of every class, with replacement: images ``(K · per_class, C, H, W)`` and labels."""
        share = torch.rand(self.count, per_class, generator=rng)
        rows = (self._first_K[:, None] + (share * self._present_K[:, None]).long()).flatten().to(self.images.device)
        return self.images[rows], self.labels_M[rows]

    @torch.no_grad()
    def centres(self, encoder: ClassEncoder) -> Tensor:
        """Mean class code of each class's labelled images, at unit length: ``(K, J)``."""
        training = encoder.training
        encoder.eval()
        stride = max(1, len(self.images) // CENTRE_IMAGES)  # they are sorted by class: each keeps its share
        images, labels_M = self.images[::stride], self.labels_M[::stride]
        codes_MJ = torch.cat([encoder.heads(part)[0] for part in images.split(512)])
        encoder.train(training)
        one_hot_MK = F.one_hot(labels_M, self.count).to(codes_MJ.dtype)
        return F.normalize(one_hot_MK.T @ codes_MJ, dim=1)


class MovingAverage(nn.Module):
    """A copy of an encoder whose weights follow its weights slowly: what is kept after training, and what teaches.

    Args:
        encoder: what to follow.
        decay: share of the old weights kept each step; the first steps follow faster. 0 makes it the encoder itself.
    """

    steps: Tensor

    def __init__(self, encoder: ClassEncoder, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"average is the share of old weights kept each step and must lie in [0, 1), got {decay}")
        self._followed, self.decay = (encoder,), decay  # in a tuple: its weights are not part of this module
        self.module: ClassEncoder = copy.deepcopy(encoder).requires_grad_(False) if decay else encoder
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self) -> None:
        """Move a step towards the encoder."""
        if not self.decay:
            return
        self.steps += 1
        share = 1 - min(self.decay, float(self.steps / (self.steps + 10)))
        for mine, theirs in zip(
            self.module.state_dict().values(), self._followed[0].state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                mine.lerp_(theirs, share)
            else:
                mine.copy_(theirs)
