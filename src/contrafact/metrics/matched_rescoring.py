"""Matched rescoring: what a judge says after steps that change the image equally, whatever the direction.

Ours, after "LatentCLR", Table 1 (see rescoring), with three changes. Steps are not of equal length but of equal change
of the pixels, so that a direction does not win by changing more of the picture. The direction that is best for an
attribute is chosen on some latents and measured on others, so that the best of many does not win by luck. And a judge
may find nothing to judge in an image (nan), which is counted.

Shape suffixes: N latents, L latent dimensions, D directions, A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.metric import FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._edits import Predictor, best_directions, check_names, predict, scores_by_name, start_latents

INFO = MetricInfo(
    kind="directions",
    low=-math.inf,
    high=math.inf,
    higher_is_better=True,
    source="ours, after LatentCLR, Table 1",
    ranges={"lost": (0.0, 1.0)},
)
CHOSEN_ON = 3
"""One latent in so many chooses the best directions; the others measure them."""
FEWEST = CHOSEN_ON + 1
PACED_ON = 16
"""Latents on which the length of steps is found."""
ROUNDS = 3
FURTHEST_FACTOR = 4.0
"""By which a step grows or shrinks in a round at most."""


@dataclass(frozen=True, kw_only=True)
class MatchedRescoringResult(MetricResult):
    """``per_factor`` ``(A,)`` is the best direction's effect on each attribute at latents that did not choose it;
    ``matrix`` ``(D, A)`` all effects at those that did, both in the predictor's unit.

    An effect is half the difference between the mean answers after a step forwards and one back, over the latents whose
    two images were both judged.

    Attributes:
        best: the direction of largest |effect| on each attribute ``(A,)``.
        side: what that direction does to the other attributes, their mean |effect| in deviations ``(A,)``.
        deviation: of each attribute among the images before ``(A,)``.
        steps: length of each direction's step in standard deviations of the edit space ``(D,)``.
        change: what it changes, as a part of the distance between two unrelated images ``(D,)``.
        lost: share of images after a step that were not judged.
        lost_before: share of images before that were not.
        attributes: A names, empty when none were given.
    """

    best: IntArray
    side: FloatArray
    deviation: FloatArray
    steps: FloatArray
    change: FloatArray
    lost: float
    lost_before: float
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "lost": self.lost, **scores_by_name(self.attributes, self.per_factor)}

    def details(self) -> list[str]:
        """Which direction is best for each attribute."""
        return best_directions(self.attributes, self.best)


@measured
@torch.no_grad()
def matched_rescoring(
    generator: Generator,
    directions: Directions,
    predictor: Predictor,
    *,
    latents: Tensor | None = None,
    num_latents: int = 150,
    change: float = 0.25,
    furthest: float = 8.0,
    batch_size: int = 64,
    seed: int = 0,
    attributes: Sequence[str] = (),
) -> MatchedRescoringResult:
    """Change of a predictor's answers by the best direction for each attribute, all steps changing images equally.

    Args:
        generator: what makes the images.
        directions: where to move.
        predictor: images ``(n, C, H, W)`` to answers ``(n, A)``, or ``(n,)`` for one attribute; nan where an image
            cannot be judged.
        latents: ``(N, L)``, the same for every method compared; None draws ``num_latents`` by the seed. Every third
            one chooses.
        num_latents: how many to draw, at least 4.
        change: root mean square change of the pixels, averaged over latents and both ways, that a step must make, as a
            part of what two unrelated images differ by; met within a few percent, and the result says how nearly.
        furthest: longest step in standard deviations of the edit space; a direction that changes too little even so
            is noted.
        batch_size: images per call.
        seed: of the draw.
        attributes: names of the predictor's A attributes, by which their scores are then reported too.

    Returns:
        score: the mean over attributes of the best direction's effect, in standard deviations of the attribute among
        the images before; higher moves more, 0 is chance.

    Raises:
        ValueError: directions and generator do not fit, the predictor misbehaves, judges too few images of a
            direction or sees one attribute the same in all, fewer than 4 latents, or a setting is not positive.

    >>> import torch
    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> axes = GlobalDirections.of(torch.eye(2))  # each changes one of two pixels
    >>> result = matched_rescoring(pixels, axes, lambda images: images.flatten(1))
    >>> result.best.tolist(), result.side.tolist(), result.change.round(3).tolist()
    ([0, 1], [0.0, 0.0], [0.25, 0.25])
    """
    for name, value in (("change", change), ("furthest", furthest)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
    start = start_latents(generator, directions, latents, num_latents, seed)
    if len(start) < FEWEST:
        raise ValueError(f"matched rescoring needs at least {FEWEST} latents, got {len(start)}")
    choosing, measuring = start[::CHOSEN_ON], torch.cat([start[i::CHOSEN_ON] for i in range(1, CHOSEN_ON)])
    before_NA = predict(generator, predictor, start, batch_size, may_miss=True).astype(np.float64)
    seen_A = np.isfinite(before_NA).sum(axis=0)
    if (seen_A < 2).any():
        raise ValueError(f"the predictor judged {int(seen_A.min())} of {len(start)} images before any step; need 2")
    deviation_A = np.nanstd(before_NA, axis=0)
    if (deviation_A == 0).any():
        raise ValueError("an attribute is the same in all images before any step, so that its change has no unit")
    steps_D, reached_D = _pace(generator, directions, choosing[:PACED_ON], change, furthest, batch_size)

    def answers(latents_NL: Tensor, d: int) -> FloatArray:
        """After a step forwards and one back ``(2, N, A)``."""
        n = len(latents_NL)
        signs = torch.tensor([1.0, -1.0], dtype=latents_NL.dtype, device=latents_NL.device).repeat_interleave(n)
        twice = latents_NL.repeat(2, *([1] * (latents_NL.ndim - 1)))
        moved = directions(twice, torch.full((2 * n,), d, device=twice.device), float(steps_D[d]) * signs)
        after = predict(generator, predictor, moved, batch_size, may_miss=True).astype(np.float64)
        return np.asarray(after.reshape(2, n, -1))

    after_D = [answers(choosing, d) for d in range(directions.num_directions)]
    effect_DA = np.stack([_effect(after, d) for d, after in enumerate(after_D)])
    best_A = np.abs(effect_DA).argmax(axis=0)
    again = {int(d): _effect(answers(measuring, int(d)), int(d)) for d in np.unique(best_A)}
    each = np.arange(len(best_A))
    held_AA = np.stack([again[int(d)] for d in best_A])
    per_factor = np.sign(effect_DA[best_A, each]) * held_AA[each, each]
    others_AA = np.abs(held_AA) / deviation_A * (1 - np.eye(len(best_A)))
    short = np.flatnonzero(reached_D < 0.9 * change)
    notes = (f"directions {short.tolist()} change less than was asked even {furthest:g} deviations away",)
    return MatchedRescoringResult(
        score=float((per_factor / deviation_A).mean()),
        protocol=f"matched_rescoring_n{len(start)}_change{change:g}",
        num_train=len(choosing),
        num_test=len(measuring),
        per_factor=per_factor,
        matrix=effect_DA,
        seed=seed if latents is None else None,
        notes=notes if len(short) else (),
        best=best_A,
        side=others_AA.sum(axis=1) / max(1, len(best_A) - 1),
        deviation=deviation_A,
        steps=steps_D,
        change=reached_D,
        lost=float(np.mean([np.isnan(after).any(axis=2).mean() for after in after_D])),
        lost_before=float(np.isnan(before_NA).any(axis=1).mean()),
        attributes=check_names(attributes, len(per_factor)),
    )


def _effect(after_2NA: FloatArray, direction: int) -> FloatArray:
    """Half the difference of the mean answers ``(A,)``, over latents judged both ways."""
    change_NA = 0.5 * (after_2NA[0] - after_2NA[1])
    judged_A = np.isfinite(change_NA).sum(axis=0)
    if (judged_A < 1).any():
        raise ValueError(
            f"the predictor could judge no latent both forwards and back along direction {direction}; ask for a "
            "smaller change"
        )
    return np.asarray(np.nanmean(change_NA, axis=0))


def _pace(
    generator: Generator, directions: Directions, latents: Tensor, wanted: float, furthest: float, batch_size: int
) -> tuple[FloatArray, FloatArray]:
    """Lengths of steps ``(D,)`` that change images as much as is wanted, and the parts that they do change ``(D,)``."""
    images = torch.cat([generator(batch) for batch in latents.split(batch_size)])
    unrelated = _distance(images, images.roll(1, dims=0)).mean()
    if not unrelated > 0:
        raise ValueError("the generator's images do not differ, so that no step can be compared with their distance")
    at_once = max(1, batch_size // len(latents))

    def reached(steps_D: Tensor) -> Tensor:
        parts = []
        for index in torch.arange(directions.num_directions, device=latents.device).split(at_once):
            rows = index.repeat_interleave(len(latents))
            copies, same = latents.repeat(len(index), *([1] * (latents.ndim - 1))), images.repeat(len(index), 1, 1, 1)
            ways = [generator(directions(copies, rows, sign * steps_D[rows])) for sign in (1.0, -1.0)]
            distances = torch.stack([_distance(way, same) for way in ways]).mean(dim=0)
            parts.append(distances.reshape(len(index), len(latents)).mean(dim=1) / unrelated)
        return torch.cat(parts)

    # What a step changes grows with it, ever more slowly: the ratio of wanted to reached, again and again, gets there.
    steps_D = torch.full((directions.num_directions,), min(2.0, furthest), dtype=latents.dtype, device=latents.device)
    for _ in range(ROUNDS):
        ratio = (wanted / reached(steps_D)).clamp(1 / FURTHEST_FACTOR, FURTHEST_FACTOR)
        steps_D = (steps_D * ratio).clamp(max=furthest)
    found = (steps_D, reached(steps_D))
    return found[0].double().cpu().numpy(), found[1].double().cpu().numpy()


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Root mean square difference of pixels ``(N,)``."""
    return (first - second).flatten(1).square().mean(dim=1).sqrt()
