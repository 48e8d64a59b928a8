"""The dataset contracts: images with optional labels, with several known factors, in pairs, and full grids of factors.

What few labels a method may use is :class:`FewLabels`.

Shape suffixes: N images, C channels, H height, W width, K factors.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from contrafact.core.annotations import FewLabels as FewLabels
from contrafact.core.annotations import IntArray as IntArray
from contrafact.core.places import fingerprint_files

if TYPE_CHECKING:
    from torch import Tensor


STAND_IN = "procedural stand-in"
"""``source`` of a dataset that no file was found for, or its beginning."""
STAND_IN_VERSION = 1
"""Raised when a stand-in's pictures change, so that no run goes on with others."""
_FINGERPRINT_IMAGES = 64


class ImageDataset(ABC):
    """Images, all of one size, with optional labels.

    Attributes:
        name: the dataset's standard name, for reports (``"fashion-mnist"``).
        image_shape: ``(C, H, W)`` of every image.
        source: where the images come from: a file's path, or ``"procedural stand-in"``; scores are labelled with it.
        class_names: one name per label value, empty when there are no labels.
        options: what else :func:`~contrafact.data.load.load_dataset` was asked for that changes the images, such as the
            background of see-through pictures; empty for none. Scores and reports load a run's data with them again.
        few_labels: the annotations a method may use, None for none; ``load_dataset(..., labels=100)`` chooses them.
        destroyed_by: which factors (or ``"class"``) an augmentation makes unreadable, by its name: ``crop``, ``flip``,
            ``light``, ``color``, ``grayscale``, ``blur``; contrastive methods leave such augmentations out.

    >>> import contrafact as cf
    >>> data = cf.load_dataset("shapes3d", size=16)
    >>> len(data), data.batch([0, 1]).shape, data.random_batch(3, np.random.default_rng(0)).shape
    (480000, torch.Size([2, 3, 16, 16]), torch.Size([3, 3, 16, 16]))
    >>> data.labels is None, data.file_names, data.source_name, data.place(), data.parts()
    (True, None, 'procedural stand-in', None, None)
    >>> data.fingerprint() == cf.load_dataset("shapes3d", size=16).fingerprint()
    True
    """

    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    name: str
    image_shape: tuple[int, int, int]
    source: str
    class_names: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    few_labels: FewLabels | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        """Images at ``indices``: float32 ``(N, C, H, W)`` in [0, 1].

        Raises:
            ValueError: an index is outside ``[0, len(self))``.
        """

    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, Any]:
        """One image ``(C, H, W)``, with its factors ``(K,)`` or its class where they are known: for ``DataLoader``.

        Raises:
            IndexError: there is no such image.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor | tuple[Tensor, Any]]:
        """Several at once, as ``DataLoader`` asks for them: they are read together.

        >>> import contrafact as cf
        >>> from torch.utils.data import DataLoader
        >>> images, factors = next(iter(DataLoader(cf.load_dataset("shapes3d", size=16), batch_size=4)))
        >>> images.shape, factors.shape
        (torch.Size([4, 3, 16, 16]), torch.Size([4, 6]))
        """
        chosen = np.asarray(indices, dtype=np.int64)
        if ((chosen < -len(self)) | (chosen >= len(self))).any():
            raise IndexError(
                f"{self.name} has {len(self)} images, from 0 to {len(self) - 1}; asked for {chosen.tolist()}"
            )
        chosen = chosen % len(self)
        images = self.batch(chosen)
        if isinstance(self, AnnotatedDataset):
            return list(zip(images, self.factors_of(chosen), strict=True))
        return list(images) if self.labels is None else list(zip(images, self.labels[chosen].tolist(), strict=True))

    @property
    def labels(self) -> IntArray | None:
        """Class label of every image ``(len(self),)``, or None."""
        return None

    @property
    def file_names(self) -> Sequence[str] | None:
        """Name of every image's file within the dataset, by which a table may annotate it; None where there is none."""
        return None

    def random_batch(self, n: int, rng: np.random.Generator) -> Tensor:
        """``n`` images drawn uniformly with replacement: float32 ``(n, C, H, W)`` in [0, 1]."""
        return self.batch(rng.integers(len(self), size=check_count("n", n)))

    @property
    def source_name(self) -> str:
        """``source`` as it may be written down: of a path, its name alone."""
        return Path(self.source).name if Path(self.source).is_absolute() or self.place() else self.source

    def fingerprint(self) -> str:
        """Short hash of what the dataset holds, equal wherever it lies: a resumed run must find what it began with.

        Of a dataset in one file, the file's; of a stand-in, its name and version; else of the number of images, the
        labels and up to 64 images, where they are the same when asked for twice.
        """
        path = self.place()
        if path is not None and path.is_file():
            return fingerprint_files([path])
        digest = hashlib.sha256(f"{self.name} {len(self)} {self.image_shape}".encode())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        if self.source.startswith(STAND_IN):
            digest.update(f"{self.source_name} {STAND_IN_VERSION}".encode())
            return digest.hexdigest()[:16]
        chosen = np.unique(np.linspace(0, len(self) - 1, min(len(self), _FINGERPRINT_IMAGES)).astype(np.int64))
        first, second = (self.batch(chosen).detach().cpu().mul(255).round().numpy() for _ in range(2))
        if np.array_equal(first, second):  # images that are changed at random every time say nothing
            digest.update(first.astype("<i2").tobytes())
        return digest.hexdigest()[:16]

    def place(self) -> Path | None:
        """The file or folder the images come from, None where there is none."""
        try:
            return Path(self.source) if self.source and Path(self.source).exists() else None
        except (OSError, ValueError):  # a text too long, or with characters no path has
            return None

    def parts(self) -> tuple[ImageDataset, ImageDataset] | None:
        """The published training and test parts, one of which this dataset is; None where there are none."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images {self.image_shape}, {self.source})"


class AnnotatedDataset(ImageDataset):
    """Images of which several factors are known.

    Attributes:
        factor_names: K names.
        factor_sizes: K numbers of values.
        factors_of_interest: names of the factors that few-label methods annotate; empty for all.

    >>> import contrafact as cf
    >>> data = cf.load_dataset("shapes3d", size=16)
    >>> dict(zip(data.factor_names, data.factors_of([479_999])[0].tolist()))["shape"]
    3
    """

    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    factors_of_interest: tuple[str, ...] = ()

    @abstractmethod
    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        """Factor values ``(N, K)`` of the images at ``indices`` ``(N,)``."""


class Pairs(NamedTuple):
    """Two views each of N things.

    Attributes:
        first: images ``(N, C, H, W)`` in [0, 1].
        second: their other views, in the same order.
        factors_first_NK: factor values of the first views.
        factors_second_NK: of the second.
    """

    first: Tensor
    second: Tensor
    factors_first_NK: IntArray
    factors_second_NK: IntArray


class PairDataset(AnnotatedDataset):
    """Pairs of images that agree in some factors and not in the others; ``batch`` gives the first of each pair.

    Attributes:
        held: names of the factors both images of a pair share.

    >>> import torch
    >>> class Twins(PairDataset):
    ...     name, source, image_shape = "twins", "made up", (1, 8, 8)
    ...     factor_names, factor_sizes, held = ("grey", "side"), (2, 2), ("grey",)
    ...     def __len__(self):
    ...         return 2
    ...     def factors_of(self, indices):
    ...         return np.stack([indices, np.zeros_like(indices)], axis=1)
    ...     def batch(self, indices):
    ...         return self.pairs(indices).first
    ...     def pairs(self, indices):
    ...         first = self.factors_of(np.asarray(indices))
    ...         images = torch.from_numpy(first[:, :1, None, None]).float().expand(-1, *self.image_shape)
    ...         return Pairs(images, images.flip(3), first, first + [0, 1])
    >>> Twins().pairs([0, 1]).factors_second_NK.tolist()
    [[0, 1], [1, 1]]
    >>> Twins().random_pairs(5, np.random.default_rng(0)).first.shape
    torch.Size([5, 1, 8, 8])
    """

    held: tuple[str, ...]

    @abstractmethod
    def pairs(self, indices: IntArray | Sequence[int] | Tensor) -> Pairs:
        """Both images of the pairs at ``indices`` ``(N,)``."""

    def random_pairs(self, n: int, rng: np.random.Generator) -> Pairs:
        """``n`` pairs drawn uniformly with replacement."""
        return self.pairs(rng.integers(len(self), size=check_count("n", n)))


class FactorDataset(AnnotatedDataset):
    """A full grid of known factors, row-major, the last factor fastest; the names and sizes are in grid order.

    >>> import contrafact as cf
    >>> data = cf.load_dataset("shapes3d", size=16)
    >>> factors = data.sample(4, np.random.default_rng(0))
    >>> data.images(factors).shape, bool((data.factors_of(data.index_of(factors)) == factors).all())
    (torch.Size([4, 3, 16, 16]), True)
    """

    def __len__(self) -> int:
        return int(np.prod(self.factor_sizes))

    def images(self, factors: IntArray | Tensor) -> Tensor:
        """Images of the given factor values.

        Args:
            factors: integer ``(N, K)``; column k in ``[0, factor_sizes[k])``.

        Returns:
            float32 ``(N, C, H, W)`` in [0, 1].

        Raises:
            ValueError: wrong shape, or a value outside its factor's range.
        """
        return self.batch(self.index_of(factors))

    def sample(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw ``n`` rows of factors, independent and uniform: int64 ``(n, K)``; ``images`` renders them."""
        return rng.integers(np.asarray(self.factor_sizes), size=(check_count("n", n), len(self.factor_sizes)))

    def index_of(self, factors: IntArray | Tensor) -> IntArray:
        """Grid index ``(N,)`` of each row of factors ``(N, K)``."""
        values = np.asarray(factors)
        if values.ndim != 2 or values.shape[1] != len(self.factor_sizes):
            raise ValueError(
                f"{self.name}: expected factors of shape (N, {len(self.factor_sizes)}) in the order "
                f"{', '.join(self.factor_names)}; got shape {values.shape}"
            )
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{self.name}: expected integer factors, got dtype {values.dtype}; pass value indices")
        bad = (values < 0) | (values >= np.asarray(self.factor_sizes))
        if bad.any():
            row, column = map(int, np.argwhere(bad)[0])
            raise ValueError(
                f"{self.name}: factor {self.factor_names[column]!r} takes values 0 to {self.factor_sizes[column] - 1}; "
                f"row {row} has {values[row, column]}"
            )
        return np.asarray(np.ravel_multi_index(tuple(values.T), self.factor_sizes), dtype=np.int64)

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        """Rows of factors ``(N, K)`` at grid indices ``(N,)``: the inverse of :meth:`index_of`."""
        checked = check_indices(self, indices)
        return np.stack(np.unravel_index(checked, self.factor_sizes), axis=1).astype(np.int64)


def check_count(name: str, value: int) -> int:
    """``value`` if it is a positive whole number, else a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def check_indices(dataset: ImageDataset, indices: IntArray | Sequence[int] | Tensor) -> IntArray:
    """``indices`` as int64 ``(N,)``, checked against the dataset's length."""
    if not isinstance(indices, np.ndarray) and hasattr(indices, "detach"):  # a tensor, on any device
        indices = indices.detach().cpu().numpy()
    values = np.asarray(indices)
    if values.ndim != 1 or (values.size and not np.issubdtype(values.dtype, np.integer)):
        raise ValueError(
            f"{dataset.name}: expected whole-number indices of shape (N,), got {values.dtype} of shape {values.shape}"
        )
    if values.size and (values.min() < 0 or values.max() >= len(dataset)):
        raise ValueError(
            f"{dataset.name}: indices must lie in [0, {len(dataset)}), got {values.min()} to {values.max()}"
        )
    return values.astype(np.int64)


def check_images(images: Tensor, image_shape: tuple[int, int, int], who: str) -> Tensor:
    """``images`` if they are float ``(N, C, H, W)`` of the given shape, else a ValueError.

    Values are checked to be finite and near [0, 1]: an adapter may overshoot slightly (nothing clamps before a picture
    is written), but bytes (0 to 255) and unscaled generator output (-1 to 1) are refused.

    Raises:
        ValueError: wrong rank, shape, dtype or range.
    """
    channels, height, width = image_shape
    if images.ndim != 4 or tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"{who} expects images of shape (N, {channels}, {height}, {width}), got {tuple(images.shape)}; "
            "resize them, or load the dataset with size="
        )
    if not images.is_floating_point():
        raise ValueError(f"{who} expects float images in [0, 1], got {images.dtype}; divide bytes by 255")
    if images.numel():
        low, high = (float(v) for v in images.detach().aminmax())
        if not (low >= -0.5 and high <= 1.5):  # also catches NaN
            raise ValueError(
                f"{who} expects images in [0, 1], got values from {low:.3g} to {high:.3g}; "
                "divide bytes by 255, or map [-1, 1] by (x + 1) / 2"
            )
    return images
