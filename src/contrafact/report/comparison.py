"""Comparison strips: what several runs' directions do to the same images (DisCo, Fig. 4; LatentCLR, Fig. 4).

All runs start from the same noise, so the middle column is the same picture in every row. Which directions belong
together is not known: runs number them as they like. The first run's directions lead; of every other run the direction
is taken that is called the same by somebody, or else the one whose effect on those images is most alike.

Shape suffixes: R runs, D directions, S samples, M magnitudes, P pixels, C channels, H, W sides, L latent dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.artefact import fingerprint
from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions
from contrafact.core.generator import Generator, sample_latents
from contrafact.core.method import FinishedRun
from contrafact.core.pictures import save_png, to_bytes
from contrafact.report.figures import (
    STILL,
    FloatArray,
    angles_of,
    magnitude_labels,
    magnitude_range,
    pixel_change,
    steps_of,
    traversal,
    turn_label,
)
from contrafact.report.sheets import label_width, sheet, stack

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 6
_GLIMPSE = 32


@dataclass(frozen=True)
class Contender:
    """One row of a comparison: a generator, directions in its edit space, and what to call them."""

    label: str
    generator: Generator
    directions: Directions

    def truncated(self, truncation: float | None) -> Contender:
        """The same at another truncation; None leaves the generator's own."""
        return replace(self, generator=self.generator.truncated(truncation))


@dataclass(frozen=True)
class Match:
    """A contender's direction beside one of the first's.

    Attributes:
        index: its number.
        sign: −1 where it points the other way; strips then run from + to −, so that all rows go the same way.
        alike: cosine of the two effects on the images, in [0, 1]; 1 for the first contender itself.
        by_name: it was taken because it has the name.
    """

    index: int
    sign: int
    alike: float
    by_name: bool = False


@dataclass(frozen=True)
class Comparison:
    """Images of matched directions.

    Attributes:
        contenders: R.
        matches: for each compared direction, one match per contender.
        magnitudes: ``(M,)`` in standard deviations.
        frames: ``(D, R, S, M, C, H, W)``.
    """

    contenders: tuple[Contender, ...]
    matches: tuple[tuple[Match, ...], ...]
    magnitudes: FloatArray
    frames: Tensor


def contenders_of(runs: Sequence[FinishedRun]) -> list[Contender]:
    """Runs as contenders, called by their method, or by their folder where two share it.

    Raises:
        ValueError: a run without directions or generator.
    """
    methods = [str(run.config["method"]) for run in runs]
    folders = [str(run.folder) for run in runs]
    if all(run.folder.is_absolute() for run in runs):  # the label is shown: no more of the path than tells them apart
        shared = os.path.commonpath([run.folder.parent for run in runs])
        folders = [os.path.relpath(folder, shared) for folder in folders]
    labels = [m if methods.count(m) == 1 else f for m, f in zip(methods, folders, strict=True)]
    return [Contender(label, run.generator, run.directions) for label, run in zip(labels, runs, strict=True)]


def compare(
    contenders: Sequence[Contender],
    which: Sequence[str | int] = (),
    *,
    samples: int = 3,
    frames: int = 7,
    span: float | None = None,
    seed: int = 0,
    most: int = MOST,
    truncation: float | None = None,
    max_side: int | None = 128,
) -> Comparison:
    """Sweep the same samples along the first contender's directions and their likes in the others.

    Args:
        contenders: two or more, on the same generator weights (in whatever edit space).
        which: names or numbers of the first contender's directions; none for the ``most`` that change images most.
        samples: S.
        frames: M, odd.
        span: largest magnitude, in standard deviations of each contender's edit space; by default the first one's
            ``figure_span``.
        seed: of the samples.
        most: directions to compare when none are named.
        truncation: of the samples; by default each generator's own.
        max_side: area-average images down to at most this side.

    Raises:
        ValueError: fewer than two contenders, different generators, no such direction, or an argument out of range.
    """
    if len(contenders) < 2:
        raise ValueError(f"a comparison needs at least two runs, got {len(contenders)}")
    _check_same_generator(contenders)
    contenders = [contender.truncated(truncation) for contender in contenders]
    span = contenders[0].generator.figure_span if span is None else span
    magnitudes = magnitude_range(frames, span)
    latents = [
        sample_latents(c.generator, check_count("samples", samples), torch.Generator().manual_seed(seed))
        for c in contenders
    ]
    first = contenders[0].directions
    numbers = [first.index(name) for name in which]
    glimpses = [
        _glimpse(c, start, span, numbers if rank == 0 and numbers else None)
        for rank, (c, start) in enumerate(zip(contenders, latents, strict=True))
    ]
    lead = glimpses[0]
    if not numbers:
        change, largest = pixel_change(lead)
        order = np.lexsort((-change, largest <= STILL))[: check_count("most", most)]
        numbers, lead = order.tolist(), lead[torch.from_numpy(order.copy())]
    columns = [[Match(n, 1, 1.0) for n in numbers]]
    for contender, glimpse in zip(contenders[1:], glimpses[1:], strict=True):
        named = [first.names[n] for n in numbers]
        columns.append(match_directions(lead, glimpse, named, contender.directions.names))
    swept = []
    for contender, start, column in zip(contenders, latents, columns, strict=True):
        indices = [match.index for match in column]
        steps = steps_of(contender.generator, contender.directions, magnitudes, indices)
        rows = traversal(contender.generator, contender.directions, start, steps, indices=indices, max_side=max_side)
        turned = torch.tensor([match.sign < 0 for match in column])
        rows[turned] = rows[turned].flip(2)
        swept.append(rows)
    matches = tuple(zip(*columns, strict=True))
    return Comparison(tuple(contenders), matches, magnitudes, torch.stack(swept, dim=1))


def _check_same_generator(contenders: Sequence[Contender]) -> None:
    weights = [fingerprint(c.generator) for c in contenders]
    for contender, hashed in zip(contenders, weights, strict=True):
        if hashed != weights[0]:
            raise ValueError(
                f"{contenders[0].label} and {contender.label} were found on different generators "
                f"({contenders[0].generator.name}, {contender.generator.name}), so there are no same images to start "
                "from; compare runs on one generator"
            )


def _glimpse(contender: Contender, latents: Tensor, span: float, indices: list[int] | None) -> Tensor:
    chosen = range(contender.directions.num_directions) if indices is None else indices
    steps = steps_of(contender.generator, contender.directions, np.array([-span, 0.0, span]), chosen)
    return traversal(contender.generator, contender.directions, latents, steps, indices=chosen, max_side=_GLIMPSE)


def match_directions(lead: Tensor, other: Tensor, lead_names: Sequence[str], other_names: Sequence[str]) -> list[Match]:
    """For each leading direction the one of ``other`` that is called the same, or whose effect is most alike.

    The effect of a direction is the images at the largest magnitude minus those at the smallest. Alike is the absolute
    cosine of two effects; directions without a namesake are paired one to one so that the sum of cosines is largest.

    Args:
        lead: images ``(D, S, 3, C, H, W)`` at −m, 0 and m.
        other: images ``(D', S, 3, C, H, W)`` of the same samples.
        lead_names: D names.
        other_names: D' names.

    Raises:
        ValueError: the other run has fewer directions than are compared.
    """
    from scipy.optimize import linear_sum_assignment

    if len(other) < len(lead):
        raise ValueError(
            f"{len(lead)} directions are compared, but one of the runs has only {len(other)}; ask for at most that many"
        )
    cosine = _effects(lead) @ _effects(other).T
    wanted = np.abs(cosine)
    namesakes = {d: list(other_names).index(n) for d, n in enumerate(lead_names) if n in other_names and _is_given(n)}
    for d, e in namesakes.items():
        wanted[:, e] = -1.0
        wanted[d, :] = -1.0
        wanted[d, e] = len(lead) + 1.0  # more than any pairing that leaves it out could add up to
    rows, chosen = linear_sum_assignment(wanted, maximize=True)
    return [
        Match(int(e), -1 if cosine[d, e] < 0 else 1, abs(float(cosine[d, e])), d in namesakes)
        for d, e in zip(rows, chosen, strict=True)
    ]


def _effects(frames: Tensor) -> npt.NDArray[np.float64]:
    """Unit vectors ``(D, P)``: pixels at the far end minus pixels at the near end."""
    shown = frames.clamp(0, 1)
    moves = (shown[:, :, -1] - shown[:, :, 0]).flatten(1).double()
    unit: npt.NDArray[np.float64] = (moves / moves.norm(dim=1, keepdim=True).clamp_min(1e-12)).numpy()
    return unit


def _is_given(name: str) -> bool:
    """Whether somebody chose the name: ``direction 3`` is only its number."""
    return not name.removeprefix("direction ").isdigit()


def comparison_block(compared: Comparison, direction: int, sample: int) -> Image:
    """One direction on one sample: a row per contender, a column per magnitude."""
    lead = compared.contenders[0].directions.names[compared.matches[direction][0].index]
    room = max(label_width(_row_labels(compared, d)) for d in range(len(compared.matches)))
    return sheet(
        to_bytes(compared.frames[direction, :, sample]),
        f"{lead}, sample {sample}",
        _row_labels(compared, direction),
        magnitude_labels(compared.magnitudes),
        min_label_width=room,
    )


def _row_labels(compared: Comparison, direction: int) -> list[str]:
    rows = []
    for contender, match in zip(compared.contenders, compared.matches[direction], strict=True):
        name = contender.directions.names[match.index]
        why = "named so" if match.by_name else f"{match.alike:.2f} alike"
        turned = ", reversed" if match.sign < 0 else ""
        if contender.directions.is_circle(match.index):
            name += f"\n{turn_label(magnitude_labels(angles_of(contender.generator, compared.magnitudes), 'rad'))}"
        leading = contender is compared.contenders[0]
        rows.append(f"{contender.label}\n{name}" + ("" if leading else f"\n{why}{turned}"))
    return rows


def write_comparison(compared: Comparison, folder: str | Path) -> list[Path]:
    """Write ``comparison.png`` (every direction on the first sample) and ``compare_03.png`` (all samples) each.

    The number is the first contender's.

    Returns:
        The files, overview first.
    """
    folder = Path(folder)
    num_directions, _, num_samples = compared.frames.shape[:3]
    overview = stack([comparison_block(compared, d, 0) for d in range(num_directions)])
    written = [save_png(overview, folder / "comparison.png")]
    digits = max(2, len(str(compared.contenders[0].directions.num_directions - 1)))
    for d in range(num_directions):
        picture = stack([comparison_block(compared, d, s) for s in range(num_samples)])
        written.append(save_png(picture, folder / f"compare_{compared.matches[d][0].index:0{digits}}.png"))
    return written
