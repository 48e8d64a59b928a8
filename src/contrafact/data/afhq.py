"""AFHQ: about 15,000 photographs of animal faces: cats, dogs and wild animals.

Choi, Uh, Yoo & Ha, "StarGAN v2: Diverse Image Synthesis for Multiple Domains", CVPR 2020,
https://github.com/clovaai/stargan-v2.
"""

from __future__ import annotations

from pathlib import Path

from contrafact.core.dataset import check_count
from contrafact.data._files import PathLike, data_folder, missing_file_message
from contrafact.data.images import Images

CLASSES = ("cat", "dog", "wild")
FILES = ("train/cat", "val/cat", "test/cat")
SPLITS = {"train": ("train",), "test": ("test", "val")}


class AFHQ(Images):
    """AFHQ: faces ``(3, size, size)`` of three classes, from the published folders of either version.

    Args:
        path: folder with ``train`` and ``val`` (version 2: ``test``), each with ``cat``, ``dog`` and ``wild``; by
            default ``afhq`` in the data folder.
        split: ``train`` or ``test``.
        size: image side in pixels, at most 512.

    Raises:
        ValueError: an unknown split, no such folder, or one that lacks a class.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> from PIL import Image
    >>> for kind in ("cat", "dog", "wild"):
    ...     for part in ("train", "val"):
    ...         Path("afhq", part, kind).mkdir(parents=True)
    ...         Image.new("RGB", (512, 512)).save(f"afhq/{part}/{kind}/1.jpg")
    >>> faces = cf.data.AFHQ("afhq", size=32)
    >>> len(faces), faces.class_names
    (3, ('cat', 'dog', 'wild'))
    """

    name = "afhq"

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = 64) -> None:
        if split not in SPLITS:
            raise ValueError(f"afhq: split must be one of {', '.join(SPLITS)}; got {split!r}")
        check_count("size", size)
        root = data_folder() / "afhq" if path is None else Path(path).expanduser()
        folder = next((root / name for name in SPLITS[split] if (root / name).is_dir()), None)
        if folder is None:
            if path is None:
                raise ValueError(missing_file_message("afhq", FILES, "unpack AFHQ into the folder afhq"))
            raise ValueError(f"afhq: {root} has no folder {' or '.join(SPLITS[split])}; give the one that holds it")
        super().__init__(folder, size)
        if self.class_names != CLASSES:
            raise ValueError(
                f"afhq: {folder} must hold pictures in {', '.join(CLASSES)}, found "
                f"{', '.join(self.class_names) or 'no class folders'}"
            )
        self.split, self._root = split, root

    def parts(self) -> tuple[AFHQ, AFHQ] | None:
        other = "test" if self.split == "train" else "train"
        if not any((self._root / name).is_dir() for name in SPLITS[other]):
            return None
        twin = AFHQ(self._root, other, self.image_shape[1])
        return (self, twin) if self.split == "train" else (twin, self)
