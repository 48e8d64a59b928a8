import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from contrafact.metrics import fid
from contrafact.metrics.fid import frechet_distance


def test_distance_equals_the_matrix_square_root():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2, 5))
    bases = rng.normal(size=(2, 5, 5))
    one, two = (b @ b.T for b in bases)
    theirs = ((means[0] - means[1]) ** 2).sum() + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert frechet_distance(means[0], one, means[1], two) == pytest.approx(theirs)
    assert frechet_distance(means[1], two, means[0], one) == pytest.approx(theirs)


def test_gaussians_in_closed_form():
    assert frechet_distance(np.zeros(3), np.eye(3), np.array([1.0, 2.0, 2.0]), 9 * np.eye(3)) == pytest.approx(9 + 12)


def test_singular_covariances_are_fine():
    features = np.random.default_rng(0).normal(size=(5, 20))  # fewer images than features
    assert fid(features, features).score == pytest.approx(0.0, abs=1e-8)
    assert fid(features, features + 2.0).score == pytest.approx(80.0)


def test_images_through_a_named_extractor():
    images = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def colour(batch):
        return batch.mean(dim=(2, 3))

    result = fid(images, images + 0.5, extractor=colour, batch_size=7)
    assert result.score == pytest.approx(3 * 0.25, abs=1e-5)
    assert result.protocol == "fid_colour_real20_generated20"


def test_refusals():
    features = np.zeros((4, 3))
    with pytest.raises(ValueError, match="real has 3 features per image but generated 2"):
        fid(features, features[:, :2])
    with pytest.raises(ValueError, match="need at least 2 images on each side, got 1 and 4"):
        fid(features[:1], features)
    with pytest.raises(ValueError, match="generated must be finite: row 0, column 0 is nan"):
        fid(features, features * np.nan)
