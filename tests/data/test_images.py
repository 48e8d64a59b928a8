"""Folders of pictures."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.data.images import Images

from .tiny_files import random_bytes, write_images


def save(file, height, width, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = random_bytes(height, width, 3)
    Image.fromarray(pixels).save(file, **options)
    return pixels


def test_a_picture_of_the_right_size_is_kept_byte_by_byte(tmp_path, own_cache):
    pixels = {name: save(tmp_path / "p" / name, 16, 16) for name in ("b.png", "a/c.PNG", "d.webp")}
    save(tmp_path / "p" / "d.webp", 16, 16, lossless=True)
    (tmp_path / "p" / "notes.txt").touch()
    save(tmp_path / "p" / ".hidden" / "x.png", 16, 16)
    save(tmp_path / "p" / ".x.png", 16, 16)
    dataset = Images(tmp_path / "p", size=16)
    assert [file.name for file in dataset.files] == ["c.PNG", "b.png", "d.webp"]
    assert dataset.labels is None  # some pictures lie in no subfolder
    expected = np.stack([pixels["a/c.PNG"], pixels["b.png"], pixels["d.webp"]])
    assert torch.equal(dataset.batch([0, 1, 2]), torch.from_numpy(expected).permute(0, 3, 1, 2) / 255)


def test_subfolders_are_classes(tmp_path, own_cache, monkeypatch):
    dataset = Images(**write_images(tmp_path, monkeypatch))
    assert dataset.class_names == ("cats", "dogs")
    assert dataset.labels.tolist() == [0, 0, 1]
    assert dataset.source == str(tmp_path)


def test_larger_pictures_are_shrunk_and_cropped_to_the_centre(tmp_path, own_cache):
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = (200, 100, 50)
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "b.png")
    images = Images(tmp_path, size=16).batch([0, 1])
    expected = torch.tensor([200, 100, 50])[:, None, None] / 255
    torch.testing.assert_close(images[:, :, 2:-2, 2:-2], expected.expand(2, 3, 12, 12), atol=1.5 / 255, rtol=0)


def test_the_camera_s_orientation_is_obeyed(tmp_path, own_cache):
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the top becomes the right
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = Images(tmp_path, size=16).batch([0])[0, 0]
    assert image[:, 10:].min() > 0.9
    assert image[:, :6].max() < 0.1


def test_grey_and_transparent_pictures_become_rgb(tmp_path, own_cache):
    for name, mode in (("a.png", "L"), ("b.png", "RGBA"), ("c.png", "P"), ("d.png", "1")):
        Image.new(mode, (8, 8), 1).save(tmp_path / name)
    assert Images(tmp_path, size=8).batch([0, 1, 2, 3]).shape == (4, 3, 8, 8)


def test_pictures_are_decoded_once_until_they_change(tmp_path, own_cache, monkeypatch):
    folder = tmp_path / "p"
    save(folder / "a.png", 16, 16)
    first = Images(folder, size=8)
    before = first.batch([0])
    (cached,) = own_cache.rglob("*.npy")
    stamp = cached.stat()
    assert torch.equal(Images(folder, size=8).batch([0]), before)
    assert cached.stat() == stamp
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    assert not torch.equal(Images(folder, size=8).batch([0]), before)
    assert len(list(own_cache.rglob("*.npy"))) == 2


def test_what_it_refuses(tmp_path, own_cache):
    folder = tmp_path / "p"
    with pytest.raises(ValueError, match=re.escape(f"images: {folder} is not a folder; expected a folder of .png")):
        Images(folder)
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match=re.escape(f"images: {folder} and its subfolders hold no .png, .jpg")):
        Images(folder)
    save(folder / "a.png", 16, 20)
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, got 0"):
        Images(folder, size=0)
    with pytest.raises(
        ValueError, match=r"a.png is 20 x 16, smaller than size=64; load the folder with size=16 or less"
    ):
        Images(folder).batch([0])
    Image.fromarray(np.zeros((16, 16), dtype=np.uint16)).save(folder / "b.png")
    with pytest.raises(ValueError, match=r"b.png has more than 8 bits a channel; convert it"):
        Images(folder, size=8).batch([0])
    whole = (folder / "a.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"hello", b""):
        (folder / "b.png").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"b.png cannot be decoded \(.*\); it may be truncated: repair or remove it"
        ):
            Images(folder, size=8).batch([0])
    assert not list(own_cache.rglob("*.npy*"))
