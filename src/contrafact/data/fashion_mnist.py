"""Fashion-MNIST: 70,000 photographs of clothes, 28 x 28, grey, ten classes.

Xiao, Rasul & Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017,
https://arxiv.org/abs/1708.07747.
"""

from __future__ import annotations

from pathlib import Path

from contrafact.data import _idx

FILES = _idx.FILES


class FashionMNIST(_idx.IdxImages):
    """Fashion-MNIST: 60,000 training and 10,000 test images ``(1, size, size)`` with labels.

    Args:
        path: folder of the four idx files, gzipped or not. By default the data folder's ``fashion-mnist``, then where
            Debian's package puts them.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 28, or 32: two black pixels added on each side.

    Raises:
        ValueError: unknown split or size, no files (the message says how to get them), or damaged ones.
    """

    name = "fashion-mnist"
    class_names = (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )

    subfolders = ("fashion-mnist", "fashion_mnist", "FashionMNIST")
    system_folders = (Path("/usr/share/datasets/fashion-mnist"),)
    remedy = (
        "on Debian or Ubuntu install the package dataset-fashion-mnist, elsewhere put the four files of "
        "https://github.com/zalandoresearch/fashion-mnist into one of these folders"
    )
