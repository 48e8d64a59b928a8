"""Draws docs/pictures/h-space.png: directions of a diffusion model's bottleneck on one boot.

python docs/pictures/h_space.py
"""

from pathlib import Path

import torch

import contrafact as cf
from contrafact.report.figures import magnitude_range, sweep, traversal_sheet

OUT = Path(__file__).with_name("h-space.png")
SEED, FRAMES, MOST = 11, 9, 6

if __name__ == "__main__":
    generator = cf.load_generator("fashion-mnist-diffusion")
    run = cf.methods.GANSpace(num_directions=10).fit(generator, "runs/pictures/h-space")
    start = generator.sample(1, torch.Generator().manual_seed(SEED))
    swept = sweep(generator, run.directions, start, magnitude_range(FRAMES, generator.figure_span), most=MOST)
    traversal_sheet(swept).save(OUT)
