"""CelebA: 202,599 aligned photographs of 10,177 people, with 40 yes-or-no attributes.

Liu, Luo, Wang & Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015,
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contrafact.core.dataset import AnnotatedDataset, IntArray, check_count, check_indices
from contrafact.data._attributes import match_pictures, read_attributes, read_numbers, stem
from contrafact.data._files import PathLike, data_folder, missing_file_message
from contrafact.data.images import Images

FOLDERS = ("img_align_celeba", "img_align_celeba_png", "img_celeba")
ATTRIBUTES, IDENTITIES, PARTS = "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"
FILES = (*FOLDERS, ATTRIBUTES, "list_attr_celeba.csv")
PLACES = ("celeba", "CelebA", "Img", "celeba/Img", "CelebA/Img")
"""Folders that the pictures may lie in, below the one that is named: torchvision's, and the original archive's."""
FOLDERS_WITHIN = ("Anno", "Eval", "Img")
SPLITS = {"train": (0,), "valid": (1,), "test": (2,), "all": (0, 1, 2)}


class CelebA(Images, AnnotatedDataset):
    r"""CelebA: photographs ``(3, size, size)`` with attributes as factors and people as classes.

    Without the identity file there are no classes. Pictures are shrunk until their shorter side is ``size`` and cropped
    to the centre, once, into the cache.

    Args:
        path: folder with ``img_align_celeba`` and the annotation files: as published (``Img``, ``Anno``, ``Eval``), all
            in one folder, below a folder ``celeba`` (torchvision), or with Kaggle's CSV tables; by default ``celeba``
            in the data folder.
        split: ``train``, ``valid``, ``test``, by the published partition, or ``all``.
        size: image side in pixels, at most 178.

    Raises:
        ValueError: an unknown split, no such folder, a damaged annotation file, or one that lists missing pictures.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> Path("celeba/img_align_celeba").mkdir(parents=True)
    >>> for number in (1, 2):
    ...     Image.new("RGB", (178, 218)).save(f"celeba/img_align_celeba/{number:06}.jpg")
    >>> _ = Path("celeba/list_attr_celeba.txt").write_text("2\nSmiling Male\n000001.jpg 1 -1\n000002.jpg -1 -1\n")
    >>> faces = cf.data.CelebA("celeba", size=32)
    >>> faces.factor_names, faces.factors_of([0, 1]).tolist()
    (('Smiling', 'Male'), [[1, 0], [0, 0]])
    """

    name = "celeba"

    def __init__(self, path: PathLike | None = None, split: str = "all", size: int = 64) -> None:
        if split not in SPLITS:
            raise ValueError(f"celeba: split must be one of {', '.join(SPLITS)}; got {split!r}")
        check_count("size", size)
        root, folder = _find_pictures(path)
        super().__init__(folder, size)
        self.split, self.source, self.class_names, self._labels = split, str(root), (), None
        listing = _annotation(root, ATTRIBUTES)
        pictures, self.factor_names, values_NK = read_attributes(self.name, listing)
        self.factor_sizes = (2,) * len(self.factor_names)
        file_of = match_pictures(self.name, listing, pictures, folder, self.files)
        kept = np.arange(len(pictures))
        if split != "all":
            part_of = _by_stem(read_numbers(self.name, _annotation(root, PARTS)))
            kept = np.flatnonzero([part_of.get(stem(name)) in SPLITS[split] for name in pictures])
        if not len(kept):
            raise ValueError(f"celeba: {root} holds no picture of the part {split!r}")
        names = [pictures[row] for row in kept]
        everyone, self.files, self._values_NK = self.files, [file_of[name] for name in names], values_NK[kept]
        identities = _annotation(root, IDENTITIES)
        if identities.is_file():
            person_of = read_numbers(self.name, identities)
            match_pictures(self.name, identities, person_of, folder, everyone)
            person_of = _by_stem(person_of)
            unnamed = [name for name in names if stem(name) not in person_of]
            if unnamed:
                raise ValueError(f"celeba: {identities} gives no identity of {len(unnamed)} pictures, as {unnamed[0]}")
            people, labels = np.unique([person_of[stem(name)] for name in names], return_inverse=True)
            self.class_names, self._labels = tuple(map(str, people)), labels.astype(np.int64)

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        factors: IntArray = self._values_NK[check_indices(self, indices)]
        return factors


def _by_stem(numbers: dict[str, int]) -> dict[str, int]:
    return {stem(name): number for name, number in numbers.items()}


def _find_pictures(path: PathLike | None) -> tuple[Path, Path]:
    """The folder that ``path`` stands for, and the folder of pictures in it."""
    roots = [data_folder() / "celeba", data_folder()] if path is None else [_above(Path(path).expanduser())]
    for root in roots:
        for place in ("", *PLACES):
            for name in FOLDERS:
                if (root / place / name).is_dir():
                    return root, root / place / name
    if path is None:
        raise ValueError(missing_file_message("celeba", FOLDERS, "unpack CelebA's aligned pictures"))
    raise ValueError(f"celeba: {roots[0]} holds none of the folders {', '.join(FOLDERS)}; unpack the pictures there")


def _above(path: Path) -> Path:
    """The folder of everything, when its pictures, its annotations or a file of them were named."""
    while path.name in (*FILES, *FOLDERS_WITHIN):
        path = path.parent
    return path


def _annotation(root: Path, name: str) -> Path:
    """An annotation file, as published or as a CSV table; where the published one would lie if there is neither."""
    homes = [root, *(root / place for place in ("celeba", "CelebA"))]
    folders = [folder for home in homes for folder in (home, *(home / name for name in FOLDERS_WITHIN))]
    places = [folder / file for file in (name, Path(name).with_suffix(".csv").name) for folder in folders]
    return next((place for place in places if place.is_file()), places[0])
