"""How near inversion comes, by start and by steps: rendered Shapes3D images through the shipped generator.

    python benchmarks/inversion.py [--images 16]

Prints PSNR (mean and standard deviation over the images) and processor seconds per image. The generator's own
reconstructions of its training images, through its VAE's encoder, had a mean squared error of 0.00132 (28.8 dB).
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import contrafact as cf
from contrafact.core.run import Run
from contrafact.editing.encoder import fit_latent_encoder
from contrafact.editing.inversion import InversionSettings, invert
from contrafact.evaluation.regression import RegressionSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--encoder-steps", type=int, default=600)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = cf.load_generator("shapes3d")
    images = cf.load_dataset("shapes3d", size=32).random_batch(arguments.images, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        run = Run(Path(folder, "encoder"), device="cpu", progress=False)
        settings = RegressionSettings(steps=arguments.encoder_steps, batch_size=64, width=0.5)
        encoder = fit_latent_encoder(generator, run, settings)
        print(f"encoder: {arguments.encoder_steps} steps in {time.process_time() - begin:.0f} s of processor time")
    print(f"{'start':<28}{'steps':>6}  {'PSNR, dB':>12}  {'s per image':>11}")
    for name, given, starts in (
        ("the nearest of 512 samples", None, 1),
        ("the 4 nearest", None, 4),
        ("a regression encoder", encoder, 1),
        ("the encoder and the 3 nearest", encoder, 4),
    ):
        for steps in (1, 50, 100, 200, 400):
            begin = time.process_time()
            chosen = InversionSettings(steps=steps, starts=starts)
            found = invert(generator, images, encoder=given, settings=chosen, network="gradients", progress=False)
            seconds = (time.process_time() - begin) / len(images)
            spread = f"{found.psnr.mean():.1f} ± {found.psnr.std():.1f}"
            print(f"{name:<30}{steps:>4}  {spread:>12}  {seconds:>11.2f}", flush=True)


if __name__ == "__main__":
    main()
