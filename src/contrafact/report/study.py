"""A user study of directions, and its score (LatentCLR, Section 4.1, Q5).

Each participant gets one picture per direction: rows of images, the unchanged one in the middle, moved backwards on
its left and forwards on its right; and answers two questions with yes, maybe or no. Pictures carry no names: which
direction of which method a picture shows is in the key, which the participants do not get.

Shape suffixes: D directions of all runs together, P participants, S samples, C channels, H, W sides.
"""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.files import write_json, write_text
from contrafact.core.generator import images_at_once, sample_latents
from contrafact.core.pictures import ByteArray, save_png, to_bytes
from contrafact.core.progress import Progress
from contrafact.core.ranges import Count, Panels, Positive, Seed, Share, Size, check_ranges
from contrafact.report.comparison import Contender
from contrafact.report.figures import FloatArray, steps_of
from contrafact.report.sheets import sheet

KEY = "key.json"
QUESTIONS = {
    "change": "Is there an obvious change of content in the left and right images, compared with the middle one?",
    "meaningful": "Is the change in the left and right images, compared with the middle one, semantically meaningful?",
}
ANSWERS = ("yes", "maybe", "no")


@dataclass(frozen=True)
class StudySettings:
    """How a study is laid out.

    Attributes:
        participants: P; each gets a file, pictures and an order of their own.
        images: rows of a picture.
        pool: images that all pictures are drawn from (the paper's 100).
        magnitude: how far left and right are, in standard deviations; by default each generator's ``figure_span``.
            Circles are turned as in figures.
        seed: of the pool, of what each participant sees, and of the orders.
        truncation: of the pool; by default each generator's own.
    """

    participants: Count = 10
    images: Panels = 3
    pool: Size = 100
    magnitude: Positive | None = None
    seed: Seed = 0
    truncation: Share | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range (ValueError)."""
        check_ranges(self, spelled=False)
        if self.images > self.pool:
            raise ValueError(f"a picture of {self.images} images cannot be drawn from a pool of {self.pool}")


def make_study(
    contenders: Sequence[Contender],
    folder: str | Path,
    which: Sequence[Sequence[str | int]] = (),
    settings: StudySettings | None = None,
) -> Path:
    """Write a study: a folder for each participant (pictures, a page to answer on, a CSV to fill in instead), and the
    key.

    Args:
        contenders: runs whose directions are judged.
        folder: where to; must not hold anything yet.
        which: for each contender, names or numbers of the directions to judge; none for all of them.
        settings: how it is laid out.

    Returns:
        The folder.

    Raises:
        ValueError: no contenders, another number of ``which``, no such direction, or a folder that is not empty.
    """
    settings, folder = settings or StudySettings(), Path(folder)
    if not contenders:
        raise ValueError("a study needs at least one run")
    if which and len(which) != len(contenders):
        raise ValueError(f"expected a choice of directions for each of {len(contenders)} runs, got {len(which)}")
    if folder.exists() and any(path.name[0] != "." for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty; a study would mix with what is there, choose another folder")
    chosen = [
        [c.directions.index(n) for n in (which[rank] if which else ())] or list(range(c.directions.num_directions))
        for rank, c in enumerate(contenders)
    ]
    contenders = [contender.truncated(settings.truncation) for contender in contenders]
    spans = [c.generator.figure_span if settings.magnitude is None else settings.magnitude for c in contenders]
    reaches = [
        steps_of(c.generator, c.directions, np.array([-span, 0.0, span]), numbers)
        for c, span, numbers in zip(contenders, spans, chosen, strict=True)
    ]
    items = [(rank, number) for rank, numbers in enumerate(chosen) for number in numbers]
    rng = np.random.default_rng(settings.seed)
    pools = [
        sample_latents(c.generator, settings.pool, torch.Generator().manual_seed(settings.seed)) for c in contenders
    ]
    participants: dict[str, Any] = {}
    with Progress("drawing the study", settings.participants * len(items)) as bar:
        for participant in range(1, settings.participants + 1):
            name = f"participant_{participant:02}"
            order, questions = rng.permutation(len(items)), rng.permutation(list(QUESTIONS)).tolist()
            # Each row a draw without repetition, all rows in one call.
            drawn = rng.permuted(np.tile(np.arange(settings.pool), (len(items), 1)), axis=1)[:, : settings.images]
            panels = _panels(contenders, pools, chosen, drawn, reaches)
            pictures = {f"{place:0{len(str(len(items)))}}.png": int(item) for place, item in enumerate(order, 1)}
            for picture, item in pictures.items():
                save_png(sheet(panels[item]), folder / name / picture)
                bar.advance()
            write_text(
                folder / name / f"{name}.csv", _table([["picture", *questions], *([p, "", ""] for p in pictures)])
            )
            write_text(folder / name / "study.html", study_page(name, list(pictures), questions))
            seen = {p: {"direction": item, "images": drawn[item].tolist()} for p, item in pictures.items()}
            participants[name] = {"questions": questions, "pictures": seen}
    described = [
        {
            "run": contenders[rank].label,
            "number": number,
            "name": contenders[rank].directions.names[number],
            "magnitude": magnitude,
        }
        for (rank, number), magnitude in zip(items, np.concatenate(reaches)[:, 2].tolist(), strict=True)
    ]
    facts = {"settings": dataclasses.asdict(settings), "questions": QUESTIONS, "directions": described}
    write_json(folder / KEY, {**facts, "participants": participants})
    return folder


@torch.no_grad()
def _panels(
    contenders: Sequence[Contender],
    pools: Sequence[Tensor],
    chosen: Sequence[Sequence[int]],
    drawn: npt.NDArray[np.int64],
    reaches: Sequence[FloatArray],
) -> list[ByteArray]:
    """For each item, all contenders' one after the other, its rows of three images ``(S, 3, H, W, 3)``."""
    num_images = drawn.shape[1]
    drawn_per_run = np.split(drawn, np.cumsum([len(numbers) for numbers in chosen])[:-1])
    panels: list[ByteArray] = []
    for contender, pool, numbers, mine, reach in zip(contenders, pools, chosen, drawn_per_run, reaches, strict=True):
        grid = (len(numbers), num_images, 3)
        start, index = torch.from_numpy(mine).flatten(), torch.tensor(numbers)
        steps = torch.from_numpy(reach).float()
        made = []
        for cells in torch.arange(math.prod(grid)).split(images_at_once(contender.generator)):
            item, row, step = torch.unravel_index(cells, grid)
            latents = pool[start[item * num_images + row].to(pool.device)]
            moved = contender.directions(latents, index[item].to(pool.device), steps[item, step].to(pool.device))
            made.append(to_bytes(contender.generator(moved)))
        panels += list(np.concatenate(made).reshape(*grid, *made[0].shape[1:]))
    return panels


def study_page(participant: str, pictures: Sequence[str], questions: Sequence[str], served: bool = False) -> str:
    """The page a participant answers on: the pictures, the questions under each, and a button that saves the CSV.

    It needs the pictures beside it and nothing else. Answers are kept by the browser until they are saved.

    Args:
        participant: names the file it saves.
        pictures: file names, in order.
        questions: which of :data:`QUESTIONS`, in order.
        served: whether a server takes the answers; else they are saved as a file to send back.
    """
    blocks = []
    for number, picture in enumerate(pictures, 1):
        rows = []
        for question in questions:
            name = f"{picture}/{question}"
            choices = "".join(f'<label><input type="radio" name="{name}" value="{a}"> {a}</label>' for a in ANSWERS)
            rows.append(f"<fieldset><legend>{html.escape(QUESTIONS[question])}</legend>{choices}</fieldset>")
        heading = f"<h2>{number} of {len(pictures)}</h2>"
        blocks.append(f'<section>{heading}<img src="{picture}" alt="picture {number}">{"".join(rows)}</section>')
    template = files("contrafact.report").joinpath("study.html").read_text("utf-8")
    facts = json.dumps(
        {"participant": participant, "pictures": list(pictures), "questions": list(questions), "served": served}
    )
    return template.replace("{{pictures}}", "\n".join(blocks)).replace("{{facts}}", facts)


def _table(rows: Sequence[Sequence[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
