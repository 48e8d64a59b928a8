"""An encoder as a scikit-learn transformer, to stand in pipelines before a classifier or a cross-validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from PIL.Image import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from contrafact.core.dataset import ImageDataset

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
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Codes ``(N, J)``."""
        check_is_fitted(self, "n_features_in_")
        return self.encoder.transform(self._images(X, reset=False), self.batch_size)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """A name for each code."""
        return np.asarray([f"code{number}" for number in range(self.encoder.code_dim)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True  # images lie in [0, 1]
        tags.transformer_tags.preserves_dtype = ["float32"]  # codes are that, whatever the images are
        return tags

    def _images(self, X: Any, reset: bool) -> Any:
        if _holds_images(X):
            if reset:
                self.n_features_in_ = math.prod(self.encoder.image_shape)
            return X
        rows = validate_data(self, X, reset=reset, dtype=np.float32)
        check_non_negative(rows, type(self).__name__)
        return rows.reshape(-1, *self._shape_of(rows.shape[1]))

    def _shape_of(self, columns: int) -> tuple[int, int, int]:
        """Shape of the images that are rows of so many columns."""
        shape = self.encoder.image_shape
        if columns != math.prod(shape):
            raise ValueError(f"images {shape} are rows of {math.prod(shape)} numbers, X has n_features = {columns}")
        return shape


def _holds_images(X: Any) -> bool:
    """Whether ``X`` is images as they are, not rows for scikit-learn to look at."""
    if isinstance(X, Tensor | ImageDataset | Dataset | DataLoader):
        return not (isinstance(X, Tensor) and X.ndim == 2)
    if isinstance(X, np.ndarray):
        return X.ndim == 4
    return isinstance(X, list | tuple) and len(X) > 0 and (isinstance(X[0], Image) or np.ndim(X[0]) > 1)


def expected_failed_checks(estimator: EncoderTransformer) -> dict[str, str]:
    """Checks of scikit-learn's that an encoder's transformer cannot pass, and why.

    For ``check_estimator(transformer, expected_failed_checks=expected_failed_checks(transformer))``, and as it is for
    ``parametrize_with_checks``.

    >>> from contrafact.nn.encoders import ConvEncoder
    >>> len(expected_failed_checks(ConvEncoder((1, 16, 16), 3, 0.05).as_transformer())) == len(_OF_OTHER_WIDTHS)
    True
    """
    columns = math.prod(estimator.encoder.image_shape)
    why = f"it feeds rows of other lengths than {columns}: an encoder takes images of one size, between 0 and 1"
    return dict.fromkeys(_OF_OTHER_WIDTHS, why)


_OF_OTHER_WIDTHS = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
)
