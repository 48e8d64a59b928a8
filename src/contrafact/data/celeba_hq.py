"""CelebA-HQ: 30,000 photographs of faces with 40 attributes and, from CelebAMask-HQ, masks of their parts.

Karras et al., "Progressive Growing of GANs", ICLR 2018; Lee et al., "MaskGAN", CVPR 2020,
https://github.com/switchablenorms/CelebAMask-HQ.

Shape suffixes: N images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import AnnotatedDataset, IntArray, check_count, check_indices
from contrafact.core.decoding import UnusableError, decode
from contrafact.data._attributes import match_pictures, read_attributes
from contrafact.data._files import PathLike, data_folder, missing_file_message
from contrafact.data._pixels import shrink
from contrafact.data.images import WHITE, Images

PICTURES, MASKS, ATTRIBUTES = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebAMask-HQ-attribute-anno.txt"
FILES = (PICTURES, ATTRIBUTES)
PLACES = ("CelebAMask-HQ", "celeba_hq")
"""Folders that these may lie in, below the one that is named."""
MASKS_PER_FOLDER, MASK_SIDE = 2000, 512
MASK_PARTS = (
    "cloth", "ear_r", "eye_g", "hair", "hat", "l_brow", "l_ear", "l_eye", "l_lip", "mouth", "neck", "neck_l", "nose",
    "r_brow", "r_ear", "r_eye", "skin", "u_lip",
)  # fmt: skip
GENDER = "Male"


class CelebAHQ(Images, AnnotatedDataset):
    r"""CelebA-HQ in CelebAMask-HQ's layout: faces ``(3, size, size)``, attributes as factors, gender as class.

    Args:
        path: folder with ``CelebA-HQ-img`` and the attribute file; by default ``celeba_hq`` or ``CelebAMask-HQ`` in the
            data folder.
        size: image side in pixels, at most 1024.

    Raises:
        ValueError: no such folder, a damaged attribute file, or one that lists missing pictures.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> Path("hq/CelebA-HQ-img").mkdir(parents=True)
    >>> for number in (0, 1):
    ...     Image.new("RGB", (1024, 1024)).save(f"hq/CelebA-HQ-img/{number}.jpg")
    >>> _ = Path("hq/CelebAMask-HQ-attribute-anno.txt").write_text("2\nMale Young\n0.jpg  1 1\n1.jpg -1 1\n")
    >>> faces = cf.data.CelebAHQ("hq", size=32)
    >>> faces.labels.tolist(), faces.factors_of([0, 1]).tolist()
    ([1, 0], [[1, 1], [0, 1]])
    """

    name = "celeba-hq"

    def __init__(self, path: PathLike | None = None, size: int = 64) -> None:
        check_count("size", size)
        self._root = root = _find_root(path)
        super().__init__(root / PICTURES, size)
        self.source = str(root)
        listing = root / ATTRIBUTES
        pictures, self.factor_names, self._values_NK = read_attributes(self.name, listing)
        self.factor_sizes = (2,) * len(self.factor_names)
        file_of = match_pictures(self.name, listing, pictures, root / PICTURES, self.files)
        if GENDER not in self.factor_names:
            raise ValueError(f"celeba-hq: {listing} has no attribute {GENDER}; found {', '.join(self.factor_names)}")
        self.files = [file_of[name] for name in pictures]
        self.class_names = ("female", "male")
        self._labels = self._values_NK[:, self.factor_names.index(GENDER)]

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        factors: IntArray = self._values_NK[check_indices(self, indices)]
        return factors

    def masks(self, indices: IntArray | Sequence[int] | Tensor, part: str = "hair") -> Tensor:
        """Where a part of the face is: float32 ``(N, 1, size, size)`` in [0, 1]; zeros where a face has no such part.

        Raises:
            ValueError: an unknown part, or no folder of masks.
        """
        if part not in MASK_PARTS:
            raise ValueError(unknown_name_message("part of a face", part, MASK_PARTS))
        folder = self._root / MASKS
        if not folder.is_dir():
            raise ValueError(f"celeba-hq: {folder} does not exist; unpack CelebAMask-HQ's masks there")
        numbers = [int(self.files[index].stem) for index in check_indices(self, indices)]
        files = [folder / str(number // MASKS_PER_FOLDER) / f"{number:05}_{part}.png" for number in numbers]
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
            masks = list(pool.map(_read_mask, files))
        return shrink(torch.from_numpy(np.stack(masks)).float()[:, None], self.image_shape[1])


def _read_mask(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if not file.is_file():
        return np.zeros((MASK_SIDE, MASK_SIDE), dtype=bool)
    try:
        mask = np.asarray(decode(file, 1, WHITE).picture) > 127
    except UnusableError as error:
        raise ValueError(f"celeba-hq: {file} {error}; unpack the masks again") from error
    if mask.shape != (MASK_SIDE, MASK_SIDE):
        raise ValueError(f"celeba-hq: {file} is {mask.shape[1]} x {mask.shape[0]}, masks are {MASK_SIDE} x {MASK_SIDE}")
    return mask


def _find_root(path: PathLike | None) -> Path:
    roots = [data_folder() / name for name in ("celeba_hq", "CelebAMask-HQ")] if path is None else [Path(path)]
    roots = [root.expanduser().parent if root.name in FILES else root.expanduser() for root in roots]
    roots = [root / place for root in roots for place in ("", *PLACES)]
    found = next((root for root in roots if (root / PICTURES).is_dir()), None)
    if found is None:
        if path is None:
            raise ValueError(missing_file_message("celeba-hq", FILES, "unpack CelebAMask-HQ into the folder celeba_hq"))
        raise ValueError(f"celeba-hq: {roots[0]} has no folder {PICTURES}; give the one that holds it")
    return found
