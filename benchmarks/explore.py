"""The live page: time from a slider's move to the picture's pixels, and the server's memory after a thousand moves.

The server is the command itself, in a process of its own; this one is the browser: it sends a state, waits for the
picture and decodes it, one move after the other as a slider does. A large StyleGAN2 (config-f, weights drawn at random)
shows the small picture that comes first.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from contrafact.app.wire import unpacked

_numbers = itertools.count()


@contextmanager
def explored(*arguments: str) -> Iterator[tuple[ClientConnection, int]]:
    """A page of ``contrafact explore ARGUMENTS``, and the server's process."""
    command = [sys.executable, "-m", "contrafact", "explore", *arguments, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            server.stdout.readline()
            address = urlsplit(server.stdout.readline().strip())
            with connect(f"ws://{address.netloc}/socket?{address.query}", max_size=None) as socket:
                socket.recv()
                yield socket, server.pid
        finally:
            server.terminate()


def move(socket: ClientConnection, state: dict[str, Any]) -> tuple[float, float]:
    """Seconds to the first picture's pixels and to the last one's."""
    start, first = time.perf_counter(), 0.0
    socket.send(json.dumps({"id": next(_numbers), "type": "render", "slot": "main", "state": state}))
    while True:
        message = socket.recv()
        assert isinstance(message, bytes), message
        header, body = unpacked(message)
        np.asarray(Image.open(io.BytesIO(body)))
        seconds = time.perf_counter() - start
        first = first or seconds
        if header["final"]:
            return first, seconds


def moves(socket: ClientConnection, count: int) -> list[tuple[float, float]]:
    """A slider dragged there and back over one image."""
    swing = itertools.cycle([*range(-25, 25), *range(25, -25, -1)])
    return [move(socket, {"latent": {"seed": 1}, "magnitudes": {"0": next(swing) / 10}}) for _ in range(count)]


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def milliseconds(seconds: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{1000 * statistics.median(seconds):.1f} ms, 95 % within {1000 * float(np.quantile(seconds, 0.95)):.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument(
        "--repeats", type=int, default=3, help="the best median of so many is given: machines are shared"
    )
    parser.add_argument("--large", action="store_true", help="also config-f at 256 pixels (a few minutes)")
    options = parser.parse_args()
    for name in ("shapes3d", "fashion-mnist"):
        with explored("--generator", name) as (socket, server):
            moves(socket, 50)
            before = resident(server)
            rounds = [[last for _, last in moves(socket, options.moves)] for _ in range(options.repeats)]
            best = min(rounds, key=statistics.median)
            moves(socket, max(0, 1000 - options.moves * options.repeats))
            print(
                f"{name}: slider to pixel {milliseconds(best)} (medians of {options.repeats} rounds: "
                f"{', '.join(f'{1000 * statistics.median(r):.1f}' for r in rounds)}); memory {before:.0f} MiB, "
                f"{resident(server) - before:+.1f} MiB after 1,000 moves",
                flush=True,
            )
    if options.large:
        large()


def large() -> None:
    """The small picture first, where the generator takes long."""
    import torch

    from contrafact.core.artefact import save_artefact
    from contrafact.core.directions import GlobalDirections
    from contrafact.generators.stylegan2 import StyleGAN2

    with tempfile.TemporaryDirectory() as folder:
        generator = StyleGAN2(256).freeze()
        save_artefact(generator, Path(folder, "large.safetensors"))
        directions = GlobalDirections.of(torch.randn(4, 512, generator=torch.Generator().manual_seed(0)))
        save_artefact(directions, Path(folder, "four.safetensors"))
        arguments = ("--generator", f"{folder}/large.safetensors", "--use", f"{folder}/four.safetensors")
        with explored(*arguments) as (socket, _):
            moves(socket, 2)
            pairs = moves(socket, 10)
            small, final = zip(*pairs, strict=True)
            print(f"config-f, 256 px: first (small) picture {milliseconds([*small])}; final {milliseconds([*final])}")


if __name__ == "__main__":
    main()
