"""Shapes3D against facts of its geometry, a distance-field renderer of another kind, and files as published."""

import colorsys
import itertools
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from contrafact.data import _room
from contrafact.data.shapes3d import Shapes3D

from .tiny_files import SHAPES3D_SIZES, grid_labels, write_shapes3d

SKY = np.array([153, 226, 249]) / 255


@pytest.fixture(scope="module")
def dataset():
    return Shapes3D()


def render(dataset, **factors):
    names = ("floor", "wall", "thing", "scale", "shape", "orientation")
    return dataset.images(np.array([[factors.get(name, 0) for name in names]]))[0].numpy()


# --- an independent renderer: sphere tracing of distance fields, one ray at a time in float64 arrays


def object_distance(points, shape, scale):
    x, y, z = points.T
    radial = np.hypot(x, z)
    if shape == 0:
        half = 0.37 * scale
        q = np.abs(np.stack([x, y - half, z])) - half
        return np.linalg.norm(np.maximum(q, 0), axis=0) + np.minimum(q.max(axis=0), 0)
    if shape == 1:
        half = 0.73 * scale / 2
        q = np.stack([radial - 0.40 * scale, np.abs(y - half) - half])
        return np.linalg.norm(np.maximum(q, 0), axis=0) + np.minimum(q.max(axis=0), 0)
    if shape == 2:
        return np.linalg.norm(np.stack([x, y - 0.40 * scale, z]), axis=0) - 0.40 * scale
    low, high = 0.36 * scale, (1.35 - 0.36) * scale
    return np.hypot(radial, y - np.clip(y, low, high)) - 0.36 * scale


def march(start, rays, field, steps=300):
    """Distance to the first zero of ``field`` along unit rays; infinite where none is met within 30."""
    travelled = np.full(len(rays), 1e-3)
    for _ in range(steps):
        travelled += np.clip(field(start + travelled[:, None] * rays), -1, 1)
    met = (np.abs(field(start + travelled[:, None] * rays)) < 1e-4) & (travelled < 30)
    return np.where(met, travelled, np.inf)


def lit(points, normals, in_shadow):
    lamp = np.array([-1.7, 5.0, 2.3])
    towards = lamp - points
    cosine = np.maximum((towards * normals).sum(1) / np.linalg.norm(towards, axis=1), 0)
    light = 0.28 + np.maximum(normals @ [0.30, 0.06, 0.30], 0) + 0.75 * cosine * ~in_shadow
    return np.minimum(light, 1)


def slow_pixels(pixels, colours, shape, scale, degrees):
    """Colours ``(P, 3)`` of pixels given as (row, column), each the mean of 16 rays."""
    angle = np.deg2rad(degrees)
    camera = np.array([2.762 * np.sin(angle), 0.757, 2.762 * np.cos(angle)])
    sub = (np.arange(4) + 0.5) / 4
    rows = (pixels[:, 0, None, None] + sub[:, None]).repeat(4, axis=2).ravel()
    columns = (pixels[:, 1, None, None] + sub[None, :]).repeat(4, axis=1).ravel()
    view = np.stack([columns - 32, 32 - rows, np.full(len(rows), -71.4)], axis=1)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    rays = view @ turn.T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)

    def thing(points):
        return object_distance(points, shape, scale)

    def room(points):
        return np.minimum(points[:, 1], np.minimum(3.5 - np.abs(points[:, 0]), 3.5 - np.abs(points[:, 2])))

    to_thing, to_room = march(camera, rays, thing), march(camera, rays, room)
    colour = np.empty((len(rays), 3))
    hit = np.isfinite(to_thing)
    points = camera + to_thing[hit, None] * rays[hit]
    step = 1e-5 * np.eye(3)
    normals = np.stack([thing(points + e) - thing(points - e) for e in step], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colour[hit] = colours[2] * lit(points, normals, np.zeros(len(points), dtype=bool))[:, None]
    points = camera + to_room[~hit, None] * rays[~hit]
    on_floor = points[:, 1] < 1e-4
    on_side = np.abs(points[:, 0]) > 3.5 - 1e-4
    normals = np.where(
        on_floor[:, None],
        [0.0, 1.0, 0.0],
        np.where(
            on_side[:, None], -np.sign(points[:, [0]]) * [1.0, 0.0, 0.0], -np.sign(points[:, [2]]) * [0.0, 0.0, 1.0]
        ),
    )
    to_lamp = np.array([-1.7, 5.0, 2.3]) - points
    in_shadow = on_floor & np.isfinite(march(points, to_lamp / np.linalg.norm(to_lamp, axis=1, keepdims=True), thing))
    paint = np.where(on_floor[:, None], colours[0], colours[1]) * lit(points, normals, in_shadow)[:, None]
    colour[~hit] = np.where(points[:, [1]] > 2.05, SKY, paint)
    return colour.reshape(-1, 16, 3).mean(axis=1)


@pytest.mark.parametrize(("shape", "scale", "orientation"), [(0, 7, 0), (1, 3, 11), (2, 0, 7), (3, 5, 14)])
def test_pixels_equal_an_independent_renderers(dataset, shape, scale, orientation):
    image = render(dataset, floor=1, wall=4, thing=8, shape=shape, scale=scale, orientation=orientation)
    colours = np.array([colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in (1, 4, 8)])
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.integers(64, size=(150, 2)), rng.integers(24, 52, size=(250, 2))])
    expected = slow_pixels(pixels, colours, shape, 0.75 + scale / 14, -30 + 60 * orientation / 14)
    difference = np.abs(image[:, pixels[:, 0], pixels[:, 1]].T - expected).max(axis=1)
    assert np.quantile(difference, 0.95) < 2e-3  # the buffers are float16
    assert difference.max() < 1.5 / 16  # on an edge a ray may fall on the other side


# --- facts


def test_factors_are_those_of_the_published_file():
    assert Shapes3D.factor_names == ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    assert Shapes3D.factor_sizes == (10, 10, 10, 8, 4, 15)
    assert _room.SHAPES == ("cube", "cylinder", "sphere", "capsule")
    np.testing.assert_allclose(_room.SCALES, 0.75 + np.arange(8) / 14)
    np.testing.assert_allclose(_room.ORIENTATIONS, -30 + 60 * np.arange(15) / 14)


@pytest.mark.parametrize(("factor", "row", "column"), [("floor", 63, 32), ("wall", 30, 10), ("thing", 45, 32)])
def test_hues_run_through_the_colour_wheel(dataset, factor, row, column):
    """One light for all hues: every colour is HSV(h, 1, 1) times what red receives."""
    light = render(dataset, orientation=7)[0, row, column]
    assert 0.5 < light <= 1
    for hue in range(10):
        pixel = render(dataset, orientation=7, **{factor: hue})[:, row, column]
        np.testing.assert_allclose(pixel, light * np.array(colorsys.hsv_to_rgb(hue / 10, 1, 1)), atol=1e-6)


def test_the_sky_and_the_edges_of_the_wall_lie_where_the_camera_puts_them(dataset):
    image = render(dataset, floor=3, wall=0, orientation=7)  # green floor, red wall
    np.testing.assert_allclose(image[:, 0], np.broadcast_to(SKY[:, None], (3, 64)), atol=1e-6)
    distance = 2.762 + 3.5
    top = 32 - 71.4 * (2.05 - 0.757) / distance
    bottom = 32 + 71.4 * 0.757 / distance
    column = image[:, :, 4]
    sky_rows = (column[2] / SKY[2]).sum()
    assert sky_rows == pytest.approx(top, abs=0.13)  # four rays a pixel see a quarter of it
    red_rows = (column[0, int(top) + 1 : int(bottom)] > 0.5).sum() + int(top) + 1
    assert red_rows == int(bottom)
    assert column[1, int(bottom) + 1] > 0.5


def test_opposite_orientations_mirror_the_room():
    buffers = list(itertools.islice(_room.render_buffers(), 15))
    for orientation in range(7):
        sky, mirrored = buffers[orientation][0], buffers[14 - orientation][0, :, ::-1]
        np.testing.assert_allclose(sky, mirrored, atol=1 / 16)
        assert not np.allclose(sky, buffers[orientation + 1][0])


def test_the_object_grows_with_scale_and_the_shapes_differ(dataset):
    def area(shape, scale):
        one, two = (render(dataset, thing=hue, shape=shape, scale=scale, orientation=3) for hue in (0, 5))
        return (np.abs(one - two).max(axis=0) > 0.2).sum()

    areas = np.array([[area(shape, scale) for scale in range(8)] for shape in range(4)])
    assert (np.diff(areas, axis=1) > 0).all()
    assert len(set(areas[:, 4])) == 4
    # A sphere's outline is an ellipse of area π f² r² |c² - r²|^½ / (z² - r²)^1.5, c its centre and z its depth.
    r = 0.40 * (0.75 + 4 / 14)
    c2, z2 = 2.762**2 + (0.757 - r) ** 2, 2.762**2
    ellipse = np.pi * 71.4**2 * r**2 * np.sqrt(c2 - r**2) / (z2 - r**2) ** 1.5
    assert areas[2, 4] == pytest.approx(ellipse, rel=0.05)


@pytest.mark.parametrize("size", [32, 16])
def test_smaller_images_are_area_averages(dataset, size):
    indices = np.random.default_rng(0).integers(len(dataset), size=5)
    factor = 64 // size
    blocks = dataset.batch(indices).reshape(5, 3, size, factor, size, factor)
    torch.testing.assert_close(Shapes3D(size=size).batch(indices), blocks.mean(dim=(3, 5)), atol=1e-5, rtol=0)


# --- the cache of shading buffers


def some_buffers():
    return iter([np.full((4, 64, 64), 0.25, dtype=np.float32)] * 480)


def test_buffers_are_rendered_once_and_again_when_the_cache_is_damaged(own_cache, monkeypatch):
    calls = []
    monkeypatch.setattr(_room, "render_buffers", lambda: calls.append(1) or some_buffers())
    first = Shapes3D().batch([0])
    assert torch.equal(Shapes3D().batch([0]), first)
    assert len(calls) == 1
    (file,) = own_cache.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(Shapes3D().batch([0]), first)
    assert len(calls) == 2


def test_an_unwritable_cache_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "a file"))
    monkeypatch.setattr(_room, "render_buffers", some_buffers)
    with pytest.warns(UserWarning, match="could not write the cache file .*set CONTRAFACT_CACHE"):
        assert Shapes3D().batch([5]).shape == (1, 3, 64, 64)


# --- the published file


LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (5, 16, 8, 1)},
    "gzipped": {"chunks": (50, 4, 4, 1), "compression": "gzip", "shuffle": True},
    "one chunk": {"chunks": (144, 64, 64, 3), "compression": "lzf"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_is_read_in_every_layout(tmp_path, own_cache, monkeypatch, layout):
    pixels = write_shapes3d(tmp_path, monkeypatch, **LAYOUTS[layout])
    dataset = Shapes3D(path=tmp_path)
    assert dataset.source == str(tmp_path / "3dshapes.h5")
    order = np.random.default_rng(1).permutation(len(dataset))
    expected = torch.from_numpy(pixels[order]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(dataset.batch(order), expected, atol=1e-7, rtol=0)
    assert len(list(own_cache.rglob("*.npy"))) == (layout != "contiguous")
    half = Shapes3D(path=tmp_path / "3dshapes.h5", size=32).batch(order)
    blocks = expected.reshape(-1, 3, 32, 2, 32, 2).mean(dim=(3, 5))
    torch.testing.assert_close(half, blocks, atol=1e-6, rtol=0)


def test_a_file_in_the_data_folder_replaces_the_stand_in(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(_room, "render_buffers", some_buffers)
    assert Shapes3D().source == "procedural stand-in"
    data = own_cache / "data"
    data.mkdir(parents=True)
    write_shapes3d(data, monkeypatch)
    monkeypatch.delenv("CONTRAFACT_DATA")
    assert Shapes3D().source == str(data / "3dshapes.h5")
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    (tmp_path / "shapes3d").mkdir()
    shutil.move(data / "3dshapes.h5", tmp_path / "shapes3d" / "3dshapes.h5")
    assert Shapes3D().source == str(tmp_path / "shapes3d" / "3dshapes.h5")


def rewrite(file, key, data):
    with h5py.File(file, "r+") as handle:
        del handle[key]
        if data is not None:
            handle[key] = data


def test_files_that_are_not_the_published_one_are_refused(tmp_path, own_cache, monkeypatch):
    file = tmp_path / "3dshapes.h5"

    def refuses(*texts):
        with pytest.raises(ValueError, match="shapes3d: ") as error:
            Shapes3D(path=file)
        for text in (str(file), *texts):
            assert text in str(error.value)

    with pytest.raises(ValueError, match=re.escape(f"shapes3d: {file} does not exist; expected a file, or a folder")):
        Shapes3D(path=file)
    with pytest.raises(ValueError, match=re.escape(f"shapes3d: {tmp_path} holds none of: 3dshapes.h5")):
        Shapes3D(path=tmp_path)

    images = write_shapes3d(tmp_path, monkeypatch)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refuses("is not a complete HDF5 file", "truncated")
    file.write_bytes(b"GIF89a" + bytes(1000))
    refuses("is not a complete HDF5 file")

    labels = grid_labels(SHAPES3D_SIZES) / 10
    for key, data, *texts in (
        ("images", None, "no key 'images'; found labels"),
        ("images", images[1:], "expected uint8 of shape (144, 64, 64, 3), found uint8 of shape (143, 64, 64, 3)"),
        ("images", images.astype(np.float32), "key 'images'", "found float32"),
        ("labels", None, "no key 'labels'; found images"),
        ("labels", labels[:, :5], "expected float64 of shape (144, 6)", "found float64 of shape (144, 5)"),
        ("labels", labels[::-1].copy(), "key 'labels'", "column 0 (floor hue) must rise through 2 values"),
        ("labels", labels[:, [0, 1, 2, 3, 5, 4]], "column 4 (shape) must rise"),
    ):
        file.write_bytes(whole)
        rewrite(file, key, data)
        refuses(*texts)


def test_a_damaged_chunk_is_named_by_its_row(tmp_path, own_cache, monkeypatch):
    write_shapes3d(tmp_path, monkeypatch, chunks=(50, 64, 64, 3), compression="gzip")
    file = tmp_path / "3dshapes.h5"
    with h5py.File(file) as handle:
        chunk = handle["images"].id.get_chunk_info(1)
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset + 100 : chunk.byte_offset + 200] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"key 'images' of .* is damaged near row \d+ .*get the file again"):
        Shapes3D(path=file)
    assert not list(own_cache.rglob("*.npy*"))


# --- memory

STREAM = """
import sys, numpy as np, torch
from contrafact.data.shapes3d import Shapes3D
def status(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
Shapes3D.factor_sizes = (10, 10, 10, 8, 1, 4)
dataset = Shapes3D(path=sys.argv[1])
dataset.batch([0])
order = np.random.default_rng(0).permutation(len(dataset))
peak = 0
for first in range(0, len(order), 256):
    dataset.batch(order[first : first + 256])
    peak = max(peak, status("VmRSS"))
print(peak, status("VmHWM"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("layout", [{}, {"chunks": (15_000, 4, 4, 1), "compression": "gzip", "compression_opts": 1}])
def test_streaming_a_whole_file_at_random_stays_below_500_mb(tmp_path, own_cache, layout):
    sizes = (10, 10, 10, 8, 1, 4)
    count = int(np.prod(sizes))
    assert count * 64 * 64 * 3 > 390e6
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["labels"] = grid_labels(sizes) / 10
        images = file.create_dataset("images", (count, 64, 64, 3), np.uint8, **layout)
        for first in range(0, count, 15_000):
            rows = min(15_000, count - first)
            images[first : first + rows] = np.full((rows, 64, 64, 3), first // 15_000 + 1, dtype=np.uint8)
    result = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    peak, highest = map(float, result.stdout.split())
    assert peak < 450
    assert highest < 500
