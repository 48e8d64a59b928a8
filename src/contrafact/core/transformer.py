"""An encoder as a scikit-learn transformer, to stand in pipelines before a classifier or a cross-validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from contrafact.core.encoder import Encoder


class EncoderTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Codes of images; ``fit`` learns nothing, the encoder is trained already.

    Args:
        encoder: what encodes.
        batch_size: images at a time.
    """

    def __init__(self, encoder: Encoder, batch_size: int = 256) -> None:
        self.encoder, self.batch_size = encoder, batch_size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the images.

        Args:
            X: images ``(N, C, H, W)`` in [0, 1], or as rows ``(N, C·H·W)``; or pictures, or a dataset.
            y: ignored.

        Raises:
            ValueError: rows of another length than the encoder's images have pixels.
        """
        self._images(X, reset=True)
        self.n_features_in_ = math.prod(self.encoder.image_shape)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Codes ``(N, J)``."""
        check_is_fitted(self, "n_features_in_")
        return self.encoder.transform(self._images(X, reset=False), self.batch_size)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """A name for each code."""
        return np.asarray([f"code{number}" for number in range(self.encoder.code_dim)], dtype=object)

    def _images(self, X: Any, reset: bool) -> Any:
        if not isinstance(X, np.ndarray | list) or np.ndim(X) != 2:
            return X
        rows = validate_data(self, X, reset=reset, dtype=np.float32)
        shape = self.encoder.image_shape
        if rows.shape[1] != math.prod(shape):
            raise ValueError(f"X has {rows.shape[1]} columns; images {shape} are rows of {math.prod(shape)} numbers")
        return rows.reshape(-1, *shape)
