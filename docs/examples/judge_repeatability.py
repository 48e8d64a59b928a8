"""How far a judge of images repeats itself: what it says of the same images shifted, darkened and mirrored.

    python judge_repeatability.py [GENERATOR [PREDICTOR [ATTRIBUTES THAT A MIRROR TURNS ROUND ...]]]
    python judge_repeatability.py faces faces turn

Printed for each attribute: the correlation of the two answers over images, and the part of the answers' deviation over
images that is the judge's own wavering (deviation of the difference over √2). A judge that wavers by half a deviation
is no use for single images, and fine for means over hundreds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import contrafact as cf
from contrafact.nn.attributes import Predictor, load_predictor


def shifted(images: Tensor, right: int, down: int) -> Tensor:
    """Images moved by whole pixels, their edges continued."""
    pad = max(abs(right), abs(down))
    height, width = images.shape[2:]
    wide = F.pad(images, (pad, pad, pad, pad), mode="replicate")
    return wide[:, :, pad - down : pad - down + height, pad - right : pad - right + width]


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "a pixel right": lambda images: shifted(images, 1, 0),
    "a pixel down": lambda images: shifted(images, 0, 1),
    "5 % darker": lambda images: 0.95 * images,
    "mirrored": lambda images: images.flip(-1),
}


def repeatability(
    judge: Predictor, images: Tensor, turned_by_mirror: Sequence[str] = ()
) -> dict[str, dict[str, tuple[float, float]]]:
    """``{change: {attribute: (correlation, wavering)}}``, over images that are judged both ways."""
    before = judge.scores(images).double().numpy()
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for change, make in CHANGES.items():
        after = judge.scores(make(images)).double().numpy()
        both = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
        table[change] = {}
        for number, name in enumerate(judge.names):
            sign = -1 if change == "mirrored" and name in turned_by_mirror else 1
            first, second = before[both, number], sign * after[both, number]
            wavering = (second - first).std() / np.sqrt(2) / first.std()
            table[change][name] = (float(np.corrcoef(first, second)[0, 1]), float(wavering))
    return table


def main(generator: str = "faces", predictor: str = "faces", *turned_by_mirror: str) -> None:
    network, judge = cf.load_generator(generator), load_predictor(predictor)
    with torch.no_grad():
        latents = network.sample(300, seed=0)
        images = torch.cat([network(batch) for batch in latents.split(50)]).clamp(0, 1)
        names = judge.learn_names(images[:2])
        table = repeatability(judge, images, turned_by_mirror or ("turn",))
        answers = judge.scores(images).numpy()
    print(f"judged {np.isfinite(answers).all(axis=1).mean():.1%} of {len(images)}")
    for name, mean, deviation in zip(names, np.nanmean(answers, axis=0), np.nanstd(answers, axis=0), strict=True):
        print(f"{name}: {mean:.3g} ± {deviation:.3g}")
    print("|  |", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for change, found in table.items():
        print(f"| {change} |", " | ".join(f"{found[name][0]:.3f}, {found[name][1]:.2f}" for name in names), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
