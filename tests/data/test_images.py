"""Folders of pictures."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.data.images import Images
from contrafact.data.load import load_dataset

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
    with pytest.warns(UserWarning, match="1 of 4 pictures are see-through"):
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
    with pytest.raises(ValueError, match=re.escape(f"images: {folder} does not exist; expected a folder of .png")):
        Images(folder)
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match=re.escape(f"images: {folder} and its subfolders hold no .png, .jpg")):
        Images(folder)
    save(folder / "a.png", 16, 20)
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, got 0"):
        Images(folder, size=0)
    with pytest.raises(
        ValueError, match=r"a.png is 20 x 16, smaller than size=64. What to do: load the folder with size=16 or less"
    ):
        Images(folder).batch([0])
    Image.fromarray(np.full((16, 16), 70_000, dtype=np.int32)).save(folder / "b.tif")
    with pytest.raises(ValueError, match=r"b.tif has more than 16 bits a channel. What to do: convert those"):
        Images(folder, size=8).batch([0])
    (folder / "b.tif").unlink()
    whole = (folder / "a.png").read_bytes()
    for content, said in (
        (whole[: len(whole) // 2], r"cannot be decoded \(.*\)"),
        (b"hello", "is no picture"),
        (b"", "is an empty file"),
    ):
        (folder / "b.png").write_bytes(content)
        with pytest.raises(ValueError, match=rf"1 of 2 pictures in .* b.png {said}. What to do: repair or remove them"):
            Images(folder, size=8).batch([0])
    assert not list(own_cache.rglob("*.npy*"))
    for options, message in (
        ({"channels": 2}, r"channels must be 3 \(RGB\), 1 \(grey\) or 4 \(RGB and opacity\), got 2"),
        ({"channels": True}, "got True"),
        ({"background": "whit"}, "background must be a colour's name .* or a code such as #80ff00, got 'whit'"),
        ({"background": "#ff000080"}, "background must be opaque, got '#ff000080'"),
    ):
        with pytest.raises(ValueError, match=message):
            Images(folder, **options)


def sprites(folder, mode="RGBA", count=4):
    """A green square on see-through ground, whose hidden colour is red or blue by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.zeros((16, 16, 4), np.uint8)
        pixels[..., :3] = (255, 0, 0) if number % 2 else (0, 0, 255)
        pixels[4:12, 4:12] = (20, 200, 20, 255)
        Image.fromarray(pixels, "RGBA").convert(mode).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("size", [16, 8])
@pytest.mark.parametrize(("background", "ground"), [("white", (1, 1, 1)), ("#000", (0, 0, 0)), ("lime", (0, 1, 0))])
def test_hidden_colours_do_not_appear(tmp_path, own_cache, size, background, ground):
    folder = sprites(tmp_path / "p")
    dataset = Images(folder, size=size, background=background)
    with pytest.warns(UserWarning, match=rf"{folder}, 4 of 4 pictures are see-through and were laid on #.*--back"):
        images = dataset.batch(range(4))
    assert torch.equal(images[0], images[1])  # whatever lies hidden
    assert images[0, :, 0, 0].tolist() == list(ground)
    inside = images[0, :, size // 2 - 1, size // 2 - 1]
    torch.testing.assert_close(inside, torch.tensor([20, 200, 20]) / 255, atol=10 / 255, rtol=0)  # resampling rings


@pytest.mark.parametrize("size", [16, 8])
def test_four_channels_keep_the_opacity_and_hide_what_is_hidden(tmp_path, own_cache, size):
    dataset = Images(sprites(tmp_path / "p"), size=size, channels=4, background="black")
    assert dataset.image_shape == (4, size, size)
    with pytest.warns(UserWarning, match="see-through and keep their opacity as a fourth channel"):
        images = dataset.batch([0, 1])
    assert torch.equal(images[0], images[1])
    assert images[0, :, 0, 0].tolist() == [0, 0, 0, 0]
    assert images[0, 3, size // 2, size // 2] == 1


def test_grey_on_request(tmp_path, own_cache):
    save(tmp_path / "p" / "a.png", 16, 16)
    colour, grey = (Images(tmp_path / "p", size=16, channels=channels).batch([0])[0] for channels in (3, 1))
    assert grey.shape == (1, 16, 16)
    torch.testing.assert_close(
        grey[0], torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), colour), atol=1 / 255, rtol=0
    )


def test_palettes_and_grey_with_opacity_are_laid_on_the_background(tmp_path, own_cache):
    folder = tmp_path / "p"
    folder.mkdir()
    palette = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 4).reshape(4, 4), "P")
    palette.putpalette([255, 0, 0] * 4)
    palette.save(folder / "a.png", transparency=3)
    Image.fromarray(np.full((4, 4, 2), (90, 0), np.uint8), "LA").save(folder / "b.png")
    with pytest.warns(UserWarning, match="2 of 2"):
        images = Images(folder, size=4).batch([0, 1])
    assert images[0, :, 0, 0].tolist() == [1, 0, 0]
    assert images[0, :, 3, 0].tolist() == [1, 1, 1]
    assert images[1].min() == 1


def test_print_colours_become_rgb(tmp_path, own_cache):
    for name, colour in (("a.jpg", "red"), ("b.jpg", "blue")):
        Image.new("RGB", (16, 16), colour).convert("CMYK").save(tmp_path / name, quality=100)
    images = Images(tmp_path, size=8).batch([0, 1])[:, :, 4, 4]
    torch.testing.assert_close(images, torch.tensor([[1.0, 0, 0], [0, 0, 1]]), atol=4 / 255, rtol=0)


def test_an_opaque_alpha_channel_says_nothing(tmp_path, own_cache, recwarn):
    save(tmp_path / "p" / "a.png", 16, 16)
    with_alpha = Image.open(tmp_path / "p" / "a.png").convert("RGBA")
    with_alpha.save(tmp_path / "p" / "b.png")
    images = Images(tmp_path / "p", size=16).batch([0, 1])
    assert torch.equal(images[0], images[1])
    assert not [warning for warning in recwarn if warning.category is UserWarning]


def test_what_was_found_is_said_again_from_the_cache(tmp_path, own_cache):
    folder = sprites(tmp_path / "p")
    for _ in range(2):
        with pytest.warns(UserWarning, match="4 of 4 pictures are see-through"):
            Images(folder, size=8).batch([0])
    for record in own_cache.rglob("pictures-*.json"):
        record.write_text('{"unusable": []}')
    with pytest.warns(UserWarning, match="4 of 4 pictures are see-through"):
        Images(folder, size=8).batch([0])


def test_of_animations_the_first_frame_is_taken(tmp_path, own_cache):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.warns(UserWarning, match="1 of 1 pictures are animated, of which the first frame was taken"):
        image = Images(tmp_path, size=16).batch([0])[0]
    assert image[:, 0, 0].tolist() == [1, 0, 0]


def damaged_folder(folder):
    """Two usable pictures of three classes, and one of every fault."""
    for name in ("cats/b.png", "dogs/c.png"):
        save(folder / name, 16, 16)
    save(folder / "birds" / "small.png", 6, 7)
    whole = (folder / "cats" / "b.png").read_bytes()
    (folder / "cats" / "a.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cats" / "empty.png").touch()
    (folder / "dogs" / "text.jpg").write_text("hello")
    (folder / "dogs" / "two\nlines.png").write_text("hello")
    (folder / "dogs" / "link.png").symlink_to(folder / "nothing")
    os.mkfifo(folder / "dogs" / "pipe.png")
    Image.fromarray(np.full((16, 16), 2.5, dtype=np.float32)).save(folder / "dogs" / "deep.tif")
    chunk = zlib.compress(bytes(2_000_000))  # Pillow raises a plain ValueError for text that unpacks to this much
    body = b"zTXt" + b"a\0\0" + chunk
    bomb = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (folder / "dogs" / "text_bomb.png").write_bytes(whole[:33] + bomb + whole[33:])
    return folder


def test_every_damaged_picture_is_named_at_once(tmp_path, own_cache):
    folder = damaged_folder(tmp_path / "p")
    with pytest.raises(ValueError, match="9 of 11 pictures") as caught:
        Images(folder, size=8).batch([0])
    text = str(caught.value)
    for said in (
        "birds/small.png is 7 x 6, smaller than size=8",
        "cats/a.png cannot be decoded",
        "cats/empty.png is an empty file",
        "dogs/deep.tif holds floats from 0 to 2.5, not from 0 to 1",
        "dogs/link.png is a link to nothing",
        "dogs/pipe.png is no file",
        "dogs/text.jpg is no picture",
        "dogs/text_bomb.png cannot be decoded",
        r"'dogs/two\nlines.png' is no picture",
        "size=6 or less",
        "--skip-damaged",
    ):
        assert said in text
    assert "\n" not in text
    assert not list(own_cache.rglob("*.npy*"))


def test_the_first_twenty_damaged_pictures_are_named(tmp_path, own_cache):
    for number in range(25):
        (tmp_path / f"{number:02}.png").touch()
    with pytest.raises(ValueError, match=r"25 of 25 .*; 19.png is an empty file; and 5 more. What to do: repair"):
        Images(tmp_path, size=8, skip_damaged=True)


def test_damaged_pictures_can_be_left_out(tmp_path, own_cache):
    folder = damaged_folder(tmp_path / "p")
    clean = tmp_path / "clean"
    for name in ("cats/b.png", "dogs/c.png"):
        (clean / name).parent.mkdir(parents=True)
        (clean / name).write_bytes((folder / name).read_bytes())
    expected = Images(clean, size=8)
    for _ in range(2):  # decoded, and from the cache
        with pytest.warns(UserWarning, match=r"images: left out 9 of 11 pictures .*: birds/small.png, cats/a.png"):
            dataset = Images(folder, size=8, skip_damaged=True)
        assert len(dataset) == 2
        assert [file.name for file in dataset.files] == ["b.png", "c.png"]
        assert dataset.class_names == ("cats", "dogs")  # no picture of a bird is left
        assert dataset.labels.tolist() == [0, 1]
        assert torch.equal(dataset.batch([1, 0]), expected.batch([1, 0]))
        with pytest.raises(ValueError, match="indices must lie in"):
            dataset.batch([2])
    with pytest.raises(ValueError, match="9 of 11 pictures"):  # still refused without the option
        Images(folder, size=8).batch([0])


def test_nothing_is_left_out_of_a_sound_folder(tmp_path, own_cache, recwarn):
    save(tmp_path / "a.png", 16, 16)
    assert len(Images(tmp_path, size=8, skip_damaged=True)) == 1
    assert not [warning for warning in recwarn if warning.category is UserWarning]


def test_a_bomb_is_not_unpacked(tmp_path, own_cache):
    """A PNG of a few kilobytes that claims 400 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    with pytest.raises(ValueError, match=r"bomb.png cannot be decoded \(Image size \(400000000 pixels\)"):
        Images(tmp_path, size=8).batch([0])


def test_names_that_are_no_text(tmp_path, own_cache):
    name = os.fsdecode(b"caf\xe9.png")
    save(tmp_path / "p" / name, 16, 16)
    (tmp_path / "p" / os.fsdecode(b"bad\xff.png")).touch()
    with pytest.raises(ValueError, match=r"'bad\\udcff.png' is an empty file"):
        Images(tmp_path / "p", size=8).batch([0])
    with pytest.warns(UserWarning, match="left out 1 of 2"):
        assert Images(tmp_path / "p", size=8, skip_damaged=True).batch([0]).shape == (1, 3, 8, 8)


def test_options_are_known_to_who_loads_the_data_again(tmp_path, own_cache):
    folder = sprites(tmp_path / "p")
    plain = load_dataset(folder, size=8)
    assert plain.options == {}
    with pytest.warns(UserWarning, match="see-through"):
        asked = load_dataset(folder, size=8, background="Black", channels=4, skip_damaged=True)
    assert asked.options == {"background": "#000000", "channels": 4, "skip_damaged": True}
    with pytest.warns(UserWarning, match="see-through"):
        again = load_dataset(folder, size=8, **asked.options)
    assert torch.equal(again.batch([0]), asked.batch([0]))
    with pytest.raises(ValueError, match=r"shapes3d takes no channels; it takes"):
        load_dataset("shapes3d", channels=4)
