import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.pictures import enlarge, save_gif, save_mp4, save_png, tile, to_bytes, webp


def test_bytes_clamp_and_repeat_grey():
    images = torch.tensor([-1.0, 0.0, 0.25, 1.0, 7.0]).view(1, 1, 1, 5)
    assert to_bytes(images)[0, 0].tolist() == [[v] * 3 for v in (0, 0, 64, 255, 255)]


def test_bytes_keep_leading_axes_and_channel_order():
    images = torch.rand(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    pixels = to_bytes(images)
    assert pixels.shape == (2, 3, 4, 5, 3)
    assert pixels[1, 2, 3, 4, 0] == round(float(images[1, 2, 0, 3, 4]) * 255)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 5, 4, 4), r"needs images \(..., 1, 3 or 4, H, W\), got shape \(2, 5, 4, 4\)"),
        (torch.zeros(3, 3), r"got shape \(3, 3\)"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), r"got torch.uint8; divide bytes by 255"),
        (torch.full((1, 3, 2, 2), torch.inf), r"hold NaN or infinite values"),
        (torch.tensor([0.0, torch.nan, 1.0]).view(1, 1, 1, 3), r"hold NaN or infinite values.*check the generator"),
    ],
)
def test_bytes_refuse(images, message):
    with pytest.raises(ValueError, match=message):
        to_bytes(images)


def test_a_fourth_channel_is_opacity_over_white():
    pixel = torch.tensor([1.0, 0.5, 0.0])
    images = torch.stack([torch.cat([pixel, torch.tensor([opacity])]) for opacity in (1.0, 0.5, 0.0, 2.0)])[
        ..., None, None
    ]
    found = to_bytes(images)[:, 0, 0].tolist()
    assert found == [[255, 128, 0], [255, 191, 128], [255, 255, 255], [255, 128, 0]]


def test_no_images_are_no_pictures():
    assert to_bytes(torch.zeros(0, 3, 4, 5)).shape == (0, 4, 5, 3)


def test_tile_places_every_cell():
    cells = np.arange(2 * 3 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 3, 2, 2, 3)
    sheet = tile(cells, gap=1, background=200)
    assert sheet.shape == (5, 8, 3)
    for row, column in np.ndindex(2, 3):
        np.testing.assert_array_equal(sheet[row * 3 : row * 3 + 2, column * 3 : column * 3 + 2], cells[row, column])
    assert (sheet[2] == 200).all()
    assert (sheet[:, [2, 5]] == 200).all()


def test_enlarge_repeats_pixels():
    small = np.random.default_rng(0).integers(256, size=(2, 3, 4, 3), dtype=np.uint8)
    large = enlarge(small, 3)
    np.testing.assert_array_equal(large, small[:, np.arange(9) // 3][:, :, np.arange(12) // 3])


def test_png_round_trip(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
    path = save_png(Image.fromarray(pixels), tmp_path / "new folder" / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


def test_gif_loops_and_rests_at_the_turning_points(tmp_path):
    frames = [Image.new("RGB", (8, 8), (60 * i, 0, 255 - 60 * i)) for i in range(4)]
    path = save_gif(frames, tmp_path / "a.gif", milliseconds=50, pause=500)
    read = Image.open(path)
    assert (read.n_frames, read.info["loop"]) == (4, 0)
    durations = []
    for number, frame in enumerate(frames):
        read.seek(number)
        durations.append(read.info["duration"])
        np.testing.assert_allclose(np.asarray(read.convert("RGB")), np.asarray(frame), atol=4)
    assert durations == [500, 50, 500, 50]


def test_gif_of_nothing():
    with pytest.raises(ValueError, match="at least one frame"):
        save_gif([], "never.gif")


def test_webp_is_close_and_smaller_at_lower_quality():
    ramp = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    picture = Image.fromarray(ramp)
    good, poor = webp(picture, 90), webp(picture, 10)
    assert len(poor) < len(good)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(good))).astype(int), ramp, atol=24)


def test_mp4_without_its_package_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"an MP4 needs the package av: pip install 'contrafact\[video\]'"):
        save_mp4([Image.new("RGB", (8, 8))], tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_mp4_of_nothing():
    with pytest.raises(ValueError, match="at least one frame"):
        save_mp4([], "never.mp4")


def test_mp4_holds_the_frames_and_rests_at_the_turning_points(tmp_path):
    av = pytest.importorskip("av")
    frames = [Image.new("RGB", (33, 20), (60 * i, 40, 255 - 60 * i)) for i in range(4)]
    path = save_mp4(frames, tmp_path / "a.mp4", milliseconds=50, pause=200)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height, stream.average_rate) == ("h264", 34, 20, 20)
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    shown = [0, 0, 0, 0, 1, 2, 2, 2, 2, 3]
    assert len(read) == len(shown)
    for pixels, number in zip(read, shown, strict=True):
        np.testing.assert_allclose(pixels[:, :32], np.asarray(frames[number])[:, :32], atol=8)
