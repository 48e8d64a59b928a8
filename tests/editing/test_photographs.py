import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.editing.photographs import find_photographs, read_photographs

SHAPE = (3, 16, 24)


def noise(height, width, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def saved(tmp_path, pixels, name="face.png", **options):
    path = tmp_path / name
    Image.fromarray(pixels).save(path, **options)
    return path


def test_a_picture_of_the_right_size_is_its_pixels(tmp_path):
    pixels = noise(16, 24)
    images = read_photographs([saved(tmp_path, pixels), saved(tmp_path, pixels[::-1], "b.png")], SHAPE)
    assert images.shape == (2, *SHAPE)
    torch.testing.assert_close(images[0], torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    torch.testing.assert_close(images[1], images[0].flip(1))


def test_another_size_is_refused_with_the_remedy(tmp_path):
    path = saved(tmp_path, noise(30, 40))
    with pytest.raises(ValueError, match=r"face.png is 40×30 pixels, the generator makes 24×16: .*--fit crop.*resize"):
        read_photographs([path], SHAPE)


def test_crop_keeps_proportions_and_resize_does_not(tmp_path):
    # Three vertical bands; a 16×24 crop of a picture twice too wide shows the middle one alone.
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, :24] = (255, 0, 0)
    wide[:, 24:72] = (0, 255, 0)
    wide[:, 72:] = (0, 0, 255)
    path = saved(tmp_path, wide)
    cropped, squeezed = (read_photographs([path], SHAPE, fit)[0] for fit in ("crop", "resize"))
    assert cropped[1, :, 1:-1].min() > 0.95
    assert squeezed[0, :, :4].min() > 0.95
    assert squeezed[1, :, 8:16].min() > 0.95
    assert squeezed[2, :, -4:].min() > 0.95


def test_small_pictures_are_enlarged_when_fitted(tmp_path):
    assert read_photographs([saved(tmp_path, noise(4, 6))], SHAPE, "crop").shape == (1, *SHAPE)


def test_a_turned_photograph_is_turned_back(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:, 12:] = 255
    path = saved(tmp_path, np.rot90(upright).copy(), exif=exif)
    images = read_photographs([path], SHAPE)
    torch.testing.assert_close(images[0], torch.from_numpy(upright).permute(2, 0, 1) / 255)


def test_see_through_parts_become_white(tmp_path):
    pixels = np.zeros((16, 24, 4), np.uint8)
    pixels[:8, :, 3] = 255
    path = saved(tmp_path, pixels)
    with pytest.warns(UserWarning, match="1 of 1 pictures are see-through and were laid on #ffffff"):
        images = read_photographs([path], SHAPE)
    assert images[0, :, :8].max() == 0
    assert images[0, :, 8:].min() == 1
    with pytest.warns(UserWarning, match="laid on #0000ff"):
        images = read_photographs([path], SHAPE, background="blue")
    assert images[0, :, 8:, 0].tolist() == [[0.0] * 8, [0.0] * 8, [1.0] * 8]
    with pytest.raises(ValueError, match="background must be a colour's name"):
        read_photographs([path], SHAPE, background="sky")


def test_grey_and_colour_suit_the_generator(tmp_path):
    grey = read_photographs([saved(tmp_path, noise(16, 24, 1))], SHAPE)
    assert torch.equal(grey[0, 0], grey[0, 2])
    pixels = noise(16, 24)
    single = read_photographs([saved(tmp_path, pixels, "colour.png")], (1, 16, 24))
    expected = torch.from_numpy((pixels @ np.array([0.299, 0.587, 0.114])) / 255).float()
    torch.testing.assert_close(single[0, 0], expected, atol=1 / 255, rtol=0)


@pytest.mark.parametrize("name", ["face.png", "face.jpg", "face.webp"])
def test_a_picture_cut_short(tmp_path, name):
    path = saved(tmp_path, noise(64, 64), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"1 of 1 pictures cannot be used: .*{name} cannot be decoded \(.*mend them"):
        read_photographs([path], (3, 64, 64))


def test_what_is_no_picture(tmp_path):
    (tmp_path / "notes.png").write_text("hello")
    with pytest.raises(ValueError, match=r"1 of 1 .*notes.png is no picture; expected"):
        read_photographs([tmp_path / "notes.png"], SHAPE)
    deep = saved(tmp_path, noise(16, 24, 1).astype(np.float32) + 2, "deep.tif")
    with pytest.raises(ValueError, match=r"2 of 3 .*notes.png is no picture; .*deep.tif holds floats from 0 to"):
        read_photographs([tmp_path / "notes.png", saved(tmp_path, noise(16, 24)), deep], SHAPE)
    with pytest.raises(ValueError, match="the generator's images have 2"):
        read_photographs([deep], (2, 16, 24))
    with pytest.raises(ValueError, match="unknown fit 'stretch'"):
        read_photographs([deep], SHAPE, "stretch")


def test_files_and_folders(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in find_photographs([tmp_path, tmp_path / "c.txt"])] == ["a.JPG", "b.png", "c.txt"]
    with pytest.raises(ValueError, match=r"nothing.png does not exist; expected a picture or a folder of them"):
        find_photographs([tmp_path / "nothing.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the folder .*empty holds no \.png"):
        find_photographs([tmp_path / "empty"])
    with pytest.raises(ValueError, match="name at least one picture"):
        find_photographs([])
