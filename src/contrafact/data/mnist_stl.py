"""MNIST/STL-10: a digit at one of eight places on a photograph, in pairs that share two of three factors.

Burns, Sarna, Krishnan & Maschinot, "Unsupervised Disentanglement without Autoencoding", 2021, Appendix A.1. Sources,
split and pairs are those of the notebook that makes the published set (github.com/aburns4/UnsupDisent, commit 13039b2).
Images are made when asked for, from the sources and a seed; where the sources are missing, Fashion-MNIST items over
procedural textures stand in.

Shape suffixes: N images, M pairs, K factors, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import ImageDataset, IntArray, PairDataset, Pairs, check_indices
from contrafact.data import _idx
from contrafact.data._classes import rows_of_classes, rows_of_other_classes
from contrafact.data._files import STAND_IN, PathLike, data_folder
from contrafact.data._npz import NumpyArchive
from contrafact.data._pixels import check_size, shrink
from contrafact.data._textures import CLASSES as TEXTURES
from contrafact.data._textures import textures
from contrafact.data.fashion_mnist import FashionMNIST
from contrafact.data.mnist import MNIST
from contrafact.data.stl10 import STL10

SIDE, DIGIT_SIDE = 64, 28
TOPS, LEFTS = (2, 34), (0, 12, 24, 36)
NUM_PAIRS = {"train": 100_000, "test": 10_000}
INDEPENDENT = "-independent"
_HELD = {"dc-bc": (0, 2), "dc-dl": (0, 1), "bc-dl": (2, 1)}
VARIANTS = {**_HELD, **{variant + INDEPENDENT: columns for variant, columns in _HELD.items()}}
TEXTURES_PER_CLASS = {"train": 500, "test": 200}
_BLOCK = 1000
_MNIST_FOLDERS = ("mnist", "MNIST", "mnist/raw", "MNIST/raw")
_STL10_FOLDERS = ("", "stl10_binary", "stl10", "stl10/stl10_binary")


class Source(NamedTuple):
    """Pictures and their classes.

    Attributes:
        pixels: bytes, ``(N, 28, 28)`` for digits, ``(N, 3, 64, 64)`` for backgrounds.
        labels: ``(N,)``, 0 to 9.
        origin: where they come from.
    """

    pixels: npt.NDArray[np.uint8]
    labels: IntArray
    origin: str


class MNISTSTL(PairDataset):
    """Pairs of MNIST/STL-10 images ``(3, size, size)`` with the three factors of each image.

    Both images of a pair have the two factors of the variant in common, by class, not instance; the third differs.
    ``batch`` and ``factors_of`` are those of the first image of each pair. 100,000 pairs to train, 10,000 to test.

    As in the authors' program, the training and test images of each source are joined, the first nine tenths of them
    train (63,000 digits, 11,700 photographs), and classes are as frequent as among them; the order is the files', where
    that program reads copies shuffled within each part. With ``-independent`` behind the variant the sources' own parts
    are kept, every class is equally likely, and the third factor is drawn for each image, so that it coincides in a
    tenth of all pairs (an eighth, where it is the location).

    Args:
        path: folder that holds MNIST's files (idx or ``mnist.npz``) and STL-10's (``train_X.bin`` …), or has them in
            subfolders ``mnist`` and ``stl10``. By default the data folder, where either may be missing: Fashion-MNIST
            then stands in for the digits, procedural textures for the photographs.
        variant: what pairs share: ``dc-bc`` (digit and background class), ``dc-dl`` (digit class and location) or
            ``bc-dl`` (background class, digit location); or one of these with ``-independent``.
        split: ``train`` or ``test``.
        size: 64, or 32 or 16 by area averages.
        seed: of the pairs.

    Raises:
        ValueError: an unknown variant, split or size, a ``path`` without the files, or damaged ones.

    >>> import contrafact as cf
    >>> dict(zip(cf.data.MNISTSTL.factor_names, cf.data.MNISTSTL.factor_sizes))
    {'digit class': 10, 'digit location': 8, 'background class': 10}
    >>> cf.data.MNISTSTL(variant="dc")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    """

    name = "mnist-stl"
    factor_names = ("digit class", "digit location", "background class")
    factor_sizes = (10, len(TOPS) * len(LEFTS), 10)
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("digit class", "digit location"),
        "flip": ("digit class", "digit location"),
    }
    train_share: ClassVar[float] = 0.9
    """Of a source's training and test images, joined."""

    def __init__(
        self,
        path: PathLike | None = None,
        variant: str = "dc-bc",
        split: str = "train",
        size: int = SIDE,
        seed: int = 0,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(unknown_name_message("variant of mnist-stl", variant, list(VARIANTS)))
        if split not in NUM_PAIRS:
            raise ValueError(f"mnist-stl: split must be one of {', '.join(NUM_PAIRS)}; got {split!r}")
        self.image_shape = (3, check_size(self.name, size, (64, 32, 16)), size)
        self.split, self.variant, self.seed = split, variant, seed
        self._path = path
        self.held = tuple(self.factor_names[column] for column in VARIANTS[variant])
        digits, backgrounds = _sources(path, split, None if variant.endswith(INDEPENDENT) else self.train_share)
        self._digits_NHW, self._backgrounds_NCHW = digits.pixels, backgrounds.pixels
        real = STAND_IN not in digits.origin + backgrounds.origin
        self.source = f"{'' if real else f'{STAND_IN}: '}{digits.origin} over {backgrounds.origin}".replace(
            f"{STAND_IN} ", ""
        )
        self._factors_VMK, self._rows_VM2 = self._draw_pairs(digits, backgrounds)

    @property
    def source_name(self) -> str:
        parts = (part.partition(" from ") for part in self.source.split(" over "))
        return " over ".join(f"{what}{words}{Path(path).name}" for what, words, path in parts)

    def __len__(self) -> int:
        return NUM_PAIRS[self.split]

    def parts(self) -> tuple[MNISTSTL, MNISTSTL]:
        split = "test" if self.split == "train" else "train"
        other = MNISTSTL(self._path, self.variant, split, self.image_shape[1], self.seed)
        other.name = self.name
        return (self, other) if self.split == "train" else (other, self)

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        factors: IntArray = self._factors_VMK[0, check_indices(self, indices)].astype(np.int64)
        return factors

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        return self._render(self._rows_VM2[0, checked], self._factors_VMK[0, checked, 1])

    def pairs(self, indices: IntArray | Sequence[int] | Tensor) -> Pairs:
        checked = check_indices(self, indices)
        factors_VNK = self._factors_VMK[:, checked].astype(np.int64)
        rows_VN2 = self._rows_VM2[:, checked]
        images = self._render(rows_VN2.reshape(-1, 2), factors_VNK[..., 1].reshape(-1))
        first, second = images.chunk(2)
        return Pairs(first, second, factors_VNK[0], factors_VNK[1])

    def _draw_pairs(self, digits: Source, backgrounds: Source) -> tuple[IntArray, IntArray]:
        """Factors ``(2, M, 3)`` and source rows (digit, background) ``(2, M, 2)`` of both images of every pair."""
        number = list(_HELD).index(self.variant.removesuffix(INDEPENDENT))
        entropy = [self.seed, list(NUM_PAIRS).index(self.split), number]
        rng = np.random.default_rng(entropy)
        shared = VARIANTS[self.variant]
        sources = ((digits, 0), (backgrounds, 2))
        factors = rng.integers(self.factor_sizes, size=(2, len(self), 3))
        if self.variant.endswith(INDEPENDENT):
            factors[1][:, shared] = factors[0][:, shared]
            rows = [
                rows_of_classes(source.labels, factors[..., column], rng, f"mnist-stl: {source.origin}")
                for source, column in sources
            ]
            return factors.astype(np.int8), np.stack(rows, axis=-1).astype(np.int32)
        places = self.factor_sizes[1]
        moved = 0 if 1 in shared else rng.integers(1, places, size=len(self))
        factors[1, :, 1] = (factors[0, :, 1] + moved) % places
        rows = []
        for source, column in sources:
            draw = rows_of_classes if column in shared else rows_of_other_classes
            first = rng.integers(len(source.labels), size=len(self))
            second = draw(source.labels, source.labels[first], rng, f"mnist-stl: {source.origin}")
            rows.append(np.stack([first, second]))
            factors[..., column] = source.labels[rows[-1]]
        return factors.astype(np.int8), np.stack(rows, axis=-1).astype(np.int32)

    def _render(self, rows_N2: IntArray, places_N: IntArray) -> Tensor:
        """The digits over the backgrounds: the larger of the two, channel by channel."""
        bytes_NCHW = self._backgrounds_NCHW[rows_N2[:, 1]]
        windows = np.lib.stride_tricks.sliding_window_view(bytes_NCHW, (DIGIT_SIDE,) * 2, axis=(2, 3), writeable=True)
        tops, lefts = np.asarray(TOPS)[places_N // len(LEFTS)], np.asarray(LEFTS)[places_N % len(LEFTS)]
        n = np.arange(len(rows_N2))
        digits_N1HW = self._digits_NHW[rows_N2[:, 0], None]
        windows[n, :, tops, lefts] = np.maximum(windows[n, :, tops, lefts], digits_N1HW)
        return shrink(torch.from_numpy(bytes_NCHW).float().div_(255), self.image_shape[1])


def _sources(path: PathLike | None, split: str, share: float | None) -> tuple[Source, Source]:
    root = data_folder() if path is None else Path(path).expanduser()
    digits = _part(lambda part: _mnist(root, part, path is not None), split, share, "MNIST's", root)
    backgrounds = _part(lambda part: _stl10(root, part), split, share, "STL-10's", root)
    if path is not None and (digits is None or backgrounds is None):
        missing = "MNIST's idx files or mnist.npz" if digits is None else f"STL-10's {split}_X.bin and {split}_y.bin"
        raise ValueError(
            f"mnist-stl: {root} and its subfolders lack {missing}; put them there, or leave out path to let "
            "Fashion-MNIST and procedural textures stand in"
        )
    digits = digits or _part(_fashion, split, share, "Fashion-MNIST's", root)
    assert digits is not None, "Fashion-MNIST's files are there, or their absence was an error"
    return digits, backgrounds or _procedural(split)


def _part(
    read: Callable[[str], Source | None], split: str, share: float | None, whose: str, root: Path
) -> Source | None:
    """A source's part of that name, or of its parts joined, train first, that share to train or the rest to test.

    None where there are no files.
    """
    if share is None:
        return read(split)
    train, test = read("train"), read("test")
    if train is None and test is None:
        return None
    if train is None or test is None:
        lacking = "training" if train is None else "test"
        raise ValueError(
            f"mnist-stl: {root} and its subfolders lack {whose} {lacking} files, and the published split joins "
            "training and test images; put them there, or keep the sources' own split with a variant such as "
            f"dc-bc{INDEPENDENT}"
        )
    num_train = round(share * (len(train.labels) + len(test.labels)))
    wanted = slice(None, num_train) if split == "train" else slice(num_train, None)
    pixels, labels = (np.concatenate([train[k], test[k]])[wanted] for k in range(2))
    return Source(pixels, labels, train.origin)


def _fashion(split: str) -> Source:
    fashion = FashionMNIST(split=split)
    origin = f"{STAND_IN} fashion-mnist from {fashion.source}"
    return Source(_bytes(fashion, DIGIT_SIDE)[:, 0], fashion.labels, origin)


def _mnist(root: Path, split: str, is_given: bool) -> Source | None:
    """MNIST's images of a split, as idx files or numpy archive; None when there are none."""
    for folder in (*((root,) if is_given else ()), *(root / name for name in _MNIST_FOLDERS)):
        if (folder / "mnist.npz").is_file():
            archive = NumpyArchive("mnist", folder / "mnist.npz")
            images, labels = archive.read(f"x_{split}"), archive.read(f"y_{split}").astype(np.int64)
            is_digits = images.shape[1:] == (DIGIT_SIDE,) * 2 and images.dtype == np.uint8
            if not is_digits or labels.shape != (len(images),) or not ((labels >= 0) & (labels < 10)).all():
                raise ValueError(
                    f"mnist-stl: x_{split} and y_{split} of {folder / 'mnist.npz'} must be bytes (N, 28, 28) and N "
                    f"labels from 0 to 9, found {images.dtype} {images.shape} and {labels.dtype} {labels.shape}"
                )
            return Source(images, labels, f"mnist from {folder / 'mnist.npz'}")
        if _idx.idx_file(folder, _idx.SPLITS[split][0], "images-idx3") is not None:
            mnist = MNIST(folder, split)
            return Source(_bytes(mnist, DIGIT_SIDE)[:, 0], mnist.labels, f"mnist from {folder}")
    return None


def _stl10(root: Path, split: str) -> Source | None:
    """The centres of STL-10's labelled images; None when the folder holds none."""
    folders = (root / name for name in _STL10_FOLDERS)
    folder = next((folder for folder in folders if (folder / f"{split}_X.bin").is_file()), None)
    if folder is None:
        return None
    photographs = STL10(folder, split)
    assert photographs.labels is not None
    return Source(_bytes(photographs, SIDE), photographs.labels, f"stl10 from {folder}")


def _bytes(dataset: ImageDataset, side: int) -> npt.NDArray[np.uint8]:
    """The centres of all images of a dataset, as they were stored: ``(N, C, side, side)``."""
    channels, height, _ = dataset.image_shape
    first = (height - side) // 2
    pixels = np.empty((len(dataset), channels, side, side), dtype=np.uint8)
    for start in range(0, len(dataset), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(dataset)))
        images = dataset.batch(rows)[:, :, first : first + side, first : first + side]
        pixels[rows] = (images * 255).round().byte().numpy()
    return pixels


def _procedural(split: str) -> Source:
    """Textures of ten classes; other ones in the test part, which nothing was ever joined from."""
    rng = np.random.default_rng([len(split), 10])
    count = TEXTURES_PER_CLASS[split]
    pixels = np.concatenate([textures(index, count, SIDE, rng) for index in range(len(TEXTURES))])
    return Source(pixels, np.repeat(np.arange(len(TEXTURES)), count), f"{STAND_IN} textures")
