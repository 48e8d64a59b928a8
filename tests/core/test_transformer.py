"""Encoders in scikit-learn: its own checks, pipelines, searches."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import check_estimator

from contrafact.core.encoder import Encoder
from contrafact.core.transformer import EncoderTransformer, expected_failed_checks
from contrafact.nn.encoders import ConvEncoder


class Moments(Encoder):
    """Two numbers of images of any size and range: what the checks feed."""

    image_shape, code_dim = (1, 1, 1), 2

    def encode(self, images):
        return images.flatten(1)[:, :1] * torch.tensor([[1.0, -2.0]])

    def transform(self, images, batch_size=256):
        return self.encode(torch.from_numpy(images)).numpy()


class OfAnyWidth(EncoderTransformer):
    """The same transformer, its encoder taking rows of any length."""

    def _shape_of(self, columns):
        return 1, 1, columns


def found_by(transformer, **options):
    results = check_estimator(transformer, on_fail=None, on_skip=None, **options)
    return {status: {r["check_name"] for r in results if r["status"] == status} for status in ("failed", "xfail")}


def test_every_check_passes_where_the_width_is_free():
    assert found_by(OfAnyWidth(Moments())) == {"failed": set(), "xfail": set()}


def test_of_a_fixed_size_those_fail_that_are_said_to():
    transformer = ConvEncoder((1, 16, 16), 3, 0.05).as_transformer()
    expected = expected_failed_checks(transformer)
    assert found_by(transformer, expected_failed_checks=expected) == {"failed": set(), "xfail": set(expected)}
    assert found_by(transformer)["failed"] == set(expected), "and no other"
    assert all("rows of other lengths than 256" in why for why in expected.values())


def test_it_stands_before_a_classifier_in_a_search():
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    rows = np.clip(rng.random((24, 256)) * 0.2 + labels[:, None] * 0.6, 0, 1)
    transformer = ConvEncoder((1, 16, 16), 4, 0.1).as_transformer()
    pipeline = Pipeline([("codes", transformer), ("classes", LogisticRegression())])
    search = GridSearchCV(pipeline, {"classes__C": [1.0, 1e6], "codes__batch_size": [5, 24]}, cv=3, error_score="raise")
    search.fit(rows, labels)
    assert search.score(rows, labels) > 0.9
    again = clone(search.best_estimator_).fit(rows, labels)
    np.testing.assert_array_equal(again.predict(rows), search.predict(rows))


def test_what_is_no_row_of_pixels_is_refused():
    transformer = ConvEncoder((1, 16, 16), 3, 0.05).as_transformer()
    with pytest.raises(ValueError, match="Negative values in data"):
        transformer.fit(np.full((2, 256), -0.1))
    with pytest.raises(ValueError, match=r"images \(1, 16, 16\) are rows of 256 numbers, X has n_features = 9"):
        transformer.fit(np.zeros((2, 9)))
