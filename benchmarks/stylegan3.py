"""StyleGAN3 against the original program's reference operations, in one process.

    python benchmarks/stylegan3.py CHECKOUT [--only config-r] [--size 64] [--threads 1] [--batch 2] [--repeats 3]

CHECKOUT is a checkout of NVlabs/stylegan3, which computes without its CUDA extensions on a CPU. Both have the same
random weights; images and gradients are compared before anything is timed. Times are the least of the repeats, which
alternate between the two: processor time, not the clock's (``--wall``), so that other load counts little.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.generators._settings import Settings
from contrafact.generators._stored import StoredModule
from contrafact.generators.stylegan3 import CHANNELS, read

CASES: dict[str, dict[str, Any]] = {
    "config-t": {},
    "config-r": {"conv_kernel": 1, "use_radial_filters": True},
}


def original(checkout: Path) -> Any:
    """The module of its networks."""
    version = types.ModuleType("pkg_resources")  # which new releases of setuptools have no more
    version.parse_version = lambda text: tuple(int(part) for part in text.split("+")[0].split(".")[:2])  # type: ignore[attr-defined]
    sys.modules.setdefault("pkg_resources", version)
    sys.path.insert(0, str(checkout))
    from training import networks_stylegan3

    return networks_stylegan3


def without_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
    with torch.no_grad():
        return run(latent)


def with_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
    latent = latent.clone().requires_grad_()
    run(latent).square().mean().backward()
    assert latent.grad is not None
    return latent.grad


def seconds(step: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    step()
    return clock() - begin


def compare(name: str, networks: Any, options: argparse.Namespace) -> None:
    base, most = CHANNELS[name]
    torch.manual_seed(0)
    network = networks.Generator(512, 0, 512, options.size, 3, channel_base=base, channel_max=most, **CASES[name])
    network = network.eval().requires_grad_(False)
    generator = read({"G_ema": StoredModule("Generator", {}, network.state_dict())}, Settings(Path("none"), {}))
    assert generator is not None
    generator.freeze()

    def theirs(latent: Tensor) -> Tensor:
        image: Tensor = network.synthesis(latent[:, None].repeat(1, network.num_ws, 1))
        return (image + 1) / 2

    latent = generator.sample(options.batch, torch.Generator().manual_seed(0))
    for what, measured in (("forward", without_gradient), ("forward + backward", with_gradient)):
        expected, found = measured(theirs, latent), measured(generator, latent)
        difference = float((found - expected).norm() / expected.norm())
        assert difference < 1e-3, f"{name}, {what}: results differ by {difference:.1e}"
        clock = time.perf_counter if options.wall else time.process_time
        times = [
            [seconds(partial(measured, run, latent), clock) for run in (theirs, generator)]
            for _ in range(options.repeats)
        ]
        slow, fast = (1000 * min(column) for column in zip(*times, strict=True))
        print(
            f"{name}, {options.size} px, {what:>18}: original {slow:8.1f} ms, contrafact {fast:8.1f} ms, "
            f"{slow / fast:.2f} times as fast (relative difference of the results {difference:.0e})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--wall", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message=".*does not say all about its network")
    networks = original(options.checkout)
    print(f"torch {torch.__version__}, {options.threads} thread(s), batch {options.batch}, float32")
    for name in [options.only] if options.only else CASES:
        compare(name, networks, options)


if __name__ == "__main__":
    main()
