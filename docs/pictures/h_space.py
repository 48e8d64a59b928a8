"""Draws a diffusion model's bottleneck at work: docs/pictures/h-space.png, h-space-photographs.png.

python docs/pictures/h_space.py
"""

from pathlib import Path

import numpy as np
import torch

import contrafact as cf
from contrafact.core.pictures import to_bytes
from contrafact.editing.inversion import invert
from contrafact.report.figures import magnitude_labels, magnitude_range, sweep, traversal_sheet
from contrafact.report.sheets import sheet

HERE = Path(__file__).parent
SEED, FRAMES, MOST = 11, 9, 6
PHOTOGRAPHS, DIRECTION, MAGNITUDES = (23, 39, 0), 4, (-8.0, -5.0, 5.0, 8.0)

if __name__ == "__main__":
    generator = cf.load_generator("fashion-mnist-diffusion")
    run = cf.methods.GANSpace(num_directions=10).fit(generator, "runs/pictures/h-space")
    start = generator.sample(1, torch.Generator().manual_seed(SEED))
    swept = sweep(generator, run.directions, start, magnitude_range(FRAMES, generator.figure_span), most=MOST)
    traversal_sheet(swept).save(HERE / "h-space.png")

    photographs = cf.load_dataset("fashion-mnist", split="test").batch(PHOTOGRAPHS)
    found = invert(generator, photographs, progress=False)
    edited = [generator(run.directions(found.latents, DIRECTION, by)) for by in MAGNITUDES]
    columns = torch.stack([photographs, *edited[:2], found.images, *edited[2:]], dim=1)
    low, high = (magnitude_labels(np.array(part)) for part in (MAGNITUDES[:2], MAGNITUDES[2:]))
    labels = [f"{psnr:.0f} dB" for psnr in found.psnr.tolist()]
    names = ["photograph", *low, "found", *high]
    sheet(to_bytes(columns), "", labels, names, upscale=3).save(HERE / "h-space-photographs.png")
