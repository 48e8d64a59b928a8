"""Draw what each method's best direction for each attribute does to one image: face-directions.png and the like.

    contrafact bench faces --seeds 3
    python docs/pictures/judged_directions.py faces
    contrafact bench garments --seeds 5
    python docs/pictures/judged_directions.py garments

Nothing is named by eye: the judge's attributes are columns (faces) or rows (garments), and with each strip stands what
the judge says a step changes at images that did not choose the direction. The image itself is in the middle, steps back
are left of it and steps forwards right; every step changes images equally.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import contrafact as cf
from contrafact.bench.check import asked_rows
from contrafact.bench.plan import CELLS, Bench, score_cells
from contrafact.bench.recipe import load_recipe
from contrafact.core.pictures import save_png, to_bytes
from contrafact.evaluation.scores import read_scores
from contrafact.report.figures import traversal
from contrafact.report.sheets import PAPER, label_width, sheet, stack


class Sheet(NamedTuple):
    """How a recipe's picture is drawn.

    Attributes:
        picture: its file.
        seed: of the latent whose image is edited.
        said: how an effect on each attribute is spoken, in the judge's order.
        methods: what is drawn; all rows of the recipe where empty.
        steps: how far, in the steps of the table.
        upscale: pixels of the picture for each of an image's.
        has_columns: a column for each method and a row for each attribute, instead of a row for each method.
    """

    picture: str
    seed: int
    said: tuple[str, ...]
    methods: tuple[str, ...] = ()
    steps: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    upscale: int = 1
    has_columns: bool = False


SHEETS = {
    # The face of docs/pictures/faces.png.
    "faces": Sheet("face-directions.png", 57, ("{:+.1f} years", "{:+.2f} male", "{:+.1f}° turn", "{:+.2f} % mouth")),
    "garments": Sheet(
        "garment-directions.png",
        27,
        ("area\n{:+.1f} %", "lightness\n{:+.1f} %", "width\n{:+.1f} %", "height\n{:+.1f} %", "slant\n{:+.1f}°"),
        ("joint diagonal", "random", "InterFaceGAN, told (ceiling)"),
        (-2.0, 0.0, 2.0),
        2,
        has_columns=True,
    ),
}


class Edit(NamedTuple):
    """A direction's steps on the image ``(Q, C, H, W)``, its number, and what the table says of it."""

    frames: Tensor
    direction: int
    said: str


def edits(asked: Sheet, folder: Path) -> list[Edit]:
    """A method's best direction for each attribute."""
    run = cf.load_run(folder)
    found = next(line["result"] for line in read_scores(folder) if line["metric"] == "matched_rescoring")
    start, done = run.generator.sample(1, seed=asked.seed), []
    for number, spoken in enumerate(asked.said):
        best, effect = found["best"][number], found["per_factor"][number]
        forwards = np.sign(found["matrix"][best][number]) * found["steps"][best]
        steps = forwards * np.array(asked.steps)
        frames = traversal(run.generator, run.directions, start, steps, indices=[best])[0, 0]
        done.append(Edit(frames, best, spoken.format(effect)))
    return done


def row(asked: Sheet, name: str, folder: Path, width: int) -> Image.Image:
    """A method's strips beside each other, one for each attribute."""
    strips = []
    for number, edit in enumerate(edits(asked, folder)):
        labels, least = ((), 0) if number else ([name], width)
        said = f"{edit.said} (direction {edit.direction})"
        strips.append(sheet(to_bytes(edit.frames[None]), said, labels, upscale=asked.upscale, min_label_width=least))
    return beside(strips)


def column(asked: Sheet, name: str, folder: Path) -> Image.Image:
    """A method's strips below each other."""
    found = edits(asked, folder)
    frames = to_bytes(torch.stack([edit.frames for edit in found]))
    return sheet(frames, name, [edit.said for edit in found], upscale=asked.upscale)


def beside(pictures: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)), PAPER)
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


def main() -> None:
    recipe = sys.argv[1] if len(sys.argv) > 1 else "faces"
    asked, top = SHEETS[recipe], Path("runs", "bench")
    bench = Bench(recipe, load_recipe(recipe), top / f"{recipe}-small", seeds=(0,), store=top / CELLS)
    cells = {cell.row.name: cell for cell in score_cells(bench, asked_rows(bench))}
    names = asked.methods or tuple(cells)
    folders = {name: bench.cells / cells[name].needs[0].key / "run" for name in names}
    scored = {name: folder for name, folder in folders.items() if (folder / "scores.jsonl").exists()}
    if asked.has_columns:
        picture = beside([column(asked, name, folder) for name, folder in scored.items()])
    else:
        width = label_width(names)
        picture = stack([row(asked, name, folder, width) for name, folder in scored.items()])
    save_png(picture, Path(__file__).with_name(asked.picture))


if __name__ == "__main__":
    main()
