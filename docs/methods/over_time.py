"""D over training time: EncDiff, β-TCVAE and DisCo, each trained anew for a fraction or a multiple of its quick preset.

    python docs/methods/over_time.py [--seeds 2]     # a quarter of an hour of one core: over_time.json, over-time.png

A point is a whole run of so many steps, its learning rate's schedule included, and the processor seconds of its
training. Runs are kept in runs/over-time and taken up again.
"""

import argparse
import json
import time
from functools import cache
from pathlib import Path

import matplotlib
import torch

import contrafact as cf
from contrafact.core.dataset import FactorDataset
from contrafact.evaluation.codes import evaluate_encoder

matplotlib.use("agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent
RUNS = Path("runs/over-time")
PARTS = (0.125, 0.25, 0.5, 1.0, 2.0)
SIDE = 16
METHODS = {"EncDiff": "encdiff", "attention decoder": "attention_decoder", "β-TCVAE": "beta_tcvae", "DisCo": "disco"}
TRAIN, TEST = 4000, 2000


@cache
def images(side: int) -> FactorDataset:
    """Shapes3D, drawn once."""
    return cf.load_dataset("shapes3d", size=side)


def point(name: str, part: float, seed: int) -> dict[str, float]:
    """Seconds and D of a run."""
    cls = cf.methods.CATALOG.get(METHODS[name])
    steps = round(part * cls.preset("quick").steps)
    folder = RUNS / f"{METHODS[name]}-{steps}-{seed}"
    seconds = folder / "seconds.json"
    source = cf.load_generator("shapes3d") if cls.source == "generator" else images(SIDE)
    if not seconds.exists():
        began = time.process_time()
        cls.preset("quick", steps=steps).fit(source, folder, seed=seed)
        seconds.write_text(json.dumps(time.process_time() - began))
    run = cf.load_run(folder)
    dataset = images(run.encoder.image_shape[-1])
    scores = evaluate_encoder(run.encoder, dataset, metrics="dci,mig", num_train=TRAIN, num_test=TEST).scores()
    return {
        "steps": steps,
        "seed": seed,
        "seconds": round(json.loads(seconds.read_text()), 1),
        "D": round(scores["dci.disentanglement"], 4),
        "MIG": round(scores["mig.score"], 4),
    }


def draw(points: dict[str, list[dict[str, float]]], path: Path) -> None:
    """D over seconds, a line through the seeds' means, a dot for each run."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    ends = []
    for name, found in points.items():
        steps = sorted({one["steps"] for one in found})
        means = [
            [sum(one[key] for one in found if one["steps"] == count) / sum(one["steps"] == count for one in found)
             for count in steps]
            for key in ("seconds", "D")
        ]  # fmt: skip
        (line,) = axes.plot(*means, label=name)
        axes.plot([one["seconds"] for one in found], [one["D"] for one in found], ".", color=line.get_color())
        ends.append((means[1][-1], means[0][-1], name, line.get_color()))
    lowest = 0.0
    for height, right, name, colour in sorted(ends):  # names do not stand on one another
        lowest = max(height, lowest)
        axes.annotate(name, (right, lowest), textcoords="offset points", xytext=(8, -3), fontsize=9, color=colour)
        lowest += 0.027
    axes.set_xscale("log")
    axes.set_xlabel("processor seconds of training")
    axes.set_ylabel("D of DCI, Shapes3D")
    axes.set_ylim(0)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    points = {name: [point(name, part, seed) for part in PARTS for seed in range(arguments.seeds)] for name in METHODS}
    (FOLDER / "over_time.json").write_text(json.dumps(points, indent=1, ensure_ascii=False) + "\n")
    draw(points, FOLDER.parent / "pictures" / "over-time.png")
