"""Pictures: the one place where image values are clamped, and the PNG, WebP, GIF and MP4 writers.

Shape suffixes: N images, C channels, H height, W width; ``...`` any leading axes.
"""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.files import atomic_path

if TYPE_CHECKING:
    from PIL.Image import Image

ByteArray = npt.NDArray[np.uint8]


def to_bytes(images: Tensor) -> ByteArray:
    """Pixels ready for a picture: float ``(..., C, H, W)`` in [0, 1], clamped, to RGB bytes ``(..., H, W, 3)``.

    A fourth channel is opacity: such images are laid on white.

    Raises:
        ValueError: neither one, three nor four channels, not floats, or NaN or infinite values.

    >>> to_bytes(torch.tensor([[[0.0, 0.5, 1.2]]])).tolist()
    [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    """
    if images.ndim < 3 or images.shape[-3] not in (1, 3, 4):
        raise ValueError(f"a picture needs images (..., 1, 3 or 4, H, W), got shape {tuple(images.shape)}")
    if not torch.is_floating_point(images):
        raise ValueError(f"a picture needs float images in [0, 1], got {images.dtype}; divide bytes by 255")
    values = images.detach().float()
    if values.numel() and not all(math.isfinite(bound) for bound in torch.aminmax(values)):  # one pass; NaN propagates
        raise ValueError("the images hold NaN or infinite values, so there is no picture of them; check the generator")
    values = values.clamp(0, 1)
    if values.shape[-3] == 4:
        values = 1 - values[..., 3:, :, :] * (1 - values[..., :3, :, :])
    pixels = (values * 255).round().to(torch.uint8).movedim(-3, -1)
    return np.ascontiguousarray(pixels.expand(*pixels.shape[:-1], 3).cpu().numpy())


def tile(pixels: ByteArray, gap: int = 0, background: int = 255) -> ByteArray:
    """Lay cells ``(rows, columns, H, W, 3)`` out as one picture, ``gap`` pixels of ``background`` between them."""
    rows, columns, height, width, channels = pixels.shape
    padded = np.full((rows, columns, height + gap, width + gap, channels), background, dtype=np.uint8)
    padded[:, :, :height, :width] = pixels
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def enlarge(pixels: ByteArray, factor: int) -> ByteArray:
    """Repeat every pixel of ``(..., H, W, 3)`` ``factor`` times both ways: nothing is invented between pixels."""
    return pixels.repeat(factor, axis=-3).repeat(factor, axis=-2)


def save_png(picture: Image, path: str | Path) -> Path:
    """Write a PNG atomically; returns its path."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
    return Path(path)


def webp(picture: Image, quality: int) -> bytes:
    """The picture as WebP bytes; ``quality`` from 1 to 100."""
    stream = io.BytesIO()
    # Sharp chroma: the ordinary subsampling smears saturated colours over the edges of small images.
    picture.save(stream, format="WEBP", quality=quality, method=4, use_sharp_yuv=True)
    return stream.getvalue()


def save_gif(frames: Sequence[Image], path: str | Path, milliseconds: int = 60, pause: int = 400) -> Path:
    """Write an endless animation atomically; returns its path.

    Args:
        frames: RGB pictures of one size.
        path: file to write.
        milliseconds: time per frame.
        pause: time for the first frame and the turning point in the middle, so that the eye can rest there.

    Raises:
        ValueError: no frames.
    """
    from PIL import Image as pil

    if not frames:
        raise ValueError("an animation needs at least one frame, got none")
    # One palette for all frames: a palette of its own for each makes still areas flicker.
    sizes = sum(frame.height for frame in frames)
    roll = pil.new("RGB", (frames[0].width, sizes))
    for number, frame in enumerate(frames):
        roll.paste(frame, (0, number * frame.height))
    palette = roll.quantize(256, method=pil.Quantize.MEDIANCUT)
    indexed = [frame.quantize(palette=palette, dither=pil.Dither.NONE) for frame in frames]
    durations = [milliseconds] * len(frames)
    durations[0] = durations[len(frames) // 2] = max(pause, milliseconds)
    with atomic_path(path) as temporary:
        indexed[0].save(
            temporary, format="GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, disposal=1
        )
    return Path(path)


def video_writer() -> Any:
    """The package that writes videos (PyAV).

    Raises:
        ValueError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ValueError("an MP4 needs the package av: pip install 'contrafact[video]'; a GIF needs nothing") from error


def save_mp4(frames: Sequence[Image], path: str | Path, milliseconds: int = 60, pause: int = 400) -> Path:
    """Write an animation as H.264 video, which every browser plays, atomically; returns its path.

    Args:
        frames: RGB pictures of one size. A side of an odd number of pixels gets a white one more, as the format asks.
        path: file to write.
        milliseconds: time per frame.
        pause: time for the first frame and the turning point in the middle, so that the eye can rest there.

    Raises:
        ValueError: no frames, or the package ``av`` is not installed.
    """
    if not frames:
        raise ValueError("an animation needs at least one frame, got none")
    av = video_writer()
    rests = {0, len(frames) // 2}
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(1000, milliseconds), options={"crf": "18"})
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            pixels = np.full((stream.height, stream.width, 3), 255, dtype=np.uint8)
            pixels[: frame.height, : frame.width] = np.asarray(frame)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for _ in range(max(1, round(pause / milliseconds)) if number in rests else 1):
                picture.pts = None
                container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return Path(path)
