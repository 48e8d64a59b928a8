"""Attribute predictor: a classifier of a dataset's factors, to judge edited images and to label generated ones.

No paper: scores of directions (rescoring, MDS) and supervised directions (InterFaceGAN) lean on somebody's attribute
classifiers. Ours is one light encoder (DisCo's, Table 7) with a softmax per factor, trained on a dataset whose factors
are known, or on its class labels.

Images are blurred and made noisy at random, because generators' samples are smoother than photographs, and a predictor
that has only seen sharp images is unsure of them.

Shape suffixes: N images, K factors, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.annotations import UNKNOWN
from contrafact.core.dataset import FactorDataset, ImageDataset, IntArray
from contrafact.core.few_labels import CLASS
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Rate, Share, Size, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.nn.attributes import AttributeClassifier
from contrafact.nn.own_encoder import Backbone

HELD_OUT = 2000
"""Images kept from training to measure accuracy on, at most a tenth of all."""


@dataclass(frozen=True)
class AttributePredictor(Method):
    """One softmax per factor on a light convolutional encoder.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape", "scale"])
    >>> run = cf.methods.AttributePredictor(width=0.1, steps=2, batch_size=8).fit(images, "runs/attributes")
    >>> run.annotated_factors, run.encoder(images.batch([0, 1])).shape  # a guess of each factor's value
    (('shape', 'scale'), torch.Size([2, 2]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several", "missing")
    yields: ClassVar[tuple[str, ...]] = ("encoder",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 0.25, "steps": 1000},
    }

    width: Width = 0.5
    """Multiplies the encoder's channel counts."""
    encoder: Backbone = None
    """A network of your own that reads the images; a linear layer on its features makes the logits. Empty: DisCo's."""
    noise: Weight = 0.03
    """Largest standard deviation of the noise added to an image."""
    blur: Share = 0.5
    """Share of the images that are blurred (by a 3×3 binomial filter)."""
    steps: Steps = 5000
    """Training steps."""
    batch_size: Size = 64
    """Images per step."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate; it falls to zero along a cosine."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise the factors' cross-entropy, then measure accuracy on held-out images."""
        known = KnownFactors(source)
        train, held_out = _divided(known, run)
        with run.seeded_init("classifier"):
            classifier = AttributeClassifier(source.image_shape, known.names, known.sizes, self.width, self.encoder)
        classifier.to(run.device)
        optimizer = torch.optim.Adam(classifier.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, self.steps) / self.steps))
        )
        images_rng, noise_rng = run.numpy_rng("images"), run.rng("noise")
        state: dict[str, Any] = {"classifier": classifier, "optimizer": optimizer, "schedule": schedule}
        state |= {"images": images_rng, "noise": noise_rng}

        for _ in run.steps(self.steps, state):
            chosen = train[images_rng.integers(len(train), size=self.batch_size)]
            images = worsened(source.batch(known.indices[chosen]), self.blur, self.noise, noise_rng).to(run.device)
            values_NK = torch.from_numpy(known.values(chosen)).to(run.device)
            with run.autocast():
                log_probabilities = classifier.log_probabilities(images)
            losses = [_loss(p, values_NK[:, k]) for k, p in enumerate(log_probabilities)]
            loss = torch.stack(losses).sum()
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, classifier.parameters())
            optimizer.step()
            schedule.step()
            right = torch.stack([p.argmax(dim=1) == values_NK[:, k] for k, p in enumerate(log_probabilities)], dim=1)
            run.log(loss=loss, accuracy=right.sum() / (values_NK != UNKNOWN).sum().clamp_min(1))

        accuracy = _accuracy(classifier.eval(), source, known, held_out, run)
        classifier.note = {"trained_on": source.name, "from": source.source_name, "accuracy": accuracy}
        return Artefacts(encoder=classifier)


class KnownFactors:
    """What a dataset says of its images: few labels if it was given some, else its factors, else its class labels.

    Args:
        source: the dataset.

    Attributes:
        indices: the images something is known of, ``(M,)``.
        names: K factors of at least two values.
        sizes: K numbers of values.

    Raises:
        ValueError: nothing is known of the images.
    """

    def __init__(self, source: ImageDataset) -> None:
        few = source.few_labels
        self._source = source
        self._values = None if few is None else few.values
        self.indices: IntArray = np.arange(len(source)) if few is None else few.indices
        names: tuple[str, ...]
        sizes: tuple[int, ...]
        if few is not None:
            names, sizes = few.names, few.sizes
        elif isinstance(source, FactorDataset):
            names, sizes = source.factor_names, source.factor_sizes
        elif source.labels is not None:
            names, sizes = (CLASS,), (len(source.class_names) or int(source.labels.max()) + 1,)
        else:
            raise ValueError(f"{source.name} has neither factors nor labels, so no attribute can be learned from it")
        self._columns = [k for k, size in enumerate(sizes) if size > 1]
        if not self._columns or not len(self.indices):
            raise ValueError(
                f"{source.name}: no factor has two values to tell apart among the images that are labelled"
            )
        self.names, self.sizes = tuple(names[k] for k in self._columns), tuple(sizes[k] for k in self._columns)

    def values(self, chosen: IntArray) -> IntArray:
        """Factor values ``(N, K)`` of the images ``indices[chosen]``, −1 where unknown."""
        if self._values is not None:
            return self._values[chosen][:, self._columns]
        if isinstance(self._source, FactorDataset):
            return self._source.factors_of(self.indices[chosen])[:, self._columns]
        assert self._source.labels is not None
        return self._source.labels[self.indices[chosen]][:, None]


def _loss(log_probabilities_NV: Tensor, values_N: Tensor) -> Tensor:
    """Cross-entropy of the known values, mean over them; 0 where none is known."""
    losses = F.nll_loss(log_probabilities_NV, values_N, ignore_index=UNKNOWN, reduction="sum")
    return losses / (values_N != UNKNOWN).sum().clamp_min(1)


def _divided(known: KnownFactors, run: Run) -> tuple[IntArray, IntArray]:
    """Positions in ``known.indices`` to train on, and to measure on; the same in every process."""
    order = run.numpy_rng("division", shared=True).permutation(len(known.indices))
    kept = min(HELD_OUT, len(order) // 10)
    return order[kept:], order[:kept]


def worsened(images: Tensor, blur: float, noise: float, rng: torch.Generator) -> Tensor:
    """Images ``(N, C, H, W)``, a share ``blur`` of them blurred, all with noise of up to the deviation ``noise``."""
    n, channels = images.shape[:2]
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(channels, 1, 3, 3)
    smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    chosen = torch.rand(n, 1, 1, 1, generator=rng) < blur
    deviation = noise * torch.rand(n, 1, 1, 1, generator=rng)
    return torch.where(chosen, smooth, images) + deviation * torch.randn(images.shape, generator=rng)


@torch.no_grad()
def _accuracy(
    classifier: AttributeClassifier, source: ImageDataset, known: KnownFactors, held_out: IntArray, run: Run
) -> dict[str, float]:
    """Share of held-out images whose value is named rightly, by factor; empty when there are none."""
    right = [torch.zeros(0, len(known.names))]
    for start in range(0, len(held_out), 256):
        chosen = held_out[start : start + 256]
        labels = classifier.labels(source.batch(known.indices[chosen]).to(run.device)).cpu()
        values = torch.from_numpy(known.values(chosen))
        right.append((labels == values).float().masked_fill(values == UNKNOWN, torch.nan))
    shares = torch.cat(right).nanmean(dim=0).tolist()
    return {name: round(share, 4) for name, share in zip(known.names, shares, strict=True) if not math.isnan(share)}
