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

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> import numpy as np
    >>> Path("idx").mkdir()
    >>> for kind, array in (("images-idx3", np.zeros((2, 28, 28), "u1")), ("labels-idx1", np.array([9, 0], "u1"))):
    ...     head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    ...     _ = Path(f"idx/train-{kind}-ubyte").write_bytes(head + array.tobytes())
    >>> images = cf.data.FashionMNIST("idx")
    >>> [images.class_names[label] for label in images.labels], images.image_shape
    (['ankle boot', 'T-shirt/top'], (1, 28, 28))
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
