"""β-TCVAE's densities against a plain transcription with an (N, N, J) tensor: time, processor time and peak memory.

Both compute the mean of log q(z) and of Σ log q(z_j), and their gradients, which are compared. Each size and program
runs in a process of its own; its peak is how far resident memory grows over what it was with the inputs.

    python benchmarks/vae.py
"""

from __future__ import annotations

import json
import math
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt
import torch

from contrafact.losses.independence import mean_log_densities

REPEATS = 5
FloatArray = npt.NDArray[np.float32]
Densities = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def plain_log_densities(
    sample_NJ: torch.Tensor, mean_NJ: torch.Tensor, log_variance_NJ: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a reader of the paper writes."""
    squares = (sample_NJ[:, None] - mean_NJ[None]) ** 2 * torch.exp(-log_variance_NJ)[None]
    log_q_NNJ = -0.5 * (squares + log_variance_NJ[None] + math.log(2 * math.pi))
    count, dims = mean_NJ.shape
    joint = torch.logsumexp(log_q_NNJ.sum(dim=2), dim=1).mean() - math.log(count)
    return joint, torch.logsumexp(log_q_NNJ, dim=1).sum(dim=1).mean() - dims * math.log(count)


def inputs(n: int, dims: int) -> list[torch.Tensor]:
    """Posteriors as a trained VAE has them: standard deviations from 0.05 to 1."""
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(n, dims, generator=rng), -6 * torch.rand(n, dims, generator=rng)
    sample = mean + (0.5 * log_variance).exp() * torch.randn(n, dims, generator=rng)
    return [x.requires_grad_() for x in (sample, mean, log_variance)]


def step(densities: Densities, given: list[torch.Tensor]) -> tuple[float, tuple[torch.Tensor, ...]]:
    joint, product = densities(*given)
    return (joint - product).item(), torch.autograd.grad(joint - product, given)


def measure(densities: Densities, n: int, dims: int, reply: Connection) -> None:
    torch.set_num_threads(1)
    step(densities, inputs(16, dims))  # code and thread pools, which are nobody's memory
    given = inputs(n, dims)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    value, gradients = step(densities, given)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds, processor = [], []
    for _ in range(REPEATS):
        begin, begin_processor = time.perf_counter(), time.process_time()
        step(densities, given)
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - begin_processor)
    reply.send(
        (
            value,
            [gradient.numpy() for gradient in gradients],
            statistics.median(seconds),
            statistics.median(processor),
            megabytes,
        )
    )


def in_a_process(densities: Densities, n: int, dims: int) -> tuple[float, list[FloatArray], float, float, float]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(densities, n, dims, theirs))
    process.start()
    result: tuple[float, list[FloatArray], float, float, float] = ours.recv()
    process.join()
    return result


if __name__ == "__main__":
    for n, dims in ((64, 10), (256, 10), (1024, 10), (1024, 32)):
        plain, lean = in_a_process(plain_log_densities, n, dims), in_a_process(mean_log_densities, n, dims)
        difference = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(lean[1], plain[1], strict=True))
        print(
            json.dumps(
                {
                    "N": n,
                    "J": dims,
                    "plain_ms": round(1000 * plain[2], 1),
                    "ours_ms": round(1000 * lean[2], 1),
                    "ratio": round(plain[2] / lean[2], 1),
                    "ratio_processor_time": round(plain[3] / lean[3], 1),
                    "plain_MB": round(plain[4], 1),
                    "ours_MB": round(lean[4], 1),
                    "N*N*J_MB": round(4 * n * n * dims / 2**20, 1),
                    "values": [round(plain[0], 4), round(lean[0], 4)],
                    "largest_gradient_difference": float(f"{difference:.1e}"),
                }
            ),
            flush=True,
        )
