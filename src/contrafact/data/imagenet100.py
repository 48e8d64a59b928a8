"""ImageNet-100: about 128,000 photographs of a hundred of ImageNet's classes.

Deng et al., "ImageNet: A Large-Scale Hierarchical Image Database", CVPR 2009; the hundred classes of Tian, Krishnan &
Isola, "Contrastive Multiview Coding", ECCV 2020, or any other hundred.
"""

from __future__ import annotations

import re
from pathlib import Path

from contrafact.core.dataset import check_count
from contrafact.data._files import PathLike, data_folder, missing_file_message
from contrafact.data.images import Images

SPLITS = {"train": "train", "test": "val"}
NUM_CLASSES = 100
_SYNSET = re.compile(r"n\d{8}")


class ImageNet100(Images):
    """ImageNet-100: photographs ``(3, size, size)`` of a hundred classes, from ImageNet's own folders.

    Args:
        path: folder with ``train`` and ``val``, each with a hundred folders named as ImageNet names classes
            (``n01558993``); by default ``imagenet100`` in the data folder.
        split: ``train``, or ``test`` for ImageNet's validation images.
        size: image side in pixels. A picture with a shorter side is refused, not enlarged.

    Raises:
        ValueError: an unknown split, no such folder, or class folders of another number or other names.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> for number in range(100):  # a folder for each class, as ImageNet calls it
    ...     for part in ("train", "val"):
    ...         Path(f"imagenet/{part}/n{number:08}").mkdir(parents=True)
    ...         Image.new("RGB", (80, 64)).save(f"imagenet/{part}/n{number:08}/1.JPEG")
    >>> images = cf.data.ImageNet100("imagenet", size=64)
    >>> len(images), images.class_names[0]
    (100, 'n00000000')
    """

    name = "imagenet100"

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = 64) -> None:
        if split not in SPLITS:
            raise ValueError(f"imagenet100: split must be one of {', '.join(SPLITS)}; got {split!r}")
        check_count("size", size)
        root = data_folder() / "imagenet100" if path is None else Path(path).expanduser()
        folder = root / SPLITS[split]
        if not folder.is_dir():
            if path is None:
                remedy = "put ImageNet's folders of a hundred classes there"
                raise ValueError(missing_file_message("imagenet100", ["train/n01558993", "val/n01558993"], remedy))
            raise ValueError(f"imagenet100: {root} has no folder {SPLITS[split]}; give the one that holds it")
        super().__init__(folder, size)
        strange = [name for name in self.class_names if not _SYNSET.fullmatch(name)]
        if strange or len(self.class_names) != NUM_CLASSES:
            found = f"{len(self.class_names)} class folders"
            raise ValueError(
                f"imagenet100: {folder} must hold pictures in {NUM_CLASSES} folders named n and eight digits, found "
                f"{found + f', among them {strange[0]}' if strange else found}"
            )
        self.split, self._root = split, root

    def parts(self) -> tuple[ImageNet100, ImageNet100] | None:
        other = "test" if self.split == "train" else "train"
        if not (self._root / SPLITS[other]).is_dir():
            return None
        twin = ImageNet100(self._root, other, self.image_shape[1])
        return (self, twin) if self.split == "train" else (twin, self)
