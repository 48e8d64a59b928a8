"""Draw docs/pictures/class-transfer.png: directions found on pullovers, applied to the same noise of other classes.

    contrafact bench latentclr-transfer --scale small --seeds 3
    python docs/pictures/class_transfer.py [runs/bench/latentclr-transfer-small]

Nothing is chosen by eye: of the first run with global directions the one that other classes give back most often and
the one they give back least; beside each class its share.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import contrafact as cf
from contrafact.core.files import read_json
from contrafact.core.pictures import save_png, to_bytes
from contrafact.data.fashion_mnist import FashionMNIST
from contrafact.evaluation.scores import read_scores
from contrafact.report.figures import magnitude_labels, traversal
from contrafact.report.sheets import PAPER, sheet

ROW = "LatentCLR, global, on pullovers"
SHOWN = (6, 0, 1, 8, 7)
"""Classes below the one that directions were found on."""
STEPS = np.array([-3.0, -1.5, 0.0, 1.5, 3.0])
NOISE = 0


def main() -> None:
    bench = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench/latentclr-transfer-small")
    trainings = ((path.parent, read_json(path)) for path in (bench / "cells").glob("latentclr-seed0-*/cell.json"))
    folder = next(folder for folder, record in trainings if record["row"] == ROW) / "run"
    run, names = cf.load_run(folder), FashionMNIST.class_names
    found = next(line["result"] for line in read_scores(folder) if line["metric"] == "class_transfer")
    share = np.array(found["matrix"])
    places = [found["classes"].index(label) for label in SHOWN]
    generators = [run.generator, *(run.generator.of_class(label) for label in SHOWN)]
    parts = []
    for direction in (int(share.mean(axis=1).argmax()), int(share.mean(axis=1).argmin())):
        frames = [
            traversal(g, run.directions, g.sample(1, seed=NOISE), STEPS, indices=[direction])[0, 0] for g in generators
        ]
        labels = [
            names[found["label"]],
            *(f"{names[c]} {share[direction, p]:.2f}" for c, p in zip(SHOWN, places, strict=True)),
        ]
        title = f"direction {direction}: {share.mean(axis=1)[direction]:.2f} of its edits of all other classes"
        parts.append(sheet(to_bytes(torch.stack(frames)), title, labels, magnitude_labels(STEPS), upscale=2))
    whole = Image.new("RGB", (sum(part.width for part in parts), parts[0].height), PAPER)
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width
    save_png(whole, Path(__file__).with_name("class-transfer.png"))


if __name__ == "__main__":
    main()
