"""StyleGAN against genforce's program, in one process; the reading of its file is checked on the way.

    python benchmarks/stylegan.py CHECKOUT [--size 256] [--batch 2] [--threads 1] [--repeats 3]

CHECKOUT is a folder with https://github.com/genforce/genforce, which is not part of this package. A network of random
weights, noise and biases is made there, saved as its programs do, and read here. In float64 images of mixed W must
agree to 1e-9, and those of noise, truncated at the first eight layers, to 1e-5: reading scales the mapping's biases in
float32. Times are processor time in float32, the least of the repeats, which alternate between the two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.generators import StyleGAN
from contrafact.generators.checkpoints import load_generator


def original(checkout: Path, size: int) -> Any:
    """The original's network, with everything that a trained one has."""
    sys.path.insert(0, str(checkout))
    from models.stylegan_generator import StyleGANGenerator  # type: ignore[import-not-found]

    network = StyleGANGenerator(size).eval().requires_grad_(False)
    for name, tensor in network.named_parameters():
        if name.endswith("bias"):
            tensor.normal_(0, 10.0 if "mapping" in name else 0.1)  # the mapping's are scaled by 0.01 when used
        elif name.endswith("apply_noise.weight"):
            tensor.normal_(0, 0.1)
    network.truncation.w_avg.normal_(0, 0.1)
    return network


def read(network: Any) -> StyleGAN:
    """Ours, from the original's file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not say all about its network")
        torch.save({"generator_smooth": network.state_dict()}, Path(folder, "model.pth"))
        generator = load_generator(Path(folder, "model.pth"))
    assert isinstance(generator, StyleGAN)
    return generator


@torch.no_grad()
def check(network: Any, generator: StyleGAN) -> None:
    """Compare images in float64."""
    network.double()
    generator.double()
    z = torch.randn(2, 512, dtype=torch.float64)
    w = network.mapping(z)["w"]
    mixed = generator.mix(w, w.roll(1, 0), 4)
    truncated = generator.truncate(generator.map(z), 0.7, (0, 8))
    for what, ours, theirs, most in (
        ("mixed", mixed, mixed, 1e-9),
        ("truncated", truncated, network.truncation(w, 0.7, 8), 1e-5),
    ):
        difference = float((generator(ours) - (network.synthesis(theirs)["image"] + 1) / 2).abs().max())
        assert difference < most, f"{what} images differ by {difference:.1e}"
        print(f"{what} images in float64: largest difference {difference:.0e}")
    network.float()
    generator.float()


def without_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> None:
    with torch.no_grad():
        run(latent)


def with_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> None:
    run(latent.clone().requires_grad_()).square().mean().backward()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = original(options.checkout, options.size)
    generator = read(network)
    print(f"{options.size} px, batch {options.batch}, {options.threads} thread(s)")
    check(network, generator)

    def theirs(latent: Tensor) -> Tensor:
        image: Tensor = network.synthesis(latent[:, None].expand(-1, network.num_layers, -1))["image"]
        return image

    latent = torch.randn(options.batch, 512)
    for what, measured in (("forward", without_gradient), ("forward + backward", with_gradient)):
        times: list[tuple[float, float]] = []
        for _ in range(options.repeats):
            begin = time.process_time()
            measured(theirs, latent)
            middle = time.process_time()
            measured(generator, latent)
            times.append((middle - begin, time.process_time() - middle))
        slow, fast = (1000 * min(column) for column in zip(*times, strict=True))
        print(f"{what:>18}: genforce {slow:8.1f} ms, contrafact {fast:8.1f} ms, {slow / fast:.2f} times as fast")


if __name__ == "__main__":
    main()
