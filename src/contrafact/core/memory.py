"""Images that somebody already has in Python, as a dataset: tensors, arrays, pictures, torch datasets and loaders.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_indices

_KINDS = "a tensor or array (N, C, H, W), a list of pictures, a torch Dataset or DataLoader"


class MemoryImages(ImageDataset):
    """Images in memory, with optional labels.

    Args:
        images: float ``(N, C, H, W)`` in [0, 1], or bytes.
        labels: ``(N,)`` whole numbers from 0, or None.
        name: what reports call the data.

    Raises:
        ValueError: images of another shape or range, or another number of labels.

    >>> data = MemoryImages(torch.rand(4, 3, 8, 8), [0, 1, 1, 0])
    >>> len(data), data.image_shape, data.class_names
    (4, (3, 8, 8), ('0', '1'))
    """

    source = "memory"

    def __init__(self, images: Any, labels: Any = None, name: str = "yours") -> None:
        self.name = name
        self._images = as_images(images)
        n, channels, height, width = self._images.shape
        self.image_shape = (channels, height, width)
        self._labels: IntArray | None = None
        if labels is not None:
            values = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
            if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer) or (n and values.min() < 0):
                raise ValueError(
                    f"labels must be whole numbers from 0, one for each of the {n} images, got {values.dtype} of shape "
                    f"{values.shape}"
                )
            self._labels = values.astype(np.int64)
            self.class_names = tuple(map(str, range(int(values.max(initial=-1)) + 1)))

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        return self._images[torch.from_numpy(check_indices(self, indices))]


def as_images(values: Any) -> Tensor:
    """Images float32 ``(N, C, H, W)`` in [0, 1] of whatever holds images.

    Args:
        values: a tensor or array ``(N, C, H, W)``; ``(N, H, W, C)`` or ``(N, H, W)`` of bytes, as pictures are stored;
            or a sequence of Pillow pictures of one size. Bytes are divided by 255.

    Raises:
        ValueError: another shape, pictures of several sizes, floats outside [0, 1], or no images at all.
    """
    if isinstance(values, list | tuple) and values and all(hasattr(value, "convert") for value in values):
        sizes = {value.size for value in values}
        if len(sizes) > 1:
            raise ValueError(f"pictures must have one size, got {sorted(sizes)[:5]}; resize them first")
        grey = all(value.mode in ("L", "1", "I;16") for value in values)
        values = np.stack([np.asarray(value.convert("L" if grey else "RGB")) for value in values])
    elif isinstance(values, list | tuple) and values and all(isinstance(value, Tensor) for value in values):
        values = torch.stack(list(values))
    images = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if images.dtype == torch.uint8:
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
            images = images.movedim(3, 1)
        images = images.float() / 255
    if images.ndim != 4 or images.shape[1] not in (1, 3, 4) or 0 in images.shape:
        raise ValueError(f"expected images (N, 1, 3 or 4, H, W), got shape {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"expected float images in [0, 1] or bytes, got {images.dtype}")
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= -0.01 and high <= 1.01):  # also catches NaN
        raise ValueError(
            f"expected images in [0, 1], got values from {low:.3g} to {high:.3g}; divide bytes by 255, or map [-1, 1] "
            "by (x + 1) / 2"
        )
    return images.float()


def as_dataset(source: Any, name: str = "yours") -> ImageDataset:
    """``source`` as a dataset: itself if it is one, else its images in memory.

    Args:
        source: an :class:`ImageDataset`, what :func:`as_images` takes, a pair ``(images, labels)``, or a torch
            ``Dataset`` or ``DataLoader`` of images or of ``(image, label)``.
        name: what reports call the data.

    Raises:
        ValueError: nothing of the kind; says what came.

    >>> data = as_dataset((torch.zeros(4, 3, 8, 8), [0, 1, 1, 0]))  # images and labels
    >>> len(data), data.image_shape, data.labels.tolist()
    (4, (3, 8, 8), [0, 1, 1, 0])
    >>> as_dataset(data) is data, len(as_dataset(np.zeros((2, 16, 16, 3), dtype=np.uint8)))  # bytes, as files hold them
    (True, 2)
    """
    if isinstance(source, ImageDataset):
        return source
    if isinstance(source, tuple) and len(source) == 2 and not hasattr(source[0], "convert"):
        return MemoryImages(source[0], source[1], name)
    if isinstance(source, Tensor | np.ndarray | list | tuple):
        return MemoryImages(source, None, name)
    if isinstance(source, torch.utils.data.DataLoader | torch.utils.data.Dataset):
        return _of_torch(source, name)
    raise ValueError(f"expected a dataset (load_dataset), or {_KINDS}; got {type(source).__name__}")


def _of_torch(source: Any, name: str) -> ImageDataset:
    batched = isinstance(source, torch.utils.data.DataLoader)
    items: Iterable[Any] = source if batched else (source[i] for i in range(len(source)))
    images, labels = [], []
    for item in items:
        image, label = (item[0], item[1] if len(item) > 1 else None) if isinstance(item, tuple | list) else (item, None)
        images += list(image) if batched else [image]
        if label is not None:
            labels += torch.as_tensor(label).reshape(-1).tolist()
    if not images:
        raise ValueError(f"the {type(source).__name__} holds no images")
    return MemoryImages(images, labels or None, name)
