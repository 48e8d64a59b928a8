"""CIFAR-10: 60,000 photographs, 32 x 32, ten classes of animals and vehicles.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from contrafact.data._cifar import CifarImages

FILES = ("cifar-10-batches-py", "cifar-10-batches-bin", "data_batch_1", "data_batch_1.bin")


class CIFAR10(CifarImages):
    """CIFAR-10: 50,000 training and 10,000 test images ``(3, size, size)`` with labels, from either published form.

    Args:
        path: folder of the batches, or the one that holds it; by default the dataset's places in the data folder.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 32, 16 or 8: smaller by area averages.

    Raises:
        ValueError: unknown split or size, no files, or damaged ones.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> Path("cifar").mkdir()
    >>> for name in cf.data.CIFAR10.batches["train"]:  # the binary form: a label, then 3,072 bytes, for each image
    ...     _ = Path(f"cifar/{name}.bin").write_bytes(bytes([3]) + bytes(3072))
    >>> images = cf.data.CIFAR10("cifar")
    >>> len(images), images.class_names[images.labels[0]], images.batch([0]).shape
    (5, 'cat', torch.Size([1, 3, 32, 32]))
    """

    name = "cifar10"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    folders = ("cifar-10-batches-py", "cifar-10-batches-bin")
    batches = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}  # noqa: RUF012
    label_key, label_bytes = "labels", 1
