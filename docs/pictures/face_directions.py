"""Draw docs/pictures/face-directions.png: what each method's best direction for each attribute does to one face.

    contrafact bench faces --seeds 3
    python docs/pictures/face_directions.py [runs/bench/faces-small]

Nothing is named by eye: columns are the judge's attributes, and above each strip stands what the judge says the step
changes at faces that did not choose the direction. From left to right: two steps back, one, the face itself, one step
forwards, two; every step changes images of faces equally.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import contrafact as cf
from contrafact.bench.recipe import load_recipe
from contrafact.core.catalog import slug
from contrafact.core.pictures import save_png, to_bytes
from contrafact.evaluation.scores import read_scores
from contrafact.nn.face_judges import NAMES
from contrafact.report.figures import traversal
from contrafact.report.sheets import PAPER, label_width, sheet, stack

FACE = 57
"""Seed of the latent: the face of docs/pictures/faces.png."""
STEPS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
UNITS = {"years": "{:+.1f} years", "male": "{:+.2f} male", "turn": "{:+.1f}° turn", "mouth": "{:+.2f} % mouth"}


def row(name: str, folder: Path, width: int) -> Image.Image:
    """A method's four strips beside each other."""
    run = cf.load_run(folder)
    found = next(line["result"] for line in read_scores(folder) if line["metric"] == "matched_rescoring")
    face = run.generator.sample(1, seed=FACE)
    strips = []
    for number, attribute in enumerate(NAMES):
        best, effect = found["best"][number], found["per_factor"][number]
        forwards = np.sign(found["matrix"][best][number]) * found["steps"][best]
        frames = traversal(run.generator, run.directions, face, forwards * STEPS, indices=[best])[:, 0]
        said = f"{UNITS[attribute].format(effect)} (direction {best})"
        strips.append(
            sheet(
                to_bytes(frames), said, [name] if not number else (), upscale=1, min_label_width=0 if number else width
            )
        )
    return beside(strips)


def beside(pictures: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)), PAPER)
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


def main() -> None:
    bench = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench/faces-small")
    names = [row.name for row in load_recipe("faces").rows]
    folders = {name: bench / slug(name) / "seed0" for name in names}
    width = label_width(names)
    rows = [row(name, folder, width) for name, folder in folders.items() if (folder / "scores.jsonl").exists()]
    save_png(stack(rows), Path(__file__).with_name("face-directions.png"))


if __name__ == "__main__":
    main()
