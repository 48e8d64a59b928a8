"""Adaptive discriminator augmentation: the discriminator sees transformed images, so that few of them last longer.

Training Generative Adversarial Networks with Limited Data (StyleGAN2-ADA), Karras, Aittala, Hellsten, Laine, Lehtinen &
Aila, NeurIPS 2020, https://arxiv.org/abs/2006.06676: the blit, geometric and colour transformations of Appendix B (its
``bgc`` setting), each applied with the probability p, composed into one resampling and one colour matrix per image.
Everything is differentiable twice in the images, as R1 needs. Images are −1 to 1.

Shape suffixes: N images, C channels, H, W sides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filter of the wavelet sym6: resampling through twice the resolution with it hardly blurs."""
_MARGIN = len(SYM6) // 4

SCALE_STD, ANISOTROPY_STD, SHIFT_STD, SHIFT_MAX = 0.2, 0.2, 0.125, 0.125
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0


class AdaptiveAugmentation(nn.Module):
    """Augmentation whose probability follows the discriminator's overfitting.

    Overfitting is E[sign(score)] on real images: at 0 the discriminator tells nothing, at 1 it knows them by heart.

    Args:
        target: the sign's mean at which the probability stays.
        images: images over which the probability can go from 0 to 1.
        every: batches between its changes.
        probability: its first value.

    Attributes:
        probability: p, a scalar.
    """

    probability: Tensor
    signs: Tensor
    seen: Tensor

    def __init__(self, target: float = 0.6, images: float = 500_000, every: int = 4, probability: float = 0.0) -> None:
        super().__init__()
        if not -1.0 <= target <= 1.0 or not 0.0 <= probability <= 1.0 or not images > 0:
            raise ValueError(
                f"expected a target in [-1, 1], a probability in [0, 1] and a positive number of images; got {target}, "
                f"{probability} and {images}"
            )
        self.target, self.images, self.every = target, images, every
        self.register_buffer("probability", torch.tensor(float(probability)))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Augmented images ``(N, C, H, W)``; transformations are drawn from ``rng``, on the CPU."""
        return augment(images, float(self.probability), rng)

    @torch.no_grad()
    def adapt(self, sign: Tensor, batch_size: int) -> None:
        """Move the probability by one batch's mean sign of the scores of real images."""
        self.signs += sign
        self.seen += 1
        if int(self.seen) % self.every == 0:
            move = torch.sign(self.signs / self.every - self.target) * batch_size * self.every / self.images
            self.probability.copy_((self.probability + move).clamp(0, 1))
            self.signs.zero_()


def augment(images: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Images ``(N, C, H, W)``, each of them transformed; unchanged at probability 0.

    Raises:
        ValueError: neither 1 nor 3 channels: there is no hue to turn.
    """
    n, channels, height, width = images.shape
    if channels not in (1, 3):
        raise ValueError(f"augmentation knows grey images and colour ones of 3 channels, got {channels} channels")
    if probability <= 0:
        return images
    moved = resample(images, draw_geometry(n, height, width, probability, rng).to(images.device))
    return recolor(moved, draw_colors(n, probability, rng).to(images.device))


def draw_geometry(n: int, height: int, width: int, p: float, rng: torch.Generator) -> Tensor:
    """Matrices ``(n, 3, 3)`` from a pixel's place in the result to its place in the image, both from the centre."""

    def chance(neutral: float, value: Tensor, probability: float = p) -> Tensor:
        chosen = torch.rand(n, generator=rng) < probability
        return torch.where(chosen.view(-1, *[1] * (value.ndim - 1)), value, torch.full_like(value, neutral))

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=rng)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(n, *shape, generator=rng) - 1

    side = torch.tensor([width, height])
    # Either of two rotations happens with probability p.
    either = 1 - math.sqrt(1 - p)
    flip = chance(1.0, torch.randint(2, (n,), generator=rng) * 2.0 - 1)
    quarter = chance(0.0, torch.randint(4, (n,), generator=rng) * (math.pi / 2))
    whole_shift = chance(0.0, (uniform(2) * SHIFT_MAX * side).round())
    scale = chance(1.0, torch.exp2(normal() * SCALE_STD))
    before = chance(0.0, uniform() * math.pi, either)
    stretch = chance(1.0, torch.exp2(normal() * ANISOTROPY_STD))
    after = chance(0.0, uniform() * math.pi, either)
    shift = chance(0.0, normal(2) * SHIFT_STD * side)
    ones = torch.ones(n)
    return (
        _scaling(flip, ones) @ _rotation(quarter) @ _translation(-whole_shift) @ _scaling(1 / scale, 1 / scale)
        @ _rotation(before) @ _scaling(1 / stretch, stretch) @ _rotation(after) @ _translation(-shift)
    )  # fmt: skip


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=-1))


def _rotation(angle: Tensor) -> Tensor:
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _translation(shift: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix


def resample(images: Tensor, place: Tensor) -> Tensor:
    """Images moved by one affine map each: reflected at the borders, at twice the resolution to keep them sharp.

    Args:
        images: ``(N, C, H, W)``.
        place: ``(N, 3, 3)``, as :func:`draw_geometry` gives them, in pixels.
    """
    n, channels, height, width = images.shape
    device = images.device
    corner = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=device)
    signs = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]], device=device)
    corners = place[:, :2, :2] @ (signs * corner[:, None]) + place[:, :2, 2:]
    low, high = -corners.amin(dim=(0, 2)), corners.amax(dim=(0, 2))
    most = torch.tensor([width - 1, height - 1], device=device)
    left, top, right, bottom = (
        int(m) for side in (low, high) for m in (side + 2 * _MARGIN - corner).clamp_min(0).minimum(most).ceil()
    )
    padded = F.pad(images, (left, right, top, bottom), mode="reflect")
    wide, tall = padded.shape[3], padded.shape[2]

    taps = torch.tensor(SYM6, device=device, dtype=images.dtype)
    taps = taps / taps.sum()
    fine = padded.reshape(n * channels, 1, tall, wide)
    fine = F.conv_transpose2d(fine, 2 * taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, 5))
    fine = F.conv_transpose2d(fine, 2 * taps.view(1, 1, -1, 1), stride=(2, 1), padding=(5, 0))
    fine = fine.view(n, channels, 2 * tall, 2 * wide)

    # Places from the padded image's centre, in pixels; at twice the resolution, samples lie half a fine pixel aside.
    shifted = place.clone()
    shifted[:, :2, 2] += torch.tensor([(left - right) / 2, (top - bottom) / 2], device=device)
    shifted[:, :2, 2] += 0.25 * shifted[:, :2, :2].sum(dim=2) - 0.25
    result = ((height + 2 * _MARGIN), (width + 2 * _MARGIN))
    unit = _scaling(torch.tensor(2.0 / wide), torch.tensor(2.0 / tall)).to(device)
    pixel = _scaling(torch.tensor(result[1] / 2), torch.tensor(result[0] / 2)).to(device)
    theta = (unit @ shifted @ pixel)[:, :2]
    grid = F.affine_grid(theta, [n, channels, 2 * result[0], 2 * result[1]], align_corners=False)
    fine = _sample(fine, grid.to(images.dtype))[:, :, 1:-1, 1:-1]

    fine = fine.reshape(n * channels, 1, *fine.shape[2:])
    coarse = F.conv2d(F.conv2d(fine, taps.view(1, 1, 1, -1), stride=(1, 2)), taps.view(1, 1, -1, 1), stride=(2, 1))
    return coarse.view(n, channels, height, width)


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    sampled: Tensor = _Sample.apply(images, grid)  # type: ignore[no-untyped-call]
    return sampled


class _Sample(torch.autograd.Function):
    """Bilinear ``grid_sample``, differentiable twice in the images: torch's own is only once."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], grid, ctx.shape), None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The transpose of :class:`_Sample`, which is linear in the images; so its own transpose is ``_Sample`` again."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        blank = gradient.new_zeros(shape)
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient.contiguous(), blank, grid, 0, 0, False, [True, False]
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _sample(gradients[0], grid), None, None


def draw_colors(n: int, p: float, rng: torch.Generator) -> Tensor:
    """Matrices ``(n, 4, 4)`` that take a colour (red, green, blue, 1) to another."""

    def chance(neutral: float, value: Tensor) -> Tensor:
        return torch.where(torch.rand(n, generator=rng) < p, value, torch.full_like(value, neutral))

    brightness = chance(0.0, torch.randn(n, generator=rng) * BRIGHTNESS_STD)
    contrast = chance(1.0, torch.exp2(torch.randn(n, generator=rng) * CONTRAST_STD))
    flip = chance(0.0, torch.randint(2, (n,), generator=rng).float())
    hue = chance(0.0, (2 * torch.rand(n, generator=rng) - 1) * math.pi)
    saturation = chance(1.0, torch.exp2(torch.randn(n, generator=rng) * SATURATION_STD))
    return color_matrices(brightness, contrast, flip, hue, saturation)


def color_matrices(brightness: Tensor, contrast: Tensor, flip: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Matrices ``(N, 4, 4)``: brighten, scale about grey, mirror the luma where ``flip`` is 1, turn about the luma axis
    and scale the distance from it, in this order. Every argument is ``(N,)``."""
    grey = torch.full((3, 3), 1 / 3)
    rest = torch.eye(3) - grey
    root = 1 / math.sqrt(3)
    across = root * torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    mirror = torch.eye(3) - 2 * flip[:, None, None] * grey
    turn = grey + cos * rest + sin * across
    linear = (grey + saturation[:, None, None] * rest) @ turn @ mirror * contrast[:, None, None]
    matrices = torch.eye(4).repeat(len(hue), 1, 1)
    matrices[:, :3, :3] = linear
    matrices[:, :3, 3] = linear.sum(dim=2) * brightness[:, None]
    return matrices


def recolor(images: Tensor, matrices: Tensor) -> Tensor:
    """Images ``(N, C, H, W)`` with every colour mapped by its image's matrix ``(N, 4, 4)``; grey stays grey."""
    linear, offset = matrices[:, :3, :3], matrices[:, :3, 3]
    if images.shape[1] == 1:
        linear, offset = linear.sum(dim=2).mean(dim=1)[:, None, None], offset.mean(dim=1)[:, None]
    return (linear @ images.flatten(2) + offset[:, :, None]).view_as(images)
