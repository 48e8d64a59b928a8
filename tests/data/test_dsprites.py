"""dSprites against polygons drawn point by point, facts of its shapes, and files as published."""

import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.data.dsprites import FILE, DSprites

from .tiny_files import write_dsprites


@pytest.fixture(scope="module")
def dataset():
    return DSprites()


def sprite(dataset, shape=0, scale=5, orientation=0, x=16, y=16):
    return dataset.images(np.array([[shape, scale, orientation, x, y]]))[0, 0].numpy()


def outline(shape, scale):
    """Corners of the sprite around its centre, x right and y down; curves as fine polygons."""
    s = 0.5 + 0.1 * scale
    t = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    if shape == 0:
        return 9.6 * s * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if shape == 1:
        return s * np.stack([12.75 * np.cos(t), 7.25 * np.sin(t)], axis=1)
    wave = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return s * np.stack([0.6 * 16 * np.sin(t) ** 3, -0.65 * wave - 1.5], axis=1)


def inside_polygon(points, corners):
    """Even-odd rule: count the edges that a ray to the right of each point crosses."""
    following = np.roll(corners, -1, axis=0)
    inside = np.zeros(len(points), dtype=bool)
    for number, (px, py) in enumerate(points):
        crosses = (corners[:, 1] > py) != (following[:, 1] > py)
        a, b = corners[crosses], following[crosses]
        x = a[:, 0] + (py - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        inside[number] = (x > px).sum() % 2
    return inside


@pytest.mark.parametrize(
    "factors",
    [(0, 5, 0, 0, 31), (0, 0, 7, 3, 3), (1, 5, 10, 31, 31), (1, 2, 33, 8, 20), (2, 5, 0, 16, 16), (2, 1, 13, 25, 2)],
)
def test_sprites_equal_a_point_by_point_drawing(dataset, factors):
    shape, scale, orientation, i, j = factors
    angle = 2 * np.pi * orientation / 39
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # counter-clockwise on screen
    corners = outline(shape, scale) @ turn.T + (16 + 32 * i / 31, 16 + 32 * j / 31)
    points = np.array([(column + 0.5, row + 0.5) for row in range(64) for column in range(64)])
    expected = inside_polygon(points, corners).reshape(64, 64)
    assert (sprite(dataset, *factors) != expected).sum() <= 1  # a centre may lie on the outline


def test_the_heart_stands_upright_and_turns_counter_clockwise(dataset):
    heart = sprite(dataset, shape=2) > 0
    rows = np.flatnonzero(heart.any(axis=1))
    widths = heart.sum(axis=1)[rows]
    assert widths[-1] <= 3  # the tip is at the bottom
    assert widths[: len(rows) // 2].max() == widths.max()
    quarter = sprite(dataset, shape=2, orientation=10) > 0  # 92 degrees: the tip points right
    columns = np.flatnonzero(quarter.any(axis=0))
    assert quarter[:, columns[-1]].sum() <= 3
    assert quarter[:, columns[0]].sum() > 3


def test_areas_and_centres(dataset):
    """Means over many positions: pixels alias, averages do not."""
    for shape, area in ((0, 19.2**2), (1, np.pi * 12.75 * 7.25)):
        for scale in (0, 5):
            factors = np.array([[shape, scale, o, x, y] for o in (3, 11, 25) for x in range(0, 32, 3) for y in (4, 17)])
            images = dataset.images(factors)[:, 0].numpy()
            s = 0.5 + 0.1 * scale
            assert images.sum(axis=(1, 2)).mean() == pytest.approx(area * s * s, rel=0.01)
            centres = np.stack([(images.sum(axis=axis) * (np.arange(64) + 0.5)).sum(axis=1) for axis in (1, 2)])
            centres /= images.sum(axis=(1, 2))
            expected = 16 + 32 * factors[:, 3:].T / 31
            np.testing.assert_allclose(centres, expected, atol=0.35)
            assert abs((centres - expected).mean()) < 0.03


def test_the_last_orientation_is_the_first(dataset):
    for shape in range(3):
        assert np.array_equal(sprite(dataset, shape, orientation=39), sprite(dataset, shape, orientation=0))
        assert not np.array_equal(sprite(dataset, shape, orientation=38), sprite(dataset, shape, orientation=0))


def test_factors_are_those_of_the_published_file(dataset):
    assert dataset.factor_names == ("shape", "scale", "orientation", "position x", "position y")
    assert dataset.factor_sizes == (3, 6, 40, 32, 32)
    assert len(dataset) == 737_280
    assert set(np.unique(dataset.random_batch(50, np.random.default_rng(0)))) == {0.0, 1.0}


@pytest.mark.parametrize("size", [32, 16])
def test_smaller_images_are_area_averages(dataset, size):
    indices = np.random.default_rng(0).integers(len(dataset), size=5)
    factor = 64 // size
    blocks = dataset.batch(indices).reshape(5, 1, size, factor, size, factor).mean(dim=(3, 5))
    torch.testing.assert_close(DSprites(size=size).batch(indices), blocks)


# --- variants


def test_color_tints_each_channel(dataset):
    indices = np.random.default_rng(0).integers(len(dataset), size=400)
    plain, tinted = dataset.batch(indices), DSprites(variant="color").batch(indices)
    colours = tinted.amax(dim=(2, 3))
    torch.testing.assert_close(tinted, plain * colours[:, :, None, None])
    assert 0.5 <= colours.min() < 0.51
    assert 0.99 < colours.max() < 1
    assert colours.mean() == pytest.approx(0.75, abs=0.02)
    assert abs(np.corrcoef(colours.numpy().T)[0, 1]) < 0.15


def test_noisy_adds_noise_and_keeps_the_sprite_white(dataset):
    indices = np.random.default_rng(0).integers(len(dataset), size=20)
    plain, noisy = dataset.batch(indices), DSprites(variant="noisy").batch(indices)
    on = plain.bool().expand(-1, 3, -1, -1)
    assert (noisy[on] == 1).all()
    background = noisy[~on].double()
    assert background.mean() == pytest.approx(1 / 2, abs=0.005)
    assert background.var() == pytest.approx(1 / 12, abs=0.002)
    for one, two in (
        (noisy[:, 0], noisy[:, 1]),
        (noisy[..., 1:], noisy[..., :-1]),
        (noisy[1:], noisy[:-1]),
    ):
        off = (one < 1) & (two < 1)
        assert abs(np.corrcoef(one[off], two[off])[0, 1]) < 0.01


@pytest.fixture
def picture(tmp_path):
    rows, columns = np.mgrid[:274, :350]
    file = tmp_path / "picture.png"
    Image.fromarray(np.stack([rows // 2, columns // 2, 0 * rows + 40], axis=2).astype(np.uint8)).save(file)
    return file


def test_scream_inverts_a_crop_under_the_sprite(dataset, picture):
    indices = np.random.default_rng(0).integers(len(dataset), size=200)
    on = dataset.batch(indices).bool()[:, 0]
    images = DSprites(variant="scream", scream_picture=picture).batch(indices)
    upright = torch.where(on[:, None], 1 - images, images)
    blue = upright[:, 2]  # one value over the picture, so (40/255 + u)/2 over the image
    torch.testing.assert_close(blue, blue[:, :1, :1].expand_as(blue))
    random = 2 * blue[:, 0, 0] - 40 / 255
    assert 0 <= random.min() < 0.05
    assert 0.95 < random.max() < 1
    # Red grows by half a 255th every pixel down, green every pixel right, and so do their halves.
    slopes = (upright[:, 0, 62, 0] - upright[:, 0, 0, 0], upright[:, 1, 0, 62] - upright[:, 1, 0, 0])
    for slope in slopes:
        torch.testing.assert_close(slope, torch.full((200,), 31 / 255 / 2))
    assert len(torch.unique(upright[:, 0, 1] - upright[:, 0, 0], dim=0)) >= 2  # crops start at different rows


@pytest.mark.parametrize("variant", ["color", "noisy", "scream"])
def test_variants_depend_on_index_and_seed_alone(picture, variant):
    extra = {"scream_picture": picture} if variant == "scream" else {}
    one, two = DSprites(variant=variant, **extra), DSprites(variant=variant, seed=1, **extra)
    assert one.image_shape == (3, 64, 64)
    assert torch.equal(one.batch([5, 700_000, 5])[1], one.batch([700_000])[0])
    assert not torch.equal(one.batch([5]), two.batch([5]))
    assert not torch.equal(one.batch([5])[one.batch([5]) > 0], one.batch([6])[one.batch([6]) > 0])


def test_bad_variants_are_refused(tmp_path, picture):
    with pytest.raises(ValueError, match="dsprites: variant must be one of plain, color, noisy, scream; got 'colour'"):
        DSprites(variant="colour")
    for options in ({"variant": "scream"}, {"scream_picture": picture}):
        with pytest.raises(ValueError, match=r"variant 'scream' and scream_picture= .* belong together"):
            DSprites(**options)
    (tmp_path / "not.png").write_bytes(b"hello")
    # A header of 65,535 x 65,535 pixels, and one that ends after eight bytes.
    for name, header in (("huge", struct.pack(">IIBBBBB", 65_535, 65_535, 8, 2, 0, 0, 0)), ("short", bytes(8))):
        chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    for file in (tmp_path / f"{name}.png" for name in ("not", "absent", "huge", "short")):
        with pytest.raises(ValueError, match=f"scream_picture {re.escape(str(file))} cannot be read as a picture"):
            DSprites(variant="scream", scream_picture=file)
    Image.new("RGB", (700, 100)).save(tmp_path / "flat.png")
    with pytest.raises(ValueError, match=r"is 350 x 50 once fitted into 350 x 274; it must be at least 64"):
        DSprites(variant="scream", scream_picture=tmp_path / "flat.png")


# --- the published file


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_file_replaces_the_drawing(tmp_path, own_cache, monkeypatch, save):
    pixels = write_dsprites(tmp_path, monkeypatch, save)
    dataset = DSprites(path=tmp_path)
    assert dataset.source == str(tmp_path / FILE)
    order = np.random.default_rng(0).permutation(len(dataset))
    assert torch.equal(dataset.batch(order), torch.from_numpy(pixels[order])[:, None].float())
    assert len(list(own_cache.rglob("*.npy"))) == (save is np.savez_compressed)
    tinted = DSprites(path=tmp_path, variant="color", size=32).batch(order[:3])
    assert tinted.shape == (3, 3, 32, 32)


def test_files_that_are_not_the_published_one_are_refused(tmp_path, own_cache, monkeypatch):
    file = tmp_path / FILE
    pixels = write_dsprites(tmp_path, monkeypatch)
    count = len(pixels)
    with np.load(file, allow_pickle=False) as content:
        classes = content["latents_classes"]
    for changes, message in (
        ({"imgs": None}, "has no key 'imgs'; found latents_classes, latents_values, metadata"),
        (
            {"imgs": pixels[1:]},
            f"expected uint8 of shape ({count}, 64, 64), found uint8 of shape ({count - 1}, 64, 64)",
        ),
        ({"imgs": pixels.astype(bool)}, "key 'imgs'"),
        ({"imgs": 255 * pixels}, "expected pixels 0 and 1, found 255"),
        (
            {"imgs": np.asfortranarray(pixels)},
            "must hold rows of plain numbers in C order; found uint8",
        ),
        ({"imgs": np.array([{}])}, "must hold plain numbers; found dtype object"),
        ({"latents_values": None}, "has no key 'latents_values'"),
        ({"latents_values": classes}, "expected float64"),
        ({"latents_classes": classes[:, 1:]}, f"expected int64 of shape ({count}, 6)"),
        ({"latents_classes": classes[::-1]}, "column 1 (shape) must rise through 3 values"),
    ):
        write_dsprites(tmp_path, monkeypatch, **changes)
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            DSprites(path=file)
        assert str(file) in str(error.value)
        assert str(error.value).startswith("dsprites: ")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_and_damaged_files_are_refused(tmp_path, own_cache, monkeypatch, save):
    write_dsprites(tmp_path, monkeypatch, save)
    file = tmp_path / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is not a complete npz file .*may be truncated, get it again"):
        DSprites(path=file)
    if save is np.savez_compressed:
        file.write_bytes(whole)
        start = zipfile.ZipFile(file).getinfo("imgs.npy").header_offset + 2000
        file.write_bytes(whole[:start] + bytes(50) + whole[start + 50 :])
        with pytest.raises(ValueError, match=r"key 'imgs' of .* is damaged"):
            DSprites(path=file)
        assert not list(own_cache.rglob("*.npy*"))
