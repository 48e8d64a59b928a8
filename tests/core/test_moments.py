"""Moments of parts against those of the whole, by numpy, and Fréchet distances from them."""

import itertools

import numpy as np
import pytest
import torch

from contrafact.core.moments import Moments
from contrafact.metrics import fid


def rows(count, seed=0, width=5, offset=0.0):
    return np.random.default_rng(seed).normal(size=(count, width)) @ np.diag(range(1, width + 1)) + offset


@pytest.mark.parametrize("sizes", [(7,), (1, 6), (3, 1, 3), (1,) * 7])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_parts_in_any_order_are_the_whole(sizes, offset):
    whole = rows(7, offset=offset)
    cuts = np.split(whole, np.cumsum(sizes)[:-1])
    for order in itertools.islice(itertools.permutations(cuts), 6):
        found = Moments.sum(Moments.of(part) for part in order)
        assert found.count == 7
        np.testing.assert_allclose(found.mean_D, whole.mean(axis=0), rtol=1e-12)
        # around its own mean: sums of squares of a million would have left four digits
        np.testing.assert_allclose(found.covariance_DD, np.cov(whole, rowvar=False), rtol=1e-8, atol=1e-8)


def test_a_distance_from_parts_is_that_of_the_whole():
    real, made = rows(300), rows(200, 1) + 0.3
    whole = fid(real, made)
    parts = [Moments.sum(map(Moments.of, np.array_split(side, 7))) for side in (real, made)]
    assert fid(*parts).score == pytest.approx(whole.score, rel=1e-9)
    assert fid(parts[0], made).score == pytest.approx(whole.score, rel=1e-9)
    assert fid(*parts).protocol == whole.protocol
    assert (fid(*parts).num_train, fid(*parts).num_test) == (300, 200)


def test_images_are_streamed_and_none_of_their_features_is_kept():
    """A generator of batches is read once; the extractor's outputs can all be gone by then."""
    images = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    alive = []

    def extractor(batch):
        out = batch.flatten(1)[:, :6].double().numpy().copy()
        import weakref

        alive.append(weakref.ref(out))
        assert sum(ref() is not None for ref in alive) <= 3, "features of earlier batches are still there"
        return out

    score = fid((batch for batch in images.split(4)), images, extractor=extractor, batch_size=4).score
    assert score == pytest.approx(0.0, abs=1e-9)
    assert len(alive) == 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Moments.sum([]), "there are no parts to add up"),
        (lambda: Moments.of(rows(3)) + Moments.of(rows(3, width=4)), "one part has 5 features a row, another 4"),
        (lambda: fid(Moments.of(rows(1)), rows(5)), "need at least 2 images on each side, got 1 and 5"),
        (lambda: fid(Moments.of(rows(3)), rows(5, width=4)), "real has 5 features per image but generated 4"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
