"""The frame of a whitened edit space that jointly diagonalises responses' Gram matrices: where a method may start.

What it is and whose: :mod:`contrafact.methods.joint_diagonal`.

Shape suffixes: B bases, L latent dimensions, R white dimensions, V directions, K matrices, P responses, C their
channels, F their entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from contrafact.core.generator import Generator, images_at_once
from contrafact.core.ranges import Count, Layer, Positive, Size
from contrafact.core.run import Run
from contrafact.core.settings import Group
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.nn.direction_groups import circles
from contrafact.nn.joint_diagonalisation import joint_diagonaliser
from contrafact.nn.responses import Response, Watch, watch
from contrafact.nn.spectral import oriented
from contrafact.nn.whitening import Whitening, whitening
from contrafact.training.piecewise import in_pieces
from contrafact.training.step_memory import graph_bytes, refuse_too_much

GramKind = Literal["per_response", "per_base", "both"]
CANDIDATES: tuple[Response, ...] = ("pixels", "moments", "spectrum")
"""What is chosen from. A random encoder is no candidate: its outputs mix everything, so any frame looks good to it."""
# Responses that answer less than this share of the strongest one are left out: their Gram matrices are noise.
_FAINT = 0.02
# Latents whose images' responses are brought to one scale, when the dimensions that are answered to are chosen.
_BASES_AT_ONCE = 16


def _uncounted(images: int) -> None:
    """Nobody asked how far it is."""


@dataclass(frozen=True)
class Frame(Group):
    """How the directions are found."""

    frame: Literal["joint", "axes", "random"] = "joint"
    """joint: the diagonalising frame; controls beside it: the white axes themselves, or a random orthonormal frame."""
    responses: tuple[Response, ...] = ()
    """What is watched: pixels, moments of the colours, the spectrum, a random light encoder's outputs; or several.
    Empty: that of the first three whose frame diagonalises it best at latents that the frame was not found at."""
    gram: GramKind = "per_response"
    """A matrix for every response, averaged over bases; or one for every base, summed over responses; or both."""
    find_circles: bool = True
    """Make one slider of two directions that the same responses answer to alike."""
    num_latents: Count = 20_000
    """Latents that whiten the edit space."""
    num_bases: Count = 256
    """Latents at which the responses are differentiated."""
    step: Positive = 0.3
    """Step of the central differences, in standard deviations."""
    max_dimensions: Size = 32
    """White dimensions that are searched: of a larger edit space, those that the image answers to most."""
    restarts: Size = 6
    """Starts of the diagonalisation; the best is kept."""
    images_per_batch: Size = 512
    """Images generated at a time; fewer above 64 pixels, 32 at 256."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""

    def batch(self, source: Generator) -> int:
        """Images of a generator at a time."""
        return min(self.images_per_batch, 2 * images_at_once(source))


def joint_frame(source: Generator, run: Run, cfg: Frame, num_directions: int) -> WhitenedDirections:
    """The sliders, the strongest first; their note says what was found on the way.

    Args:
        source: the frozen generator, on the run's device.
        run: supplies the seed.
        cfg: how to search.
        num_directions: sliders to keep at most.
    """
    layers = source.layer_range(cfg.first_layer, cfg.last_layer)
    with run.seeded_init("responses"):
        # Pixels are always watched: circles and the order of the sliders are theirs to tell.
        kinds = [*dict.fromkeys(("pixels", *(cfg.responses or CANDIDATES)))]
        watched = [watch(kind, source.image_shape) for kind in kinds]
    latents = source.sample(cfg.num_latents, run.rng("whitening", shared=True))
    white = whitening(latents)
    bases = source.sample(cfg.num_bases, run.rng("bases", shared=True))
    rank = min(len(white.axes_RL), cfg.max_dimensions)
    if len(white.axes_RL) > rank:
        with run.progress("choosing dimensions", len(_repeated(bases, rank))) as bar:
            probes = run.rng("probes", shared=True)
            found = answering(source, white, watched, bases, rank, layers, probes, cfg.batch(source), bar.advance)
        white = white.turned(found)
    with run.progress("differentiating images", len(bases) * (1 + 2 * rank)) as bar:
        grams = gram_matrices(source, white, watched, bases, cfg.step, layers, cfg.batch(source), bar.advance)
    frame_VR, note = _frame_of(dict(zip(kinds, grams, strict=True)), run, cfg)
    pixels = grams[0]
    frame_VR = frame_VR[pixels.profiles(frame_VR).sum(dim=0).argsort(descending=True)]
    white = white.turned(oriented(frame_VR))
    groups = [[v] for v in range(len(frame_VR))]
    if cfg.find_circles:
        groups = circles(pixels.profiles(frame_VR), white.coordinates(latents), run.rng("rings", shared=True))
    groups = groups[:num_directions]
    kept = [v for group in groups for v in group]
    renumbered = [[kept.index(v) for v in group] for group in groups]
    directions = WhitenedDirections.of(
        white.axes_RL[kept], white.dual_RL[kept], white.center_L, renumbered, None, layers, source.num_layers
    )
    directions.note = note
    return directions.to(run.device)


def _frame_of(grams: Mapping[Response, Grams], run: Run, cfg: Frame) -> tuple[Tensor, dict[str, Any]]:
    side = grams["pixels"].per_base_BRR.shape[-1]
    rng = run.numpy_rng("frame", shared=True)
    if cfg.frame == "axes":
        return torch.eye(side, dtype=torch.double), {}
    if cfg.frame == "random":
        return torch.from_numpy(np.linalg.qr(rng.standard_normal((side, side)))[0]), {}
    note: dict[str, Any] = {}
    responses = cfg.responses
    if not responses:
        held_out = {kind: held_out_share(grams[kind], cfg.gram, rng) for kind in CANDIDATES}
        responses = (max(held_out, key=lambda kind: held_out[kind]),)
        note["held_out_share"] = held_out
    matrices_KRR = torch.cat([grams[kind].matrices(cfg.gram) for kind in responses])
    found = joint_diagonaliser(matrices_KRR.numpy(), rng, cfg.restarts)
    note |= {"responses": list(responses), "diagonal_share": found.share, "sweeps": found.sweeps}
    return torch.from_numpy(found.frame_RR), note


def held_out_share(grams: Grams, kind: GramKind, rng: np.random.Generator) -> float:
    """How diagonal one half of the bases is in the frame of the other: 1 wholly, 0 as a random frame makes it.

    Shares of squared entries on the diagonal, both ways, less what a random frame has on average, which for matrices of
    R rows is ``(2 Σ ‖M‖² + Σ tr² M) / ((R + 2) Σ ‖M‖²)``.
    """
    halves = [grams.matrices(kind, half).numpy() for half in (0, 1)]
    found = []
    for here, there in (halves, halves[::-1]):
        frame = joint_diagonaliser(here, rng, 2).frame_RR
        total, diagonal = np.square(there).sum(), np.square(np.einsum("dr,krs,ds->kd", frame, there, frame)).sum()
        traces = np.square(np.einsum("krr->k", there)).sum()
        chance = (2 * total + traces) / ((frame.shape[0] + 2) * total)
        found.append((diagonal / total - chance) / max(1 - chance, 1e-9))
    return float(np.mean(found))


class Grams(NamedTuple):
    """Gram matrices of one kind of response's derivatives along white axes, on the CPU in float64.

    Attributes:
        halves_2PRR: a matrix for each response, averaged over bases and channels, of each half of the bases.
        per_base_BRR: one for each base, summed over responses, each counted in its own deviation.
    """

    halves_2PRR: Tensor
    per_base_BRR: Tensor

    def matrices(self, kind: GramKind, half: Literal[0, 1] | None = None) -> Tensor:
        """What is to be diagonalised ``(K, R, R)``, of all bases or of half of them; each kind of Gram weighs 1."""
        per_response = self.halves_2PRR.mean(dim=0) if half is None else self.halves_2PRR[half]
        per_base = self.per_base_BRR if half is None else self.per_base_BRR.chunk(2)[half]
        chosen = {"per_response": [per_response], "per_base": [per_base], "both": [per_response, per_base]}[kind]
        return torch.cat([_weighted(matrices) for matrices in chosen])

    def profiles(self, frame_VR: Tensor) -> Tensor:
        """How strongly each response answers to each direction, ``(P, V)``."""
        profiles: Tensor = torch.einsum("vr,prs,vs->pv", frame_VR, self.halves_2PRR.mean(dim=0), frame_VR)
        return profiles


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
    advance: Callable[[int], None] = _uncounted,
) -> list[Grams]:
    """Gram matrices of the responses' derivatives, by central differences along the white axes, a few bases at a time.

    Args:
        source: the frozen generator.
        white: the axes.
        watched: responses, as of :func:`~contrafact.nn.responses.watch`.
        bases_BL: where to differentiate; an even number weighs all alike.
        step: of the differences, in standard deviations.
        layers: layers that the step acts on; None for all.
        images_per_batch: images at a time.
        advance: told how many images more there are, ``B (1 + 2R)`` in all.

    Returns:
        those of every kind.
    """
    axes, rank = white.axes_RL, len(white.axes_RL)
    spreads = _spreads(source, watched, bases_BL, images_per_batch, advance)
    halves: list[list[Tensor]] = [[] for _ in watched]
    per_base: list[list[Tensor]] = [[] for _ in watched]
    for half in bases_BL.chunk(2):
        sums: list[Tensor | float] = [0.0] * len(watched)
        for batch in half.split(max(1, images_per_batch // (2 * rank))):
            ahead, back = (
                _answers(source, watched, _moved(source, batch, sign * step * axes, layers), images_per_batch, advance)
                for sign in (1.0, -1.0)
            )
            for number, (plus, minus) in enumerate(zip(ahead, back, strict=True)):
                slope_BRPC = ((plus - minus) / (2 * step)).unflatten(0, (len(batch), rank)).double()
                sums[number] = sums[number] + torch.einsum("brpc,bspc->prs", slope_BRPC, slope_BRPC).cpu()
                flat_BRF = (slope_BRPC / spreads[number]).flatten(2)
                per_base[number].append((flat_BRF @ flat_BRF.transpose(1, 2)).cpu())
        for done, total in zip(halves, sums, strict=True):
            done.append(torch.as_tensor(total) / len(half))
    return [Grams(torch.stack(done), torch.cat(each)) for done, each in zip(halves, per_base, strict=True)]


def _moved(source: Generator, bases_BL: Tensor, steps_RL: Tensor, layers: tuple[int, int] | None) -> Tensor:
    """Every base moved by every step ``(B·R, L)``, or ``(B·R, K, L)`` where only some layers move."""
    bases, steps = bases_BL.repeat_interleave(len(steps_RL), dim=0), steps_RL.repeat(len(bases_BL), 1)
    return _shifted(source, bases, steps, layers)


def _shifted(source: Generator, latent_NL: Tensor, shift_NL: Tensor, layers: tuple[int, int] | None) -> Tensor:
    """Each latent moved by its own shift, in some of the layers or in all."""
    if layers is None:
        return latent_NL + shift_NL
    mask = torch.zeros(source.num_layers, 1, dtype=latent_NL.dtype, device=latent_NL.device)
    mask[slice(*layers)] = 1.0
    return latent_NL[:, None] + mask * shift_NL[:, None]


def _answers(
    source: Generator, watched: list[Watch], latents: Tensor, images_per_batch: int, advance: Callable[[int], None]
) -> list[Tensor]:
    """What each kind of response says of the images of latents, ``(N, P, C)``."""
    parts: list[list[Tensor]] = [[] for _ in watched]
    for batch in latents.split(images_per_batch):
        images = source(batch).float()
        for part, response in zip(parts, watched, strict=True):
            part.append(response(images))
        advance(len(batch))
    return [torch.cat(part) for part in parts]


def _spreads(
    source: Generator, watched: list[Watch], bases_BL: Tensor, images_per_batch: int, advance: Callable[[int], None]
) -> list[Tensor]:
    """Standard deviation of every response over the bases ``(P, C)``; those that hardly vary count no more for it."""
    answers = _answers(source, watched, bases_BL, images_per_batch, advance)
    found = [answers_BPC.double().std(dim=0) for answers_BPC in answers]
    return [spread.clamp_min(1e-2 * float(spread.max()) + 1e-12) for spread in found]


def answering(
    source: Generator,
    white: Whitening,
    watched: list[Watch],
    bases_BL: Tensor,
    count: int,
    layers: tuple[int, int] | None,
    rng: torch.Generator,
    images_per_batch: int = _BASES_AT_ONCE,
    advance: Callable[[int], None] = _uncounted,
) -> Tensor:
    """Orthonormal white directions ``(count, R)`` that the responses answer to most, from one backward pass a base.

    The gradient of a random projection of all responses has the mean JᵀJ as its second moment, so the leading
    eigenvectors of the gradients' are estimated with as many passes as there are bases, however large the space.

    Raises:
        ValueError: there is no memory for the gradients of ``images_per_batch`` images.
    """
    at_once = min(images_per_batch, _BASES_AT_ONCE)

    def moved(bases: Tensor, shift: Tensor) -> Tensor:
        return _shifted(source, bases, shift @ white.axes_RL, layers)

    nothing = bases_BL.new_zeros(_BASES_AT_ONCE, len(white.axes_RL))
    image = graph_bytes(lambda shift: source(moved(bases_BL[:1].expand(len(shift), -1), shift)), _learned(nothing[:2]))
    refuse_too_much(image * at_once, source.device, f"set images_per_batch below {at_once}")
    gradients = []
    bases = _repeated(bases_BL, count)
    # Alike in size, so that none has a single latent, which would vary by nothing.
    for batch in bases.tensor_split(-(-len(bases) // _BASES_AT_ONCE)):
        shift = _learned(nothing[: len(batch)])
        images = in_pieces(source, moved(batch, shift), at_once if at_once < len(batch) else 0).float()
        projected = torch.zeros((), device=batch.device)
        for response in watched:
            answers = response(images)
            probe = torch.randn(answers.shape, generator=rng).to(answers.device)
            projected = projected + (answers * probe).sum() / answers.detach().std(dim=0).norm().clamp_min(1e-12)
        gradients.append(torch.autograd.grad(projected, shift)[0].double().cpu())
        advance(len(batch))
    gradient_NR = torch.cat(gradients)
    vectors_RR: Tensor = torch.linalg.svd(gradient_NR, full_matrices=False)[2]
    return vectors_RR[:count]


def _learned(values: Tensor) -> Tensor:
    return values.clone().requires_grad_()


def _repeated(bases_BL: Tensor, count: int) -> Tensor:
    """The bases, as often as it takes to have four for each of ``count`` directions."""
    return bases_BL.repeat(max(1, -(-4 * count // len(bases_BL))), 1)
