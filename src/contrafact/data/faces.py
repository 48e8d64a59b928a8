"""Faces by pose: a folder of rendered or photographed heads, the pose of each in degrees as its class.

CD-GAN's Faces are renderings of the Basel Face Model (Paysan et al., AVSS 2009), ten poses from -90 to 90 degrees; the
model is not free, so the folder is yours. Either a subfolder per pose (``-70/0001.png``), or file names that end in the
pose (``0001_-70.png``, or ``0001/-70.png``).
"""

from __future__ import annotations

import re

import numpy as np

from contrafact.data._files import PathLike
from contrafact.data.images import Images

_POSE = re.compile(r"[+-]?\d{1,3}(\.\d+)?$")
_ANGLE = re.compile(r"(?:^|_|[a-zA-Z ])([+-]?\d+(?:\.\d+)?)$")


class Faces(Images):
    """A folder of faces whose classes are poses, in the order of their angles.

    Args:
        path: the folder, searched with all its subfolders.
        size: image side in pixels. A picture with a shorter side is refused, not enlarged.
        background: what see-through parts are laid on, see :class:`~contrafact.data.images.Images`.
        skip_damaged: leave out the pictures that cannot be used.

    Raises:
        ValueError: no such folder, no pictures in it, a file whose pose is not in its name, or a single pose.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> Path("heads").mkdir()
    >>> for name in ("anna_-70", "anna_0", "anna_70", "ben_0"):
    ...     Image.new("RGB", (64, 64)).save(f"heads/{name}.png")
    >>> heads = cf.data.Faces("heads")
    >>> heads.class_names, heads.labels.tolist()
    (('-70°', '+0°', '+70°'), [0, 1, 2, 1])
    """

    name = "faces"

    def __init__(self, path: PathLike, size: int = 32, background: str = "white", skip_damaged: bool = False) -> None:
        super().__init__(path, size, background, skip_damaged=skip_damaged)
        inside = [file.relative_to(self.folder).parts for file in self.files]
        angles = [_angle(parts[0]) if len(parts) > 1 and _POSE.match(parts[0]) else None for parts in inside]
        if None in angles:  # folders are people, or there are none
            angles = [_angle(file.stem) for file in self.files]
        if None in angles:
            file = self.files[angles.index(None)]
            raise ValueError(
                f"faces: the pose of {file} is in neither its folder's nor its own name; expected an angle in degrees, "
                "such as -70/0001.png or 0001_-70.png"
            )
        poses, labels = np.unique(np.asarray(angles, dtype=np.float64), return_inverse=True)
        if len(poses) < 2:
            raise ValueError(f"faces: {self.folder} holds the single pose {poses[0]:g}; expected at least two")
        self.class_names = tuple(f"{pose:+g}°" for pose in poses)
        self._labels = labels.astype(np.int64)


def _angle(name: str) -> float | None:
    """The number of degrees a name ends with: ``+20`` and ``face_-20`` have one, ``0001a`` has none."""
    found = _ANGLE.search(name)
    return None if found is None else float(found.group(1))
