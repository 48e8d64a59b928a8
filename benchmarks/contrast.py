"""Speed of the contrastive methods, as JSON: ``python benchmarks/contrast.py [--repeats 5]``.

View pairs a second against a loop that pastes one digit after the other; views a second against the same views by
kornia's functions; a step with the Hessian regulariser, whose gradient needs a double backward, against the same step
without it; a queue push against concatenating a new queue.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)

from contrafact.data.mnist_stl import LEFTS, MNISTSTL, TOPS
from contrafact.methods.sub_infomax import SubInfoMax
from contrafact.training.momentum import FeatureQueue
from contrafact.training.views import MOCO, Views

BATCH = 256


def seconds(work, repeats):
    """Median processor time of a call, so that other load on the machine counts little."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def pair_loop(dataset, indices):
    """One image after the other, in floats."""
    sides = []
    for view in range(2):
        images = []
        for index in indices:
            digit, background = dataset._rows_VM2[view, index]
            place = dataset._factors_VMK[view, index, 1]
            image = dataset._backgrounds_NCHW[background].astype(np.float32) / 255
            top, left = TOPS[place // 4], LEFTS[place % 4]
            pasted = dataset._digits_NHW[digit].astype(np.float32) / 255
            image[:, top : top + 28, left : left + 28] = np.maximum(image[:, top : top + 28, left : left + 28], pasted)
            images.append(torch.from_numpy(image))
        sides.append(torch.stack(images))
    return sides


def pairs(repeats):
    figures, rng = {}, np.random.default_rng(0)
    for size in (64, 32):
        dataset = MNISTSTL(size=size)
        indices = rng.integers(len(dataset), size=BATCH)
        fast = seconds(lambda d=dataset, i=indices: d.pairs(i), 4 * repeats)
        figures[f"pairs_per_second_{size}"] = round(BATCH / fast)
        if size == 64:
            first, second = pair_loop(dataset, indices)
            made = dataset.pairs(indices)
            torch.testing.assert_close(made.first, first)
            torch.testing.assert_close(made.second, second)
            figures["plain_loop_64"] = round(BATCH / seconds(lambda d=dataset, i=indices: pair_loop(d, i), repeats))
    return figures


def kornia_views(images, rng):
    """The colour changes of MoCo's views, one kornia function after the other."""
    n = len(images)
    factors = [0.6 + 0.8 * torch.rand(n, generator=rng) for _ in range(3)]
    images = adjust_brightness_accumulative(images, factors[0])
    images = adjust_contrast_with_mean_subtraction(images, factors[1])
    images = adjust_saturation_with_gray_subtraction(images, factors[2])
    images = adjust_hue(images, (torch.rand(n, generator=rng) - 0.5) * 1.6 * torch.pi)
    gray = torch.rand(n, generator=rng) < 0.2
    return torch.where(gray[:, None, None, None], rgb_to_grayscale(images).expand_as(images), images)


def views(repeats):
    images = torch.rand(BATCH, 3, 64, 64)
    rng = torch.Generator().manual_seed(0)
    color, everything = Views(["light", "color", "grayscale"], MOCO), Views(["crop", "flip", "light", "color"], MOCO)
    ours, theirs = seconds(lambda: color(images, rng), repeats), seconds(lambda: kornia_views(images, rng), repeats)
    return {
        "color_views_per_second": round(BATCH / ours),
        "kornia_color_views_per_second": round(BATCH / theirs),
        "ratio": round(theirs / ours, 1),
        "crop_flip_color_views_per_second": round(BATCH / seconds(lambda: everything(images, rng), repeats)),
    }


def hessian(repeats):
    """The step of the quick preset on ready images, with and without the regulariser; and of the losses alone."""
    figures = {}
    images = torch.rand(2 * 128, 3, 64, 64)
    quick = SubInfoMax.presets["quick"]
    plain = SubInfoMax(**quick, heads="joint", infomax="whole", weight=0.0)
    for reading in ("per_sample", "batch"):
        regular = SubInfoMax(**quick, regulariser="hessian", hessian=reading)
        torch.manual_seed(0)
        encoder = plain._networks((3, 64, 64))
        optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01, momentum=0.9)

        def step(method, encoder=encoder, optimizer=optimizer):
            z = encoder.project(encoder.encode(images)).float()
            z_VNPD = torch.nn.functional.normalize(z, dim=1).view(2, 128, 2, 8)
            infomax = method._infomax(z_VNPD, None, [[], []])
            loss = infomax.sum() + method.weight * method._regulariser(z_VNPD, infomax, torch.Generator())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        times = [seconds(lambda m=method: step(m), repeats) for method in (plain, regular)]
        figures |= {f"plain_step_{reading}": round(times[0], 4), f"hessian_step_{reading}": round(times[1], 4)}
        figures[f"ratio_{reading}"] = round(times[1] / times[0], 2)
        leaf = torch.nn.functional.normalize(torch.randn(2, 128, 2, 8), dim=-1).requires_grad_()

        def losses(method, leaf=leaf):
            infomax = method._infomax(leaf, None, [[], []])
            (infomax.sum() + method.weight * method._regulariser(leaf, infomax, torch.Generator())).backward()

        alone = [seconds(lambda m=method: losses(m), 10 * repeats) for method in (plain, regular)]
        figures[f"losses_alone_ratio_{reading}"] = round(alone[1] / alone[0], 2)
    return figures


def queue(repeats):
    """One push of 256 features into MoCo's queue of 65,536, and the copy it saves."""
    kept, new = FeatureQueue(65_536, 128), torch.randn(BATCH, 128)
    copied = kept.features.clone()
    ours = seconds(lambda: kept.push(new), 20 * repeats)
    copy = seconds(lambda: torch.cat([new, copied[:-BATCH]]), 20 * repeats)
    return {"push_us": round(1e6 * ours, 1), "concatenation_us": round(1e6 * copy, 1), "ratio": round(copy / ours, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    figures = {"threads": torch.get_num_threads(), "batch": BATCH}
    figures |= {"pairs": pairs(repeats), "views": views(repeats), "hessian": hessian(repeats), "queue": queue(repeats)}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
