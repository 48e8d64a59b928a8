"""An encoder's codes as a file for other programs, with all that is known of each image beside them.

Shape suffixes: N images, J code dimensions, K factors.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray
from contrafact.core.encoder import Encoder
from contrafact.core.files import write_bytes, write_text
from contrafact.evaluation.sampling import encode

SUFFIXES = (".npz", ".csv", ".npy")


@dataclass(frozen=True)
class EncodedImages:
    """Codes of images and what is known of the images.

    Attributes:
        codes_NJ: the codes.
        code_names: J names.
        images: N file names, relative to the dataset's folder, or the images' numbers in it.
        factors_NK: known factors, as whole numbers; no columns where nothing is known.
        factor_names: K names.
        class_names: names of the values of the factor ``class``, where the images have classes.
    """

    codes_NJ: npt.NDArray[np.float32]
    code_names: tuple[str, ...]
    images: tuple[str, ...]
    factors_NK: IntArray
    factor_names: tuple[str, ...]
    class_names: tuple[str, ...] = ()

    def save(self, path: str | Path) -> Path:
        """Write ``.npz`` (arrays and their names), ``.csv`` (a row per image) or ``.npy`` (codes alone), atomically.

        ``contrafact evaluate --codes`` reads the ``.npz``, factors included, and the ``.npy``.

        Raises:
            ValueError: another suffix.
        """
        target = Path(path)
        if target.suffix not in SUFFIXES:
            raise ValueError(f"codes are written as {', '.join(SUFFIXES)}; {target.name!r} has another ending")
        if target.suffix == ".csv":
            write_text(target, self._table())
            return target
        stream = io.BytesIO()
        if target.suffix == ".npy":
            np.save(stream, self.codes_NJ)
        else:
            names = {"code_names": self.code_names, "images": self.images}
            if self.factor_names:
                names |= {"factor_names": self.factor_names, "class_names": self.class_names}
            arrays: dict[str, Any] = {name: np.asarray(values, dtype=np.str_) for name, values in names.items()}
            arrays |= {"factors": self.factors_NK} if self.factor_names else {}
            np.savez_compressed(stream, codes=self.codes_NJ, **arrays)
        write_bytes(target, stream.getbuffer())
        return target

    def _table(self) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", *self.code_names, *self.factor_names])
        columns = [self._shown(column) for column in range(len(self.factor_names))]
        for row, (image, codes) in enumerate(zip(self.images, self.codes_NJ, strict=True)):
            writer.writerow([image, *(f"{code:.9g}" for code in codes), *(values[row] for values in columns)])
        return stream.getvalue()

    def _shown(self, column: int) -> list[str]:
        """A factor's values as a person reads them: classes by name."""
        values = self.factors_NK[:, column].tolist()
        named = self.class_names if self.factor_names[column] == "class" else ()
        return [named[value] if value < len(named) else str(value) for value in values]


def encode_images(
    encoder: Encoder, dataset: ImageDataset, indices: IntArray, representation: str | None = None
) -> EncodedImages:
    """Codes of the images at ``indices`` ``(N,)``.

    Args:
        encoder: what encodes them, on its own device.
        dataset: where they are.
        indices: which ones, in this order.
        representation: another representation than the codes, by its name (:meth:`Encoder.represent`).

    Raises:
        ValueError: images of another shape than the encoder's, or no such representation.
    """
    codes_NJ = encode(encoder, dataset, indices, representation=representation)
    files = dataset.file_names
    images = [str(index) if files is None else files[index] for index in indices.tolist()]
    factors_NK: IntArray = np.empty((len(indices), 0), dtype=np.int64)
    factor_names: tuple[str, ...] = ()
    if isinstance(dataset, AnnotatedDataset):
        factors_NK, factor_names = dataset.factors_of(indices), tuple(dataset.factor_names)
    elif dataset.labels is not None:
        factors_NK, factor_names = dataset.labels[indices][:, None], ("class",)
    names = names_of_codes(encoder, codes_NJ.shape[1]) if representation is None else ()
    return EncodedImages(
        codes_NJ,
        names or tuple(f"{representation} {number}" for number in range(codes_NJ.shape[1])),
        tuple(images),
        factors_NK,
        factor_names,
        tuple(dataset.class_names),
    )


def names_of_codes(encoder: Encoder, count: int) -> tuple[str, ...]:
    """A name for each code: its factor's, where the encoder has factors, else its number."""
    factors = tuple(getattr(encoder, "factor_names", ()))
    if not factors or count % len(factors):
        return tuple(f"code {number}" for number in range(count))
    each = count // len(factors)
    return tuple(name if each == 1 else f"{name} {number}" for name in factors for number in range(each))
