"""StyleGAN2 synthesis against a plain grouped-convolution implementation, in one process.

    python benchmarks/generators.py [--threads 1] [--batch 4] [--repeats 3] [--device cpu] [--wall]

The plain one follows the paper's words: every sample's weights are modulated and demodulated, one grouped convolution
per layer works on all samples, upsampling convolves transposed and then blurs, contiguous tensors. Both share their
weights; outputs and gradients are compared before anything is timed. Times are the least of the repeats, which
alternate between the two. On a CPU processor time is taken, not the clock's (``--wall``), so that other load on the
machine counts little.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.generators import StyleGAN2

CASES = {
    "config-f, 256 px": {"size": 256, "channels": "config-f"},
    "small, 64 px": {"size": 64, "channels": "small", "mapping_layers": 3},
}


def plain_conv(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, kernel: Tensor | None) -> Tensor:
    n, in_channels, height, width = x.shape
    out_channels, size = weight.shape[0], weight.shape[2]
    weights = weight[None] / math.sqrt(weight[0].numel()) * styles[:, None, :, None, None]
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, n * in_channels, height, width)
    if kernel is None:
        x = F.conv2d(x, weights.flatten(0, 1), padding=size // 2, groups=n)
        return x.view(n, out_channels, height, width)
    x = F.conv_transpose2d(x, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    x = x.view(n * out_channels, 1, 2 * height + 1, 2 * width + 1)
    return F.conv2d(x, kernel, padding=1).view(n, out_channels, 2 * height, 2 * width)


def plain_synthesis(generator: StyleGAN2, latent: Tensor) -> Tensor:
    x = generator.const.contiguous().expand(len(latent), -1, -1, -1)
    image: Tensor | None = None
    for index, conv in enumerate(generator.convs):
        weight = conv.weight.contiguous()
        x = plain_conv(x, weight, conv.affine(latent), True, generator.kernel if conv.up else None)
        x = x + conv.noise_strength * conv.noise + conv.bias[:, None, None]
        x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        if index % 2 == 0:
            to_image = generator.to_images[index // 2]
            weight = to_image.weight[:, :, None, None]
            increment = plain_conv(x, weight, to_image.affine(latent), False, None) + to_image.bias[:, None, None]
            if image is not None:
                n, channels, height, width = image.shape
                flat = image.reshape(n * channels, 1, height, width)
                grown = F.conv_transpose2d(flat, generator.kernel, stride=2, padding=1)
                increment = increment + grown.view(n, channels, 2 * height, 2 * width)
            image = increment
    assert image is not None
    return (image + 1) / 2


def without_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
    with torch.no_grad():
        return run(latent)


def with_gradient(run: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
    latent = latent.clone().requires_grad_()
    run(latent).square().mean().backward()
    assert latent.grad is not None
    return latent.grad


def seconds(step: Callable[[], object], clock: Callable[[], float], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    begin = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - begin


def compare(name: str, generator: StyleGAN2, latent: Tensor, options: argparse.Namespace) -> None:
    plain = partial(plain_synthesis, generator)
    for what, measured in (("forward", without_gradient), ("forward + backward", with_gradient)):
        expected, found = measured(plain, latent), measured(generator, latent)
        difference = float((found - expected).norm() / expected.norm())
        assert difference < 1e-3, f"{name}, {what}: results differ by {difference:.1e}"
        clock = time.perf_counter if options.wall else time.process_time
        times = [
            [seconds(partial(measured, run, latent), clock, options.device) for run in (plain, generator)]
            for _ in range(options.repeats)
        ]
        slow, fast = (1000 * min(column) for column in zip(*times, strict=True))
        print(
            f"{name:>17}, {what:>18}: plain {slow:8.1f} ms, contrafact {fast:8.1f} ms, {slow / fast:.2f} times as fast "
            f"(relative difference of the results {difference:.0e})"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--wall", action="store_true")
    options = parser.parse_args()
    options.wall = options.wall or options.device != "cpu"
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"torch {torch.__version__}, {options.device}, {options.threads} thread(s), batch {options.batch}, float32")
    for name, arguments in CASES.items():
        torch.manual_seed(0)
        generator = StyleGAN2(**arguments).freeze().to(options.device)
        latent = generator.sample(options.batch, torch.Generator().manual_seed(0))
        compare(name, generator, latent, options)


if __name__ == "__main__":
    main()
