"""MPI3D: a robot arm holds an object, seven factors; real photographs, realistic and toy renderings.

Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New Disentanglement Dataset",
NeurIPS 2019, https://github.com/rr-learning/disentanglement_dataset. There is no stand-in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.data._files import PathLike, check_array, find_file, missing_file_message
from contrafact.data._npz import NumpyArchive
from contrafact.data._pixels import check_size, to_images

VARIANTS = ("real", "realistic", "toy", "real_complex")
FILES = tuple(f"mpi3d_{variant}.npz" for variant in VARIANTS)
SIDE = 64


class MPI3D(FactorDataset):
    """MPI3D, 1,036,800 images ``(3, size, size)``; 460,800 in ``real_complex`` and in the old toy challenge file.

    The published files differ in their number of colours and shapes (6 and 6, or 4 and 4); their length tells.

    Args:
        path: a published ``.npz`` or a folder that holds one; by default the data folder.
        variant: ``real``, ``realistic``, ``toy`` or ``real_complex``; None takes the first of these that is there.
        size: image side: 64, 32 or 16; below 64, pixels are area averages.

    Raises:
        ValueError: unknown variant or size, no file, or one that is not a published one.

    >>> import contrafact as cf
    >>> dict(zip(cf.data.MPI3D.factor_names, cf.data.MPI3D.known_sizes[0]))["horizontal axis"]
    40
    >>> cf.data.MPI3D("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: mpi3d: ...
    """

    name = "mpi3d"
    factor_names = ("color", "shape", "size", "camera height", "background", "horizontal axis", "vertical axis")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("size", "camera height", "horizontal axis", "vertical axis"),
        "flip": ("horizontal axis",),
        "color": ("color", "background"),
        "grayscale": ("color", "background"),
    }
    known_sizes = ((6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40))

    def __init__(self, path: PathLike | None = None, variant: str | None = None, size: int = SIDE) -> None:
        if variant is not None and variant not in VARIANTS:
            raise ValueError(f"mpi3d: variant must be one of {', '.join(VARIANTS)}; got {variant!r}")
        self.image_shape = (3, check_size(self.name, size, (64, 32, 16)), size)
        names = FILES if variant is None else (f"mpi3d_{variant}.npz",)
        file = find_file(self.name, path, names)
        if file is None:
            remedy = "download it from https://github.com/rr-learning/disentanglement_dataset"
            raise ValueError(missing_file_message(self.name, names, remedy))
        archive = NumpyArchive(self.name, file)
        shape, dtype = archive.header("images")
        by_length = {math.prod(sizes): sizes for sizes in self.known_sizes}
        if not shape or shape[0] not in by_length:
            raise ValueError(
                f"mpi3d: key 'images' of {file}: expected {' or '.join(map(str, by_length))} images, found shape "
                f"{shape}; it is another dataset's file or an incomplete one"
            )
        check_array(self.name, file, "images", (shape, dtype), ((shape[0], SIDE, SIDE, 3), np.uint8))
        self.factor_sizes = by_length[shape[0]]
        self.source = str(file)
        self._pixels = archive.stored("images")

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        return to_images(self._pixels.rows(check_indices(self, indices)), self.image_shape[1])
