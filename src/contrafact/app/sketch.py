"""A small picture before a slow one is done: read off a layer in the middle of the generator, a fraction of the way.

The colours of a pixel are nearly a linear function of what a layer holds at its place. That function is learned from
the generator's own images and tried on others of them; a layer that does not explain most of those is not used.

Shape suffixes: N samples, R pixels, F features and a constant, C channels, h, w sides of a map.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.generator import Generator, sample_latents
from contrafact.core.progress import Progress

EXPLAINED = 0.6
"""Share of the variance of held-out pictures' pixels, each channel about its mean, that a layer must explain."""
SIDES = (16, 64)
"""Least and largest side of a small picture."""

SAMPLES = (8, 32)
"""Fewest and most pictures to learn from, a quarter of them held out."""

_MOST_PIXELS = 16384
_RIDGE = 1e-3
# Slow generators make large images, whose maps are larger still.
_AT_ONCE = 2


@dataclass(frozen=True)
class Readout:
    """How a layer's map becomes a small picture.

    Attributes:
        layer: its name.
        side: the longest of the picture's.
        margin: pixels of the map around the picture.
        weight: ``(F, C)``, the constant's row last.
        explained: share of the variance of held-out pictures.
    """

    layer: str
    side: int
    margin: int
    weight: Tensor
    explained: float

    def __call__(self, features: Tensor) -> Tensor:
        """Pictures ``(N, C, h, w)`` of the layer's maps."""
        inner = _without(features, self.margin)
        picture = torch.einsum("nfhw,fc->nchw", inner.float(), self.weight[:-1])
        return picture + self.weight[-1][:, None, None]


class Sketch:
    """Small pictures of a generator's latents, of one side or several.

    Args:
        readouts: at most one for a side.

    >>> import contrafact as cf
    >>> generator = cf.load_generator("shapes3d-vae")  # images of 32 pixels
    >>> sketch = Sketch.learned(generator)
    >>> sketch(generator, generator.sample(2, seed=5), 32).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, readouts: list[Readout]) -> None:
        self.readouts = sorted(readouts, key=lambda readout: readout.side)

    @classmethod
    @torch.no_grad()
    def learned(cls, generator: Generator, samples: int = SAMPLES[1]) -> Sketch | None:
        """What the generator's layers have of its pictures; None where none explains :data:`EXPLAINED` of them.

        Args:
            generator: makes so many pictures, and their small maps.
            samples: how many.
        """
        latents = sample_latents(generator, samples, torch.Generator().manual_seed(0))
        parts = latents.to(generator.device).split(_AT_ONCE)
        layers = _layers(generator, latents[:1].to(generator.device))
        if not layers:
            return None
        with Progress("learning a small picture", len(parts) * (1 + len(layers))) as bar:
            made = []
            for part in parts:
                made.append(generator(part).float().nan_to_num(0, 0, 0))
                bar.advance()
            images, readouts = torch.cat(made).clamp(0, 1), []
            for layer in layers:
                maps = []
                for part in parts:
                    maps.append(generator.features(part, layer).float().nan_to_num(0, 0, 0))
                    bar.advance()
                readouts.append(_fitted(layer, torch.cat(maps), images, generator.feature_margin))
        good = [readout for readout in readouts if readout.explained >= EXPLAINED]
        return cls(good) if good else None

    @torch.no_grad()
    def within(self, generator: Generator, seconds: float) -> Sketch | None:
        """Those of its pictures that take no longer than so many seconds here; None for none."""
        latent, quick = sample_latents(generator, 1, torch.Generator().manual_seed(0)).to(generator.device), []
        for readout in self.readouts:
            start = time.perf_counter()
            readout(generator.features(latent, readout.layer)).sum().item()
            if time.perf_counter() - start <= seconds:
                quick.append(readout)
        return Sketch(quick) if quick else None

    @torch.no_grad()
    def __call__(self, generator: Generator, latent: Tensor, side: int) -> Tensor:
        """Pictures ``(N, C, h, w)`` of at least ``side`` pixels, or else of the most there are."""
        readout = next((found for found in self.readouts if found.side >= side), self.readouts[-1])
        return readout(generator.features(latent, readout.layer))


def _layers(generator: Generator, latent: Tensor) -> list[str]:
    """Of each side from the least to half of the image's the last layer whose maps have it."""
    _, height, width = generator.image_shape
    found: dict[int, str] = {}
    for layer in generator.layer_names:
        features = generator.features(latent, layer)
        if features.ndim != 4:
            continue
        inner = _without(features, generator.feature_margin)
        if inner.shape[-2] * width != inner.shape[-1] * height:
            continue
        side = max(inner.shape[-2:])
        if side > min(SIDES[1], max(height, width) // 2):
            break
        if side >= SIDES[0]:
            found[side] = layer
    return list(found.values())


def _without(features: Tensor, margin: int) -> Tensor:
    return features[..., margin : features.shape[-2] - margin, margin : features.shape[-1] - margin]


def _fitted(layer: str, maps: Tensor, images: Tensor, margin: int) -> Readout:
    """The least-squares readout of the first samples, and what it explains of the others."""
    size, learned = _without(maps, margin).shape[-2:], len(maps) * 3 // 4
    pictures = F.interpolate(images, size, mode="area")
    rows_RF, wanted_RC = _rows(_without(maps, margin)[:learned]), _rows(pictures[:learned])
    if len(rows_RF) > _MOST_PIXELS:
        some = torch.randperm(len(rows_RF), generator=torch.Generator().manual_seed(0))[:_MOST_PIXELS]
        rows_RF, wanted_RC = rows_RF[some.to(rows_RF.device)], wanted_RC[some.to(rows_RF.device)]
    design = torch.cat((rows_RF, torch.ones_like(rows_RF[:, :1])), dim=1).double()
    gram = design.T @ design
    ridge = _RIDGE * gram.diagonal() + 1e-9 * gram.diagonal().mean()
    weight = torch.linalg.solve(gram + torch.diag(ridge), design.T @ wanted_RC.double()).float()
    readout = Readout(layer, max(size), margin, weight, 0.0)
    truth_RC, guess_RC = _rows(pictures[learned:]), _rows(readout(maps[learned:]))
    spread = (truth_RC - truth_RC.mean(dim=0)).square().sum()
    explained = 1 - float((guess_RC - truth_RC).square().sum() / spread.clamp_min(1e-12))
    return Readout(layer, max(size), margin, weight, explained)


def _rows(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
