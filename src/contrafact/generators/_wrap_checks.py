"""What a module must show before it is taken for a generator: that its images are images, and depend on latents alone.

Each check runs the module on a few latents. What fails here would otherwise show as directions that nobody can explain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

_CHANNELS = (1, 3, 4)
_OUTSIDE = 0.1
"""Share of pixels that may lie further than a quarter of the range beyond black and white."""


def first_images(run: Callable[[Tensor], Tensor], latent: Tensor, module: nn.Module, shape: Sequence[int]) -> Tensor:
    """What ``run`` gives for latents; whatever somebody's own code raises says so.

    Args:
        run: latents to images.
        latent: ``(N, L)``.
        module: what ``run`` calls.
        shape: what one latent has by then.

    Raises:
        ValueError: the module fails on them.
    """
    try:
        return run(latent)
    except ValueError:
        raise
    except Exception as error:  # somebody's own code: it may fail in any way
        needed = _needed(module)
        advice = (
            f"it takes {needed} arguments: if the second is a class say num_classes=; else write a small module around "
            "it that takes one latent and splits it"
            if needed > 1
            else "say with latent_shape= what shape one latent has, and give latent_dim as many numbers; or with "
            "num_layers= how many latents it takes, if it takes one for each of its layers"
        )
        raise ValueError(
            f"the module could not be run on latents of shape {(len(latent), *shape)} "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); {advice}"
        ) from error


def _needed(module: nn.Module) -> int:
    """Positional arguments of ``forward`` without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def check_shape(images: Tensor, count: int) -> None:
    """Refuse what is no batch of ``count`` images ``(N, C, H, W)`` (ValueError)."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[0] != count or 0 in shape:
        raise ValueError(f"the module must return images (N, C, H, W); for {count} latents it returned {shape}")
    if shape[1] not in _CHANNELS and shape[3] in _CHANNELS:
        raise ValueError(
            f"the module returned {shape}, which looks like (N, H, W, C): give the channels second, "
            "output=lambda images: images.permute(0, 3, 1, 2)"
        )


def check_finite(images: Tensor) -> None:
    """Refuse NaN and infinity (ValueError)."""
    bad = int((~images.isfinite()).flatten(1).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"the module returned NaN or infinity in {bad} of {len(images)} images; check its weights, and its "
            "precision if it computes in float16"
        )


def check_range(images: Tensor, black: float, white: float, assumed: bool) -> None:
    """Refuse images that plainly do not lie between black and white.

    Args:
        images: what the module returned, not rescaled.
        black: its black.
        white: its white.
        assumed: whether these are the defaults; what somebody says is believed until another usual range is plain.

    Raises:
        ValueError: another range; the message names it.
    """
    low, high = float(images.min()), float(images.max())
    if low == high:
        return
    beyond = (images - (black + white) / 2).abs() > 0.75 * abs(white - black)
    if assumed and low >= -1e-3 and high <= 1 + 1e-3:
        looks = "0 to 1: pass image_range=(0, 1), or image_range=(-1, 1) if they do run from −1 to 1"
    elif float(beyond.double().mean()) <= _OUTSIDE:
        return
    elif low >= -1 and high > 16:
        looks = "0 to 255: pass image_range=(0, 255)"
    elif low < -0.5 and max(-low, high) <= 1 + 1e-3:
        looks = "−1 to 1: pass image_range=(-1, 1)"
    elif not assumed:  # no other usual range: somebody who names one knows it, and an untrained module may leave it
        return
    else:
        looks = "another range: pass image_range=(BLACK, WHITE) with what the module returns for black and for white"
    raise ValueError(
        f"the module's images run from {low:.4g} to {high:.4g}, but image_range is ({black:g}, {white:g}); they look "
        f"like {looks}"
    )


def check_repeats(run: Callable[[Tensor], Tensor], latent: Tensor, images: Tensor, seeded: bool) -> None:
    """Refuse a module that gives one latent two images, or lets the others in its batch have a say.

    Args:
        run: latents to images.
        latent: ``(N, L)``, two or more.
        images: what ``run`` gave for them.
        seeded: whether torch's random numbers were fixed already.

    Raises:
        ValueError: noise inside, or a batch whose latents act on each other.
    """
    span = float(images.max() - images.min())
    allowed = (1e-4 if images.dtype in (torch.float32, torch.float64) else 2e-2) * max(span, 1e-12)
    again = float((run(latent) - images).abs().max())
    if again > allowed:
        noise = (
            "its noise does not come from torch's random numbers, so noise_seed= cannot fix it"
            if seeded
            else "keep it in a buffer, leave it out, or pass noise_seed=0, which gives all latents the same noise"
        )
        raise ValueError(
            f"the module draws noise: the same latents gave images that differ by {again / span:.2g} of their range; "
            f"{noise}"
        )
    alone = float((run(latent[:1]) - images[:1]).abs().max())
    if alone > 10 * allowed:
        raise ValueError(
            f"an image depends on the other latents of its batch: alone it differs by {alone / span:.2g} of the range; "
            "batch normalisation must use stored statistics (track_running_stats=True, trained, module.eval()), and "
            "nothing may be taken over the batch"
        )


def is_scale_free(run: Callable[[Tensor], Tensor], latent: Tensor, images: Tensor) -> bool:
    """Whether half as long latents give the same images: the module normalises them, so they cannot be truncated."""
    span = float(images.max() - images.min())
    if not (span > 0 and bool((latent != 0).any())):
        return False
    return float((run(0.5 * latent) - images).abs().max()) < 1e-3 * span
