"""Joint diagonalisation: directions that different parts of the image answer to, and an encoder that reads them.

Ours, not published. In whitened coordinates of the edit space every response of the image (a pixel, by default) has a
Gram matrix of its derivatives, averaged over many latents. The directions are the orthonormal frame in which all those
matrices are as diagonal as they can be at once, so that each response answers to few of them: joint approximate
diagonalisation, Cardoso & Souloumiac, SIAM J. Matrix Anal. Appl. 17(1), 1996. Two directions that the same responses
answer to alike, such as the two that a hue's circle needs, become one slider. Nothing sees a label.

Related: DeepSpectral (Khrulkov et al. 2021) diagonalises one mean Gram matrix, which leaves directions of equal
strength open; the orthogonal Jacobian penalty (Wei et al. 2021) trains a generator towards a diagonal one; Rolínek,
Zietlow & Martius (2019) show that a VAE's is locally diagonal already. The regressed encoder is Khrulkov et al.'s.

Shape suffixes: N latents, B bases, L latent dimensions, R white dimensions, D sliders, V directions, P responses,
C their channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Layer, Positive, Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.core.settings import Group
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.nn.direction_groups import circles
from contrafact.nn.grouped_encoder import GroupedEncoder
from contrafact.nn.joint_diagonalisation import joint_diagonaliser
from contrafact.nn.responses import RESPONSES, Response, Watch, watch
from contrafact.nn.spectral import oriented
from contrafact.nn.whitening import Whitening, whitening

# Responses that answer less than this share of the strongest one are left out: their Gram matrices are noise.
_FAINT = 0.02
# Images a step's encoder learns from are kept in half precision, in at most this many bytes.
_POOL_BYTES = 1 << 30


@dataclass(frozen=True)
class Frame(Group):
    """How the directions are found."""

    frame: Literal["joint", "axes", "random"] = "joint"
    """joint: the diagonalising frame; controls beside it: the white axes themselves, or a random orthonormal frame."""
    responses: tuple[Response, ...] = ("pixels",)
    """What is watched: pixels, moments of the colours, the spectrum, a random light encoder's outputs; or several."""
    gram: Literal["per_response", "per_base", "both"] = "per_response"
    """A matrix for every response, averaged over bases; or one for every base, summed over responses; or both."""
    find_circles: bool = True
    """Make one slider of two directions that the same responses answer to alike."""
    num_latents: Count = 20_000
    """Latents that whiten the edit space."""
    num_bases: Count = 128
    """Latents at which the responses are differentiated."""
    step: Positive = 0.3
    """Step of the central differences, in standard deviations."""
    max_dimensions: Size = 32
    """White dimensions that are searched: of a larger edit space, those that the image answers to most."""
    restarts: Size = 6
    """Starts of the diagonalisation; the best is kept."""
    images_per_batch: Size = 512
    """Images generated at a time."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""


@dataclass(frozen=True)
class JointDiagonal(Method):
    """The frame that jointly diagonalises the responses' Gram matrices, and an encoder regressed to its coordinates.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> small = {"num_latents": 500, "num_bases": 8, "encoder_images": 64, "steps": 1}
    >>> run = cf.methods.JointDiagonal(**small).fit(scene, "runs/joint-diagonal")
    >>> run.encoder(run.generator(scene.sample(4, seed=0))).shape[1] == run.directions.num_directions
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {},
        "tiny": {"num_latents": 100, "encoder_images": 32},
    }

    num_directions: Size = 16
    """Sliders D to keep at most, those that change the image most."""
    encoder_images: Count = 6000
    """Generated images that the encoder learns from, fewer where they would not fit into a gigabyte."""
    encoder_width: Width = 1.0
    """Multiplies the encoder's channel counts."""
    batch_size: Size = 128
    """Images in a step of the encoder."""
    steps: Steps = 900
    """Steps of the encoder."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate, falling to zero along a cosine."""
    frame_search: Frame = Frame()

    def check_options(self) -> None:
        """Refuse settings that do not go together."""
        if not self.frame_search.responses:
            raise ValueError(f"name at least one response to watch, of {', '.join(RESPONSES)}")

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse layers that the generator does not have, and fewer latents than whiten its space."""
        source.layer_range(self.frame_search.first_layer, self.frame_search.last_layer)
        if self.frame_search.num_latents < 2 * source.latent_dim:
            raise ValueError(
                f"num_latents is {self.frame_search.num_latents}, too few to whiten {source.latent_dim} dimensions; "
                f"ask for at least {2 * source.latent_dim}"
            )

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Find the frame, then regress an encoder to its coordinates."""
        directions, note = self.find(source, run)
        directions.note = note
        return Artefacts(encoder=self._encoder(source, directions, run), directions=directions, generator=source)

    def find(self, source: Generator, run: Run) -> tuple[WhitenedDirections, dict[str, Any]]:
        """The sliders, the strongest first, and what was found on the way."""
        cfg = self.frame_search
        layers = source.layer_range(cfg.first_layer, cfg.last_layer)
        with run.seeded_init("responses"):
            watched = [watch(kind, source.image_shape) for kind in cfg.responses]
        latents = source.sample(cfg.num_latents, run.rng("whitening", shared=True))
        white = whitening(latents)
        bases = source.sample(cfg.num_bases, run.rng("bases", shared=True))
        if len(white.axes_RL) > cfg.max_dimensions:
            frame = answering(source, white, watched, bases, cfg.max_dimensions, layers, run.rng("probes", shared=True))
            white = white.turned(frame)
        grams = gram_matrices(source, white, watched, bases, cfg.step, layers, cfg.images_per_batch)
        frame_VR, note = self._frame(grams, run)
        energy_V = sum((profile.sum(dim=0) for profile in grams.profiles(frame_VR)), start=torch.zeros(len(frame_VR)))
        frame_VR = frame_VR[energy_V.argsort(descending=True)]
        white = white.turned(oriented(frame_VR))
        groups = [[v] for v in range(len(frame_VR))]
        if cfg.find_circles:
            profiles_PV = grams.profiles(frame_VR)[0]
            groups = circles(profiles_PV, white.coordinates(latents), run.rng("rings", shared=True))
        groups = groups[: self.num_directions]
        kept = [v for group in groups for v in group]
        renumbered = [[kept.index(v) for v in group] for group in groups]
        directions = WhitenedDirections.of(
            white.axes_RL[kept], white.dual_RL[kept], white.center_L, renumbered, None, layers, source.num_layers
        )
        return directions.to(run.device), note

    def _frame(self, grams: Grams, run: Run) -> tuple[Tensor, dict[str, Any]]:
        side = grams.per_base_BRR[0].shape[-1]
        rng = run.numpy_rng("frame", shared=True)
        cfg = self.frame_search
        if cfg.frame == "axes":
            return torch.eye(side, dtype=torch.double), {}
        if cfg.frame == "random":
            return torch.from_numpy(np.linalg.qr(rng.standard_normal((side, side)))[0]), {}
        found = joint_diagonaliser(grams.matrices(cfg.gram).numpy(), rng, cfg.restarts)
        return torch.from_numpy(found.frame_RR), {"diagonal_share": found.share, "sweeps": found.sweeps}

    def _encoder(self, source: Generator, directions: WhitenedDirections, run: Run) -> GroupedEncoder:
        """An encoder of the coordinates, learned from a pool of generated images."""
        channels, height, width = source.image_shape
        count = max(1, min(self.encoder_images, _POOL_BYTES // (2 * channels * height * width)))
        latents, images = source.sample(count, run.rng("pool")), []
        with torch.no_grad(), run.autocast():
            for batch in latents.split(self.frame_search.images_per_batch):
                images.append(source(batch).clamp(0, 1).half())
        pool, targets = torch.cat(images), directions.coordinates(latents)
        with run.seeded_init("encoder"):
            encoder = GroupedEncoder(source.image_shape, directions.groups, self.encoder_width).to(run.device)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        rng = run.rng("batches")
        state = {"encoder": encoder, "optimizer": optimizer, "schedule": schedule, "rng": rng}
        for _ in run.steps(self.steps, state, "encoder"):
            chosen = torch.randint(count, (self.batch_size,), generator=rng).to(run.device)
            with run.autocast():
                found = encoder.coordinates(pool[chosen].float())
            loss = F.smooth_l1_loss(found.float(), targets[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            run.average_gradients(encoder.parameters())
            optimizer.step()
            schedule.step()
            run.log(loss=loss)
        return encoder


class Grams(NamedTuple):
    """Gram matrices of the responses' derivatives along white axes, on the CPU in float64.

    Attributes:
        per_response_PRR: for every kind of response, a matrix for each, averaged over bases and channels.
        per_base_BRR: for every kind, one for each base, summed over responses, each counted in its own deviation.
    """

    per_response_PRR: list[Tensor]
    per_base_BRR: list[Tensor]

    def matrices(self, kind: Literal["per_response", "per_base", "both"]) -> Tensor:
        """All that are to be diagonalised ``(K, R, R)``; every kind of response weighs the same."""
        chosen = [] if kind == "per_base" else [*self.per_response_PRR]
        chosen += [] if kind == "per_response" else [*self.per_base_BRR]
        return torch.cat([_weighted(matrices) for matrices in chosen])

    def profiles(self, frame_VR: Tensor) -> list[Tensor]:
        """For every kind, how strongly each response answers to each direction ``(P, V)``: shares of the whole."""
        found = [torch.einsum("vr,prs,vs->pv", frame_VR, each, frame_VR) for each in self.per_response_PRR]
        return [profile / profile.sum().clamp_min(1e-30) for profile in found]


def _weighted(matrices_KRR: Tensor) -> Tensor:
    """Matrices of trace 1, each times the root of its weight √trace; the faint ones left out, weights summing to 1."""
    trace_K = torch.einsum("krr->k", matrices_KRR)
    heard = trace_K > _FAINT * trace_K.max()
    weight_K = trace_K[heard].sqrt()
    weight_K = weight_K / weight_K.sum()
    weighted: Tensor = matrices_KRR[heard] * (weight_K.sqrt() / trace_K[heard])[:, None, None]
    return weighted


@torch.no_grad()
def gram_matrices(
    source: Generator,
    white: Whitening,
    watched: list[Watch],
    bases_BL: Tensor,
    step: float,
    layers: tuple[int, int] | None = None,
    images_per_batch: int = 512,
) -> Grams:
    """Gram matrices of the responses' derivatives, by central differences along the white axes, a few bases at a time.

    Args:
        source: the frozen generator.
        white: the axes.
        watched: responses, as of :func:`~contrafact.nn.responses.watch`.
        bases_BL: where to differentiate.
        step: of the differences, in standard deviations.
        layers: layers that the step acts on; None for all.
        images_per_batch: images at a time, at least those of one base.
    """
    axes, rank = white.axes_RL, len(white.axes_RL)
    spreads = _spreads(source, watched, bases_BL, images_per_batch)
    sums: list[Tensor | None] = [None] * len(watched)
    per_base: list[list[Tensor]] = [[] for _ in watched]
    # A base is 2·R images: the axes are split where those are too many.
    for batch in bases_BL.split(max(1, images_per_batch // (2 * rank))):
        ahead, back = (
            _answers(source, watched, _moved(source, batch, sign * step * axes, layers), images_per_batch)
            for sign in (1.0, -1.0)
        )
        for number, (plus, minus) in enumerate(zip(ahead, back, strict=True)):
            slope_BRPC = ((plus - minus) / (2 * step)).unflatten(0, (len(batch), rank)).double()
            gram_PRR = torch.einsum("brpc,bspc->prs", slope_BRPC, slope_BRPC).cpu()
            done = sums[number]
            sums[number] = gram_PRR if done is None else done + gram_PRR
            flat_BRF = (slope_BRPC / spreads[number]).flatten(2)
            per_base[number].append((flat_BRF @ flat_BRF.transpose(1, 2)).cpu())
    return Grams([total / len(bases_BL) for total in sums if total is not None], [torch.cat(each) for each in per_base])


def _moved(source: Generator, bases_BL: Tensor, steps_RL: Tensor, layers: tuple[int, int] | None) -> Tensor:
    """Every base moved by every step ``(B·R, L)``, or ``(B·R, K, L)`` where only some layers move."""
    shift = steps_RL.repeat(len(bases_BL), 1)
    base = bases_BL.repeat_interleave(len(steps_RL), dim=0)
    if layers is None:
        return base + shift
    mask = torch.zeros(source.num_layers, 1, dtype=base.dtype, device=base.device)
    mask[slice(*layers)] = 1.0
    return base[:, None] + mask * shift[:, None]


def _answers(source: Generator, watched: list[Watch], latents: Tensor, images_per_batch: int) -> list[Tensor]:
    """What each kind of response says of the images of latents, ``(N, P, C)``."""
    parts: list[list[Tensor]] = [[] for _ in watched]
    for batch in latents.split(images_per_batch):
        images = source(batch).float()
        for part, response in zip(parts, watched, strict=True):
            part.append(response(images))
    return [torch.cat(part) for part in parts]


def _spreads(source: Generator, watched: list[Watch], bases_BL: Tensor, images_per_batch: int) -> list[Tensor]:
    """Standard deviation of every response over the bases ``(P, C)``; those that hardly vary count no more for it."""
    found = [answers.double().std(dim=0) for answers in _answers(source, watched, bases_BL, images_per_batch)]
    return [spread.clamp_min(1e-2 * float(spread.max()) + 1e-12) for spread in found]


def answering(
    source: Generator,
    white: Whitening,
    watched: list[Watch],
    bases_BL: Tensor,
    count: int,
    layers: tuple[int, int] | None,
    rng: torch.Generator,
) -> Tensor:
    """Orthonormal white directions ``(count, R)`` that the responses answer to most, from one backward pass a base.

    The gradient of a random projection of all responses has the mean JᵀJ as its second moment, so the leading
    eigenvectors of the gradients' are estimated with as many passes as there are bases, however large the space.
    """
    bases = bases_BL if len(bases_BL) >= 4 * count else bases_BL.repeat(-(-4 * count // len(bases_BL)), 1)
    gradients = []
    for batch in bases.split(16):
        shift = torch.zeros(len(batch), len(white.axes_RL), dtype=batch.dtype, device=batch.device, requires_grad=True)
        moved = torch.cat(
            [_moved(source, b[None], (s @ white.axes_RL)[None], layers) for b, s in zip(batch, shift, strict=True)]
        )
        images, projected = source(moved).float(), torch.zeros((), device=batch.device)
        for response in watched:
            answers = response(images)
            probe = torch.randn(answers.shape, generator=rng).to(answers.device)
            projected = projected + (answers * probe).sum() / answers.detach().std(dim=0).norm().clamp_min(1e-12)
        gradients.append(torch.autograd.grad(projected, shift)[0].double().cpu())
    gradient_NR = torch.cat(gradients)
    vectors_RR: Tensor = torch.linalg.svd(gradient_NR, full_matrices=False)[2]
    return vectors_RR[:count]
