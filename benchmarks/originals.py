"""Losses, gradients and times of a method beside its authors' program, executed from a checkout on the same tensors.

The program runs as it is, on the CPU; after each of its steps one of ours is made, from the same weights, with the
same draws. ``authors/`` says of each method how. What a row needs beside the checkout (torchvision, rosinality's
StyleGAN2) is looked for on PYTHONPATH.

    python benchmarks/originals.py disco CHECKOUT --side 64 --batch 8 --steps 5
"""

from __future__ import annotations

import argparse
import importlib
import json
import warnings
from pathlib import Path

import torch

from contrafact.core.allocator import keep_freed_memory

METHODS = {
    "disco": "disco.measure",
    "latentclr": "latentclr.measure",
    "cd_gan": "codegan.measure",
    "moco": "moco.measure",
    "zerodim": "lord.zerodim",
    "overlord": "lord.overlord",
    "simclr": "losses.simclr",
    "sup_con": "losses.sup_con",
    "cmc": "losses.cmc",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--directions", type=int, default=100)
    parser.add_argument("--resnet", type=int, default=18, choices=[18, 50])
    parser.add_argument("--queue", type=int, default=65_536)
    parser.add_argument("--generator", default="stylegan2", choices=["stylegan2", "vae"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="ours alone")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    keep_freed_memory()  # as `contrafact fit` does; the program beside it gains too
    torch.set_default_dtype(getattr(torch, asked.dtype))
    module, _, function = METHODS[asked.method].partition(".")
    row = getattr(importlib.import_module(f"authors.{module}"), function)(asked.checkout.resolve(), asked)
    print(json.dumps({**row, "dtype": asked.dtype, "precision": asked.precision, "threads": torch.get_num_threads()}))
