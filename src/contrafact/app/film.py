"""A film of states: GIF or MP4, made in small parts so that sliders go on moving meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from contrafact.app.session import Session
from contrafact.app.state import State
from contrafact.core.pictures import enlarge, save_gif, save_mp4, to_bytes, video_writer

MOST_FRAMES = 600
_PART = 4
_SHOWN_SIDE = 256
_MOST_BYTES = 2**30

Kind = Literal["gif", "mp4"]


def film(
    session: Session, states: Sequence[State], kind: Kind, fps: float, progress: Callable[[int, int], None]
) -> bytes:
    """The film's bytes; small images are enlarged to about 256 pixels.

    Args:
        session: what draws.
        states: one for each frame.
        kind: ``gif``, or ``mp4``, which needs the package ``av``.
        fps: frames a second, from 1 to 60.
        progress: called with frames done and in all; what it raises ends the work.

    Raises:
        ValueError: no states or too many, a state that does not fit, another kind or rate, or no ``av``.
    """
    from PIL import Image

    if kind not in ("gif", "mp4"):
        raise ValueError(f"a film is a gif or an mp4, got {str(kind)[:20]!r}")
    if not 1 <= fps <= 60:
        raise ValueError(f"a film has 1 to 60 frames a second, got {fps:g}")
    if not 0 < len(states) <= MOST_FRAMES:
        raise ValueError(f"a film has 1 to {MOST_FRAMES} frames, got {len(states)}")
    _, height, width = session.generator.image_shape
    factor = max(1, _SHOWN_SIDE // max(height, width))
    if len(states) * height * width * factor**2 * 3 > _MOST_BYTES:
        raise ValueError(f"a film of {len(states)} frames of {height}×{width} pixels is too large; take fewer")
    if kind == "mp4":
        video_writer()  # before the images are made, not after
    frames = []
    for start in range(0, len(states), _PART):
        pixels = to_bytes(session.render(states[start : start + _PART]))
        frames += [Image.fromarray(enlarge(picture, factor)) for picture in pixels]
        progress(len(frames), len(states))
    with tempfile.TemporaryDirectory(prefix="contrafact-") as folder:
        write = save_gif if kind == "gif" else save_mp4
        return write(frames, Path(folder, f"film.{kind}"), max(1, round(1000 / fps)), 0).read_bytes()
