"""Inversion: the latents whose images are given photographs, so that directions apply to them.

A start per image (an encoder's estimate where there is an encoder, and the nearest of many samples), then gradient
descent on the latent through the frozen generator: all images, and several starts of each, in one batch. The best of a
short descent from every start goes on. In W+ a second descent frees every layer's latent, as in Abdal et al.,
"Image2StyleGAN", ICCV 2019; it begins at the W result and is held near it, because far from W directions stop working.
A generator that says itself which latents are an image's (a diffusion model goes its path back) is asked instead.

Shape suffixes: N images, K starts per image, L latent dimensions, J code dimensions, S samples, C channels, H, W sides.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import check_images
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, images_at_once, sample_latents
from contrafact.core.progress import Progress
from contrafact.core.ranges import Count, Panels, Rate, Seed, Size, Steps, Weight, check_ranges
from contrafact.editing.latents import StoredLatents
from contrafact.editing.photographs import Fit, find_photographs, read_photographs
from contrafact.editing.similarity import Network, Perception, perception, psnr, squared_error

_GLIMPSE = 32
_CENTER_SAMPLES = 4096
_SAMPLES_PER_CODE = 4
_WARM_UP, _EXPLORED = 0.05, 0.2
_GONE_BACK = 8
"""Images whose latents a generator is asked for at once: each may take a second, and somebody looks at the bar."""


@dataclass(frozen=True)
class InversionSettings:
    """How latents are searched.

    Attributes:
        steps: descent steps; W+ takes as many again.
        learning_rate: Adam's, in standard deviations of the latent space.
        per_layer: give every style layer a latent of its own (W+).
        starts: how many starts per image are tried, on a fifth of the steps.
        samples: latents drawn, of which the nearest to each image are its starts; None takes 512, or fewer where images
            are larger than 128 pixels (128 at 256, at least 32).
        pixel_weight: weight of the squared error of pixels.
        perceptual_weight: weight of the perceptual (or gradient) distance.
        prior_weight: pull towards the mean latent, per squared standard deviation: keeps latents where the generator
            was trained.
        layer_weight: pull of every layer's latent towards the mean of all layers.
        batch_size: images searched at once; None takes as many as suit their size and the number of starts.
        seed: of the samples.
    """

    steps: Steps = 400
    learning_rate: Rate = 0.05
    per_layer: bool = False
    starts: Panels = 4
    samples: Count | None = None
    pixel_weight: Weight = 1.0
    perceptual_weight: Weight = 0.1
    prior_weight: Weight = 1e-4
    layer_weight: Weight = 1e-3
    batch_size: Size | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Refuse values out of range (ValueError)."""
        check_ranges(self, spelled=False)
        if not self.pixel_weight + self.perceptual_weight > 0:
            raise ValueError("pixel_weight and perceptual_weight are both 0, so nothing would pull towards the image")


@dataclass(frozen=True)
class Inversion:
    """Latents found for images.

    Attributes:
        latents: ``(N, L)``, or ``(N, num_layers, L)`` in W+; on the CPU.
        images: what the generator makes of them ``(N, C, H, W)``.
        psnr: how near that is to the images, in decibels ``(N,)``.
        distance: name of the perceptual part of the loss.
        note: why it was not LPIPS, empty if it was or was not asked for.
    """

    latents: Tensor
    images: Tensor
    psnr: Tensor
    distance: str
    note: str


@dataclass(frozen=True)
class _LatentStatistics:
    """Mean and standard deviation ``(L,)`` of the edit space's coordinates."""

    mean: Tensor
    deviation: Tensor


class EncoderStart:
    """Latents from an encoder's codes, whatever its codes mean: a linear map fitted on the generator's own images.

    The map is the ridge regression from codes to latents. A regression encoder's codes are latents already; those of
    "DisCo" hold what its directions change, and the map leaves the rest at its mean.

    Args:
        latents: S drawn latents ``(S, L)``.
        codes: the encoder's codes of their images ``(S, J)``.
        ridge: share of the codes' mean variance added to each.
    """

    def __init__(self, latents: Tensor, codes: Tensor, ridge: float = 1e-3) -> None:
        latents_SL, codes_SJ = latents.double(), codes.double()
        self.latent_mean, self.code_mean = latents_SL.mean(dim=0), codes_SJ.mean(dim=0)
        codes_SJ, latents_SL = codes_SJ - self.code_mean, latents_SL - self.latent_mean
        covariance_JJ = codes_SJ.T @ codes_SJ
        damping = ridge * covariance_JJ.diagonal().mean().clamp_min(1e-12)
        eye = torch.eye(len(covariance_JJ), dtype=torch.float64, device=covariance_JJ.device)
        self.map_JL = torch.linalg.solve(covariance_JJ + damping * eye, codes_SJ.T @ latents_SL)

    def __call__(self, codes: Tensor) -> Tensor:
        """Latents ``(N, L)`` of images' codes ``(N, J)``."""
        latents: Tensor = self.latent_mean + (codes.double() - self.code_mean) @ self.map_JL
        return latents.to(codes.dtype)


def invert(
    generator: Generator,
    images: Tensor,
    *,
    encoder: Encoder | None = None,
    settings: InversionSettings | None = None,
    network: Network = "auto",
    progress: bool = True,
) -> Inversion:
    """Search the latents whose images are ``images``.

    Args:
        generator: frozen; a conditional one may be fixed to a class.
        images: ``(N, C, H, W)`` in [0, 1], of the generator's size.
        encoder: an encoder of the generator's images, whatever its codes mean, for a start near the answer.
        settings: how to search.
        network: perceptual part of the loss, see :func:`contrafact.editing.similarity.perception`.
        progress: show a progress bar.

    Raises:
        ValueError: images of another shape or range, W+ of a generator whose layers share one latent, an encoder of
            other images, or an unknown network.
        FloatingPointError: the loss became NaN or infinite.
    """
    settings = settings or InversionSettings()
    check_images(images, generator.image_shape, f"this {type(generator).__name__}")
    if not len(images):
        raise ValueError("there are no images to invert")
    if settings.per_layer and generator.num_layers == 1:
        raise ValueError(
            f"every layer of this {type(generator).__name__} takes the same latent, so there is no W+; leave out "
            "per_layer"
        )
    known = _known(generator, images, settings, progress)
    if known is not None:
        return known
    device = generator.device
    encoder = None if encoder is None else encoder.to(device).eval()
    seen = perception(network, device)
    rng = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        count = settings.samples or max(32, min(512, 2**23 // math.prod(generator.image_shape[1:])))
        drawn = sample_latents(generator, max(count, _CENTER_SAMPLES), rng)
        statistics = _LatentStatistics(drawn.mean(dim=0), drawn.std(dim=0).clamp_min(1e-6))
    pool = _Pool(generator, statistics.mean, drawn, count, encoder, progress)
    phases = 2 if settings.per_layer else 1
    # A descent keeps every layer's activations, and tries several starts of each image.
    suitable = max(1, images_at_once(generator) // (4 * settings.starts))
    batches = images.split(suitable if settings.batch_size is None else settings.batch_size)
    latents, found = [], []
    with Progress("inverting", phases * settings.steps * len(batches), enabled=progress) as bar:
        for batch in batches:
            targets = batch.to(device)
            starts = pool.starts(targets, settings.starts)
            search = _Search(generator, targets, seen, statistics, settings, bar)
            latent = search.run(starts)
            latents.append(latent)
            with torch.no_grad():
                found.append(generator(latent).float().cpu())
    made = torch.cat(found)
    return Inversion(torch.cat(latents).cpu(), made, psnr(made, images.cpu().float()), seen.name, seen.note)


@torch.no_grad()
def _known(generator: Generator, images: Tensor, settings: InversionSettings, progress: bool) -> Inversion | None:
    """What the architecture itself says of images' latents; None where it says nothing."""
    latents, made = [], []
    with Progress("inverting", len(images), enabled=progress) as bar:
        for part in images.split(settings.batch_size or min(_GONE_BACK, images_at_once(generator))):
            found = generator.image_latents(part.to(generator.device))
            if found is None:
                return None
            if settings.per_layer:
                raise ValueError(
                    f"images of a {type(generator).__name__} are gone back to their latents, which every step shares; "
                    "leave out per_layer"
                )
            latents.append(found.cpu())
            made.append(generator(found).float().cpu())
            bar.advance(len(part))
    again = torch.cat(made)
    note = f"the {type(generator).__name__} was gone back itself; steps, starts and network play no part"
    return Inversion(torch.cat(latents), again, psnr(again, images.cpu().float()), "none", note)


def invert_photographs(
    generator: Generator,
    paths: Sequence[str | Path],
    fit: Fit | None = None,
    encoder: Encoder | None = None,
    settings: InversionSettings | None = None,
    network: Network = "auto",
    background: str = "white",
) -> tuple[StoredLatents, Inversion]:
    """:func:`invert` picture files.

    Args:
        generator: frozen.
        paths: pictures, or folders of them.
        fit: what to do with pictures of another size; None refuses them.
        encoder: for a start near the answer.
        settings: how to search.
        network: perceptual part of the loss.
        background: colour that see-through parts are laid on.

    Returns:
        Latents under the pictures' names, with the pictures as they were fitted, ready to be saved; and the search's
        result.

    Raises:
        ValueError: no pictures, unreadable ones, ones of another size, or as for :func:`invert`.
    """
    settings = settings or InversionSettings()
    files = find_photographs(paths)
    targets = read_photographs(files, generator.image_shape, fit, background)
    found = invert(generator, targets, encoder=encoder, settings=settings, network=network)
    facts: dict[str, object] = {
        "psnr": [round(value, 3) for value in found.psnr.tolist()],
        "distance": found.distance,
        "settings": dataclasses.asdict(settings),
        "pictures": [str(file) for file in files],
    }
    return StoredLatents.of(generator, found.latents, [file.stem for file in files], targets, facts), found


class _Pool:
    """Images of drawn latents, seen once: starts near to any photograph are found among them, or by the encoder."""

    @torch.no_grad()
    def __init__(
        self,
        generator: Generator,
        mean: Tensor,
        drawn: Tensor,
        count: int,
        encoder: Encoder | None,
        progress: bool,
    ) -> None:
        if encoder is not None and tuple(encoder.image_shape) != tuple(generator.image_shape):
            raise ValueError(
                f"the encoder takes images {tuple(encoder.image_shape)}, the generator makes "
                f"{tuple(generator.image_shape)}; use one that was trained on this generator's images"
            )
        self.encoder = encoder
        # A map from J codes needs a good many more samples than J.
        count = count if encoder is None else max(count, _SAMPLES_PER_CODE * encoder.code_dim)
        self.latents = torch.cat((mean[None], drawn[:count]))
        thumbnails, codes = [], []
        with Progress("drawing starts", len(self.latents), enabled=progress) as bar:
            for part in self.latents.split(images_at_once(generator)):
                images = generator(part).float()
                thumbnails.append(_thumbnails(images))
                if encoder is not None:
                    codes.append(self._codes(images))
                bar.advance(len(part))
        self.thumbnails = torch.cat(thumbnails)
        self.estimate = EncoderStart(self.latents, torch.cat(codes)) if codes else None

    def _codes(self, images: Tensor) -> Tensor:
        assert self.encoder is not None
        codes: Tensor = self.encoder(images.clamp(0, 1))
        return codes.float()

    @torch.no_grad()
    def starts(self, targets: Tensor, count: int) -> Tensor:
        """``(N, K, L)``: the encoder's estimate, where there is an encoder, then the nearest of the pool."""
        distances = torch.cdist(_thumbnails(targets), self.thumbnails)
        nearest = self.latents[distances.topk(min(count, len(self.latents)), largest=False).indices]
        if self.estimate is None:
            return nearest
        return torch.cat((self.estimate(self._codes(targets))[:, None], nearest[:, : max(0, count - 1)]), dim=1)


def _thumbnails(images: Tensor) -> Tensor:
    """Vectors of at most 32×32 averaged pixels."""
    height, width = (min(_GLIMPSE, side) for side in images.shape[-2:])
    return F.adaptive_avg_pool2d(images.float(), (height, width)).flatten(1)


class _Search:
    """Descent of one batch of images' latents."""

    def __init__(
        self,
        generator: Generator,
        targets: Tensor,
        seen: Perception,
        statistics: _LatentStatistics,
        settings: InversionSettings,
        bar: Progress,
    ) -> None:
        self.generator, self.targets, self.seen = generator, targets, seen
        self.statistics, self.settings, self.bar = statistics, settings, bar

    def run(self, starts_NKL: Tensor) -> Tensor:
        """The best latents ``(N, L)``, or ``(N, num_layers, L)`` in W+."""
        n, k = starts_NKL.shape[:2]
        steps = self.settings.steps
        explored = 0 if k == 1 else max(1, round(_EXPLORED * steps))
        latent = starts_NKL[:, 0]
        if explored:
            targets = self.targets.repeat_interleave(k, dim=0)
            tried, losses = self._descend(starts_NKL.flatten(0, 1), targets, explored)
            best = losses.unflatten(0, (n, k)).argmin(dim=1)
            latent = tried.unflatten(0, (n, k))[torch.arange(n, device=best.device), best]
        if steps > explored:
            latent, _ = self._descend(latent, self.targets, steps - explored)
        if not self.settings.per_layer:
            return latent
        layered = latent[:, None].repeat(1, self.generator.num_layers, 1)
        return self._descend(layered, self.targets, steps)[0]

    def _descend(self, start: Tensor, targets: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Adam from ``start``; the best latents on the way and their losses ``(rows,)``."""
        # In standard deviations: one learning rate then suits every coordinate of every latent space.
        offset = torch.zeros_like(start).requires_grad_()
        optimizer = torch.optim.Adam([offset], lr=self.settings.learning_rate)
        best, lowest = start.clone(), torch.full((len(start),), math.inf, device=start.device)
        for step in range(steps + 1):
            latent = start + self.statistics.deviation * offset
            loss = self._loss(latent, targets)
            with torch.no_grad():
                better = loss < lowest
                best = torch.where(better.view(-1, *[1] * (start.ndim - 1)), latent, best)
                lowest = torch.where(better, loss, lowest)
            if step == steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * _pace(step / steps)
            # Of the sum, so that no image's steps depend on how many others there are.
            offset.grad = torch.autograd.grad(loss.sum(), offset)[0]
            optimizer.step()
            self.bar.advance()
        if not torch.isfinite(lowest).all():
            raise FloatingPointError("the loss became NaN or infinite; try a lower learning rate")
        self.bar.show({"loss": float(lowest.mean())})
        return best, lowest

    def _loss(self, latent: Tensor, targets: Tensor) -> Tensor:
        settings = self.settings
        images = self.generator(latent).float()
        loss = settings.pixel_weight * squared_error(images, targets)
        if self.seen.distance is not None:
            loss = loss + settings.perceptual_weight * self.seen.distance(images, targets)
        mean, deviation = self.statistics.mean, self.statistics.deviation
        loss = loss + settings.prior_weight * ((latent - mean) / deviation).square().flatten(1).mean(dim=1)
        if latent.ndim == 3:
            apart = (latent - latent.mean(dim=1, keepdim=True)) / deviation
            loss = loss + settings.layer_weight * apart.square().flatten(1).mean(dim=1)
        return loss


def _pace(progress: float) -> float:
    """Share of the learning rate: a short ramp up, then half a cosine down to 0."""
    return min(1.0, (progress + 1e-3) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * progress))
