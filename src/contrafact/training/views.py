"""Random views of images, made on their device in whole batches, without touching what is known of the images.

Crop and flip are one resampling; light, colour and grayscale are one 3×3 matrix per image, so a view costs two passes
over the pixels whatever is asked for, and a blur if it is. Hue turns in YIQ, where it is linear, not in HSV.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import AnnotatedDataset, ImageDataset, PairDataset
from contrafact.core.few_labels import CLASS

KINDS = ("crop", "flip", "light", "color", "grayscale", "blur")
"""What a view may change: place and scale, left and right, brightness and contrast, saturation and hue, all colour,
sharpness."""
_COLOUR_SAMPLE = 256
_LEAST_COLOUR = 4 / 255  # between the channels of a pixel; what JPEG makes of grey stays below
_NEEDS_COLOR = ("color", "grayscale")
_GRAY = (0.299, 0.587, 0.114)
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@dataclass(frozen=True)
class ViewSettings:
    """How far views go; which kinds are used at all is chosen per dataset.

    Attributes:
        crop_scale: smallest and largest share of the image's area a crop keeps.
        crop_ratio: narrowest and widest crop, width over height; 3/4 to 4/3 in the papers.
        flip_probability: of a mirrored view.
        jitter_probability: of changed light and colour.
        brightness: largest relative change of brightness.
        contrast: of contrast.
        saturation: of saturation.
        hue: largest turn of the hue, as a share of the circle.
        grayscale_probability: of a view without colour.
        blur_probability: of a blurred view.
        blur_sigma: smallest and largest standard deviation of the blur, in pixels of a 224 pixel image.
    """

    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_probability: float = 0.5
    jitter_probability: float = 1.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.4
    grayscale_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)


MOCO = ViewSettings()
"""He et al. 2020; without the blur, which the second version added."""
MOCO_V2 = ViewSettings(jitter_probability=0.8, hue=0.1)
"""Chen, Fan, Girshick & He 2020; its blur is a kind of its own."""
CMC = ViewSettings(crop_scale=(0.08, 1.0))
"""Tian, Krishnan & Isola 2020, the authors' program; of its kinds only crop and flip are usual."""
SIMCLR = ViewSettings(
    crop_scale=(0.08, 1.0), jitter_probability=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
)
"""Chen et al. 2020, colour strength 1."""
SIMCLR_SMALL = ViewSettings(
    crop_scale=(0.08, 1.0), jitter_probability=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
)
"""Chen et al. 2020, Appendix B.9, for small images: colour strength 0.5; they leave the blur out."""


def destroyed_factors(dataset: ImageDataset, kind: str) -> tuple[str, ...]:
    """Labelled factors of ``dataset`` that views of this kind make unreadable, in the dataset's order.

    Labelled are the factors annotated with ``few_labels``; else those that pairs share, all known ones, or the class.
    """
    destroyed = dataset.destroyed_by.get(kind, ())
    if dataset.few_labels is not None:
        labelled: tuple[str, ...] = dataset.few_labels.names
    elif isinstance(dataset, AnnotatedDataset):
        labelled = dataset.held if isinstance(dataset, PairDataset) else dataset.factor_names
    else:
        labelled = (CLASS,) if dataset.labels is not None else ()
    return tuple(name for name in labelled if name in destroyed)


@torch.no_grad()
def is_colourless(dataset: ImageDataset) -> bool:
    """Whether no image has a colour, by an even sample: one channel, or channels that are all alike.

    >>> from contrafact.data.load import load_dataset
    >>> is_colourless(load_dataset("shapes3d", size=16)), is_colourless(load_dataset("dsprites"))
    (False, True)
    """
    if dataset.image_shape[0] < 3:
        return True
    sampled = np.linspace(0, len(dataset) - 1, min(len(dataset), _COLOUR_SAMPLE)).astype(np.int64)
    for rows in np.array_split(sampled, max(1, len(sampled) // 32)):  # colour is mostly found in the first few
        colours = dataset.batch(rows)[:, :3]
        if (colours.amax(dim=1) - colours.amin(dim=1)).max() > _LEAST_COLOUR:
            return False
    return True


def choose_kinds(
    dataset: ImageDataset, asked: str = "auto", usual: Sequence[str] = ("crop", "flip", "light", "color", "grayscale")
) -> tuple[str, ...]:
    """The kinds of change that views of this dataset are made with.

    Args:
        dataset: whose images.
        asked: ``auto``: the ``usual`` ones that destroy no labelled factor; ``none``; or kinds separated by commas. One
            that destroys a labelled factor is then used all the same, with a warning that names both. A warning also
            says when the images have colour channels but no colour, so that views of colour change nothing.
        usual: a method's own choice.

    Raises:
        ValueError: an unknown kind, or colour asked of grey images.

    >>> from contrafact.data.load import load_dataset
    >>> choose_kinds(load_dataset("shapes3d", size=16))
    ('light',)
    """
    grey = dataset.image_shape[0] == 1
    if asked == "auto":
        chosen = tuple(
            kind for kind in usual if not destroyed_factors(dataset, kind) and not (grey and kind in _NEEDS_COLOR)
        )
        _warn_of_grey(dataset, chosen)
        return chosen
    if asked == "none":
        return ()
    kinds = tuple(part.strip() for part in asked.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(unknown_name_message("augmentation", kind, ("auto", "none", *KINDS)))
        if grey and kind in _NEEDS_COLOR:
            raise ValueError(f"{dataset.name} has grey images, so {kind} views change nothing; leave {kind} out")
        if destroyed := destroyed_factors(dataset, kind):
            warnings.warn(
                f"{kind} views of {dataset.name} destroy a labelled factor: {', '.join(destroyed)}; codes that ignore "
                f"{kind} cannot tell it. Leave {kind} out, or use augmentations=auto",
                stacklevel=2,
            )
    _warn_of_grey(dataset, kinds)
    return kinds


def _warn_of_grey(dataset: ImageDataset, kinds: Sequence[str]) -> None:
    idle = [kind for kind in kinds if kind in _NEEDS_COLOR]
    if idle and is_colourless(dataset):
        warnings.warn(
            f"the images of {dataset.name} are grey, so its {' and '.join(idle)} views change nothing, and a contrast "
            "that relies on them is weak",
            stacklevel=3,
        )


class Views:
    """Makes one random view of each image of a batch.

    Args:
        kinds: what to change, see :func:`choose_kinds`.
        settings: how far.

    Raises:
        ValueError: an unknown kind, or a setting out of range.
    """

    def __init__(self, kinds: Sequence[str], settings: ViewSettings = MOCO) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(unknown_name_message("augmentation", kind, KINDS))
        low, high = settings.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale must satisfy 0 < smallest ≤ largest ≤ 1, got {settings.crop_scale}")
        self.kinds, self.settings = tuple(kinds), settings

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """A view ``(N, C, H, W)`` of each of the images ``(N, C, H, W)`` in [0, 1]; every draw is made on the CPU."""
        if "crop" in self.kinds or "flip" in self.kinds:
            images = self._resample(images, rng)
        if {"light", "color", "grayscale"} & set(self.kinds):
            opacity = images[:, 3:]  # has no colour
            images = self._recolor(images[:, :3], rng)
            images = torch.cat([images, opacity], dim=1) if opacity.shape[1] else images
        if "blur" in self.kinds:
            images = self._blur(images, rng)
        return images

    def _resample(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Crop and flip in one bilinear resampling."""
        n, settings = len(images), self.settings
        matrix = torch.zeros(n, 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = 1.0
        if "crop" in self.kinds:
            area, ratio = _uniform(n, settings.crop_scale, rng), _uniform(n, _logs(settings.crop_ratio), rng).exp()
            # In units of the image; a crop wider or taller than the image is cut to it.
            width, height = (area * ratio).sqrt().clamp_max(1.0), (area / ratio).sqrt().clamp_max(1.0)
            matrix[:, 0, 0], matrix[:, 1, 1] = width, height
            matrix[:, 0, 2] = (1 - width) * _uniform(n, (-1.0, 1.0), rng)
            matrix[:, 1, 2] = (1 - height) * _uniform(n, (-1.0, 1.0), rng)
        if "flip" in self.kinds:
            matrix[:, 0, 0] *= torch.where(torch.rand(n, generator=rng) < settings.flip_probability, -1.0, 1.0)
        grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _recolor(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Brightness, contrast, saturation, hue and grayscale as one affine map of the colours of each image."""
        n, channels, settings = len(images), images.shape[1], self.settings
        gray = torch.tensor(_GRAY) if channels == 3 else torch.ones(1)
        matrix = torch.eye(channels).repeat(n, 1, 1)
        contrast = torch.ones(n)
        jittered = torch.rand(n, generator=rng) < settings.jitter_probability
        if "light" in self.kinds:
            brightness = _jitter(n, settings.brightness, jittered, rng)
            contrast = _jitter(n, settings.contrast, jittered, rng)
            matrix = brightness[:, None, None] * matrix
        if "color" in self.kinds:
            saturation = _jitter(n, settings.saturation, jittered, rng)[:, None, None]
            matrix = torch.lerp(gray.expand(channels, -1), torch.eye(channels), saturation) @ matrix
            turn = torch.where(jittered, _uniform(n, (-settings.hue, settings.hue), rng), 0.0)
            matrix = hue_matrix(turn) @ matrix
        if "grayscale" in self.kinds:
            colourless = torch.rand(n, generator=rng) < settings.grayscale_probability
            matrix = torch.where(colourless[:, None, None], gray.expand(channels, -1) @ matrix, matrix)
        matrix, gray, contrast = (x.to(images.device) for x in (matrix, gray, contrast))
        # Contrast moves colours away from the image's own mean grey, after all else.
        mean = torch.einsum("c,ncd,nd->n", gray, matrix, images.mean(dim=(2, 3)))
        contrast = contrast[:, None, None]
        recolored = torch.baddbmm((1 - contrast) * mean[:, None, None], contrast * matrix, images.flatten(2))
        return recolored.clamp_(0.0, 1.0).view(images.shape)

    def _blur(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """A Gaussian blur of some images; the largest kernel spans a tenth of the image."""
        n, side, settings = len(images), min(images.shape[2:]), self.settings
        blurred = (torch.rand(n, generator=rng) < settings.blur_probability).to(images.device)
        sigma = (_uniform(n, settings.blur_sigma, rng) * side / 224).clamp_min(1e-3).to(images.device)
        kernel = max(3, 2 * round(side / 20) + 1)
        return torch.where(blurred[:, None, None, None], gaussian_blur(images, sigma, kernel), images)


def gaussian_blur(images: Tensor, sigma_N: Tensor, size: int) -> Tensor:
    """Images ``(N, C, H, W)``, each blurred by a Gaussian of its own; mirrored at the border.

    Args:
        images: what to blur; ``size // 2`` must be less than either side.
        sigma_N: standard deviations in pixels.
        size: taps of the kernel, odd.
    """
    n, channels, height, width = images.shape
    at = torch.arange(size, dtype=images.dtype, device=images.device) - size // 2
    taps_NT = torch.softmax(-at.square() / (2 * sigma_N.to(images.dtype)[:, None].square()), dim=1)
    weight = taps_NT.repeat_interleave(channels, dim=0)[:, None, :, None]
    padded = F.pad(images, (size // 2,) * 4, mode="reflect").reshape(1, n * channels, height + size - 1, -1)
    # One kernel per image and channel, down and across: a group each.
    down = F.conv2d(padded, weight, groups=n * channels)
    across: Tensor = F.conv2d(down, weight.transpose(2, 3), groups=n * channels)
    return across.view(n, channels, height, width)


def hue_matrix(turn_N: Tensor) -> Tensor:
    """Colour matrices ``(N, 3, 3)`` that turn the hue by a share of the circle and keep the luma (YIQ rotations)."""
    to_yiq = torch.tensor(_TO_YIQ)
    cosine, sine = (2 * math.pi * turn_N).cos(), (2 * math.pi * turn_N).sin()
    rotation = torch.zeros(len(turn_N), 3, 3)
    rotation[:, 0, 0] = 1.0
    rotation[:, 1, 1] = rotation[:, 2, 2] = cosine
    rotation[:, 1, 2], rotation[:, 2, 1] = -sine, sine
    matrix: Tensor = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return matrix


def _uniform(n: int, bounds: tuple[float, float], rng: torch.Generator) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(n, generator=rng)


def _logs(bounds: tuple[float, float]) -> tuple[float, float]:
    return math.log(bounds[0]), math.log(bounds[1])


def _jitter(n: int, strength: float, jittered: Tensor, rng: torch.Generator) -> Tensor:
    """Factors uniform in 1 ± strength (never negative) for the jittered images, 1 for the others."""
    factor = _uniform(n, (max(0.0, 1 - strength), 1 + strength), rng)
    return torch.where(jittered, factor, 1.0)
