"""What a diffusion model costs to edit, and what a training step on a large one would hold.

    python benchmarks/diffusion.py [--run runs/d] [--batch 32] [--repeats 5] [--threads 1]

The small model's times are processor time, the least of the repeats. Stable Diffusion 1.5 is built on torch's ``meta``
device, where tensors have sizes and no content: what a step of LatentCLR keeps for its gradients is counted there,
nothing is allocated or computed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from contrafact import load_generator
from contrafact.core.generator import Generator
from contrafact.generators import Diffusion, RectifiedFlow
from contrafact.training.step_memory import GIB, graph_bytes

STABLE_DIFFUSION: dict[str, Any] = {
    "denoiser": {
        "class": "UNet2DConditionModel",
        "config": {
            "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
            "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768, "attention_head_dim": 8,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        },
    },
    "solver": {
        "class": "DDIMScheduler",
        "config": {
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
            "set_alpha_to_one": False, "steps_offset": 1,
        },
    },
    "vae": {
        "class": "AutoencoderKL",
        "config": {
            "sample_size": 512, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
            "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
            "scaling_factor": 0.18215,
        },
    },
    "text": (77, 768),
}  # fmt: skip
"""Stable Diffusion 1.5, as its folder says it is."""
DIRECTIONS, LATENTS = 10, 2


def least(step: Callable[[], object], repeats: int) -> float:
    times = []
    step()
    for _ in range(repeats):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return min(times)


def small(generator: Generator, batch: int, repeats: int) -> None:
    latent = generator.sample(batch, seed=0)
    moved = latent.clone()
    moved[:, slice(*generator.edit_range)] = torch.randn(batch, generator.edit_dim)
    bare = RectifiedFlow(**{**generator.arguments(), "space": "noise"})
    bare.load_state_dict(generator.state_dict())
    bare.freeze()

    def with_gradient() -> Tensor:
        tracked = moved.clone().requires_grad_()
        generator(tracked).square().mean().backward()
        assert tracked.grad is not None
        return tracked.grad

    with torch.no_grad():
        plain = least(lambda: bare(latent[:, : generator.prior_dim]), repeats)
        edited = least(lambda: generator(moved), repeats)
        alone = least(lambda: generator(moved[:1]), repeats)
    gradient = least(with_gradient, repeats)
    for what, seconds in (
        ("an image without an edit", plain / batch),
        ("an image with an h edit", edited / batch),
        ("one image alone, with an h edit", alone),
        ("with its gradient", gradient / batch),
    ):
        print(f"{what}: {1000 * seconds:.1f} ms")


def dry(steps: int, guidance: float) -> None:
    for checkpointed, last in ((False, None), (True, None), (True, 3)):
        with torch.device("meta"):
            generator = Diffusion(
                **STABLE_DIFFUSION, steps=steps, guidance=guidance, checkpointed=checkpointed, gradient_steps=last
            ).freeze()
            latents = torch.zeros(2, generator.latent_dim, requires_grad=True)
            one = graph_bytes(lambda some, generator=generator: generator.features(some, "up1"), latents)
        how = "checkpointed" if checkpointed else "all activations kept"
        through = "all steps" if last is None else f"the last {last} steps"
        print(
            f"Stable Diffusion 1.5, {steps} steps, guidance {guidance:g}, {how}, gradients through {through}: "
            f"{one / GIB:.2f} GiB for an edit; LatentCLR with {DIRECTIONS} directions at {LATENTS} latents "
            f"{DIRECTIONS * LATENTS * one / GIB:.1f} GiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="a run of diffusion; by default random weights of its quick preset's size")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20, help="of Stable Diffusion")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.run is None:
        generator: Generator = RectifiedFlow((1, 28, 28), (48, 96, 128), 2).freeze()
    else:
        generator = load_generator(options.run).freeze()
    small(generator, options.batch, options.repeats)
    dry(options.steps, 7.5)


if __name__ == "__main__":
    main()
