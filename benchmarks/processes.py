"""Gradients of several processes, exchanged while they are computed against afterwards.

``torchrun --nproc-per-node 2 --standalone benchmarks/processes.py [--repeats 9]`` prints, for networks of 0.7, 12 and
47 MB, the median seconds of a backward pass without an exchange, with one message afterwards, and with messages on the
way.
"""

import argparse
import json
import statistics
import time

import torch
import torch.distributed as dist
from torch import nn

from contrafact.core.averaging import backward_and_average
from contrafact.core.processes import Processes


def network(channels):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, channels, 3, padding=1)]
    for _ in range(5):
        layers += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))


def afterwards(loss, parameters, processes):
    loss.backward()
    mean = processes.mean(torch.cat([p.grad.flatten() for p in parameters]))
    for p, gradient in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
        p.grad = gradient.view_as(p).clone()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    processes = Processes(torch.device("cpu"))
    torch.set_num_threads(1)
    for channels, batch, side in ((64, 16, 16), (256, 8, 8), (512, 4, 4)):
        net, images = network(channels), torch.rand(batch, 3, side, side)
        parameters = list(net.parameters())
        ways = {
            "no exchange": lambda loss, parameters, processes: loss.backward(),
            "afterwards": afterwards,
            "on the way": backward_and_average,
        }
        seconds = {way: [] for way in ways}
        for _ in range(repeats):
            for way, descend in ways.items():
                net.zero_grad(set_to_none=True)
                loss = net(images).square().mean()
                dist.barrier()
                start = time.perf_counter()
                descend(loss, parameters, processes)
                seconds[way].append(time.perf_counter() - start)
        if processes.is_main:
            size = sum(p.numel() for p in parameters) * 4 / 1e6
            medians = {way: round(statistics.median(values), 4) for way, values in seconds.items()}
            print(json.dumps({"mb": round(size, 1), "processes": processes.count, **medians}), flush=True)


if __name__ == "__main__":
    main()
