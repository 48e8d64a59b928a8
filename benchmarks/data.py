"""Speed and memory of the datasets, as JSON: ``python benchmarks/data.py [--images 480000] [--shards 4000]``.

Images a second against a plain loop that makes one image after the other in numpy, in the same process; then a file in
the published 3dshapes.h5 layout (gzipped chunks of 15,000 x 4 x 4 x 1) streamed at random in a process of its own, with
the highest resident memory that process ever had, the one-off unpacking included. ``--shards`` compares JPEGs in a
plain folder with the same in tars and parquet files, here and far away (fsspec's memory), in random batches.
"""

import argparse
import colorsys
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from contrafact.data._square import decode_square
from contrafact.data.dsprites import DSprites
from contrafact.data.images import Images
from contrafact.data.shapes3d import SKY_COLOUR, Shapes3D
from contrafact.data.shards import Shards

BATCH = 256
REPEATS = 15


def rate(make, count):
    """Images a second: the median over repeats."""
    make()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        make()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def compared(batch, loop, indices, loop_count=64):
    fast, slow = rate(lambda: batch(indices), len(indices)), rate(lambda: loop(indices[:loop_count]), loop_count)
    torch.testing.assert_close(batch(indices[:loop_count]), torch.from_numpy(loop(indices[:loop_count])))
    return {"images_per_second": round(fast), "plain_loop": round(slow), "ratio": round(fast / slow, 1)}


def shapes3d_loop(dataset):
    _, height, width = dataset.image_shape
    buffers = dataset._buffers.numpy().reshape(480, 4, height, width)
    hues = np.array([colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in range(10)], dtype=np.float32)
    sky = np.array(SKY_COLOUR, dtype=np.float32)

    def make(indices):
        images = []
        for factors in dataset.factors_of(indices):
            layers = buffers[np.ravel_multi_index(tuple(factors[3:]), (8, 4, 15))]
            colours = [sky, *hues[factors[:3]]]
            image = np.zeros((3, height, width), dtype=np.float32)
            for layer, colour in zip(layers, colours, strict=True):
                image += colour[:, None, None] * layer
            images.append(image)
        return np.stack(images)

    return make


def dsprites_loop(dataset):
    rows, columns = np.mgrid[:64, :64].astype(np.float32) + np.float32(0.5)

    def make(indices):
        images = []
        for shape, scale, orientation, i, j in dataset.factors_of(indices):
            s = np.float32(0.5 + 0.1 * scale)
            angle = np.float32(2 * np.pi * (orientation % 39) / 39)
            x, y = columns - np.float32(16 + 32 * i / 31), rows - np.float32(16 + 32 * j / 31)
            u, v = (x * np.cos(angle) - y * np.sin(angle)) / s, (x * np.sin(angle) + y * np.cos(angle)) / s
            if shape == 0:
                inside = np.maximum(np.abs(u), np.abs(v)) <= 9.6
            elif shape == 1:
                inside = (u / 12.75) ** 2 + (v / 7.25) ** 2 <= 1
            else:
                c = np.sqrt(1 - np.minimum(np.abs(u) / 9.6, 1) ** np.float32(2 / 3))
                cos_2t, cos_3t = 2 * c**2 - 1, 4 * c**3 - 3 * c
                odd, even = 13 * c - 2 * cos_3t, -5 * cos_2t - (2 * cos_2t**2 - 1)
                inside = (np.abs(u) <= 9.6) & (v >= -0.65 * (even + odd) - 1.5) & (v <= -0.65 * (even - odd) - 1.5)
            images.append(inside[None].astype(np.float32))
        return np.stack(images)

    return make


def write_published_layout(folder, count):
    """A file as published, holding the first ``count`` images of the stand-in."""
    dataset = Shapes3D()
    dataset.factor_sizes = (count // 48_000, *dataset.factor_sizes[1:])
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file["labels"] = dataset.factors_of(np.arange(count)).astype(np.float64)
        layout = {"chunks": (15_000, 4, 4, 1), "compression": "gzip", "compression_opts": 1}
        images = file.create_dataset("images", (count, 64, 64, 3), np.uint8, **layout)
        for first in range(0, count, 15_000):
            block = np.empty((min(15_000, count - first), 64, 64, 3), dtype=np.uint8)
            for start in range(0, len(block), 1_000):
                index = np.arange(first + start, first + min(start + 1_000, len(block)))
                block[start : start + len(index)] = (dataset.batch(index) * 255).round().byte().permute(0, 2, 3, 1)
            images[first : first + len(block)] = block


STREAM = """
import json, sys, time
import numpy as np
from contrafact.data.shapes3d import Shapes3D

def resident_mb(kind):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(kind))

folder, count = sys.argv[1], int(sys.argv[2])
Shapes3D.factor_sizes = (count // 48_000, *Shapes3D.factor_sizes[1:])
start = time.perf_counter()
dataset = Shapes3D(path=folder)
opened = time.perf_counter()
order = np.random.default_rng(0).permutation(count)
for first in range(0, count, 256):
    dataset.batch(order[first : first + 256])
print(json.dumps({
    "images": count,
    "unpacking_seconds": round(opened - start, 1),
    "images_per_second": round(count / (time.perf_counter() - opened)),
    "resident_mb_while_streaming": round(resident_mb("VmRSS")),
    "highest_resident_mb": round(resident_mb("VmHWM")),
}))
"""


def stream_published_layout(count):
    with tempfile.TemporaryDirectory() as folder:
        write_published_layout(Path(folder), count)
        size = (Path(folder) / "3dshapes.h5").stat().st_size
        environment = os.environ | {"CONTRAFACT_CACHE": folder}
        command = [sys.executable, "-c", STREAM, folder, str(count)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {"file_mb": round(size / 1e6)} | json.loads(result.stdout)


def write_photographs(folder, count, side=256):
    """JPEGs of smooth noise in a folder, in eight tars, and in a parquet file."""
    import pyarrow
    import pyarrow.parquet

    rng, encoded = np.random.default_rng(0), []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        encoded.append(stream.getvalue())
    for form in ("folder", "tars"):
        (folder / form).mkdir()
    for number, content in enumerate(encoded):
        (folder / "folder" / f"{number:06}.jpg").write_bytes(content)
    for shard in range(8):
        with tarfile.open(folder / "tars" / f"{shard}.tar", "w") as archive:
            for number in range(shard, count, 8):
                member = tarfile.TarInfo(f"{number:06}.jpg")
                member.size = len(encoded[number])
                archive.addfile(member, io.BytesIO(encoded[number]))
    cells = pyarrow.table({"image": [{"bytes": content, "path": None} for content in encoded]})
    pyarrow.parquet.write_table(cells, folder / "all.parquet", row_group_size=100)
    return sum(map(len, encoded))


def pass_rate(load, batches):
    """Seconds to the first batch, and images a second from then on."""
    rng, start = np.random.default_rng(0), time.perf_counter()
    dataset = load()
    dataset.random_batch(64, rng)
    first, start = time.perf_counter() - start, time.perf_counter()
    for _ in range(batches):
        dataset.random_batch(64, rng)
    return {
        "first_batch_seconds": round(first, 2),
        "images_per_second": round(64 * batches / (time.perf_counter() - start)),
    }


def plain_loop(folder, count):
    """Images a second of one file after the other."""
    rng = np.random.default_rng(0)

    def make():
        for number in rng.integers(count, size=64):
            decode_square(folder / f"{number:06}.jpg", 3, "#ffffff", 64, "crop")

    return rate(make, 64)


def shards(count):
    import fsspec

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:  # the next batch is being read ahead
        folder = Path(name)
        os.environ["CONTRAFACT_CACHE"] = str(folder / "cache")
        figures = {"images": count, "mb": round(write_photographs(folder, count) / 1e6)}
        for file in [*(folder / "tars").iterdir(), folder / "all.parquet"]:
            fsspec.filesystem("memory").pipe_file(f"/{file.name}", file.read_bytes())
        batches = 3 * count // 128
        figures["folder, decoded once"] = pass_rate(lambda: Images(folder / "folder", size=64), batches)
        figures["folder, a plain loop"] = round(plain_loop(folder / "folder", count))
        (folder / "cache").rename(folder / "old")
        for case, place in (
            ("tars here", folder / "tars"),
            ("tars far away", "memory://{0..7}.tar"),
            ("parquet here", folder / "all.parquet"),
            ("parquet far away", "memory://all.parquet"),
        ):
            figures[case] = pass_rate(lambda place=place: Shards(place, size=64), batches)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=48_000, help="images in the file, a multiple of 48000; 0: no file"
    )
    parser.add_argument("--shards", type=int, default=0, help="photographs in shards, and nothing else; 0: none")
    arguments = parser.parse_args()
    if arguments.shards:
        print(json.dumps({"threads": torch.get_num_threads(), **shards(arguments.shards)}, indent=2))
        return
    os.environ["CONTRAFACT_DATA"] = tempfile.gettempdir()  # stand-ins, whatever files lie here
    rng = np.random.default_rng(0)
    figures = {"threads": torch.get_num_threads(), "batch": BATCH}
    for size in (64, 32):
        dataset = Shapes3D(size=size)
        figures[f"shapes3d_{size}"] = compared(dataset.batch, shapes3d_loop(dataset), rng.integers(480_000, size=BATCH))
    dataset = DSprites()
    figures["dsprites_64"] = compared(dataset.batch, dsprites_loop(dataset), rng.integers(737_280, size=BATCH))
    for variant in ("color", "noisy"):
        varied = DSprites(variant=variant)
        indices = rng.integers(737_280, size=BATCH)
        figures[f"dsprites_{variant}"] = {
            "images_per_second": round(rate(lambda d=varied, i=indices: d.batch(i), BATCH))
        }
    if arguments.images:
        figures["3dshapes.h5"] = stream_published_layout(arguments.images)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
