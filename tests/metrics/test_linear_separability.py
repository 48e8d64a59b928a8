import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from contrafact.core.generator import Generator
from contrafact.generators.analytic import Analytic
from contrafact.metrics import linear_separability

ORIGINAL_Z = [1.183889, 1.9936022, 1.6962092]
ORIGINAL_W = [1.0, 1.2070371, 1.4425136]
"""2 to the power of the original's conditional entropies, which are in bits."""
NOISE = np.random.RandomState(0).randn(600, 3)


class Painter(Generator):
    """Images whose channels tell the latent, from a table of noise."""

    latent_dim = prior_dim = 3
    image_shape = (3, 1, 1)
    space = "w"

    def __init__(self):
        super().__init__()
        self.given = 0

    def prior(self, n, rng):
        self.given += n
        return torch.from_numpy(NOISE[self.given - n : self.given])

    def map(self, z, label=None, truncation=None):
        return torch.stack([z[:, 0] + 0.5 * z[:, 1] ** 2, z[:, 1] * z[:, 2], z[:, 2]], dim=1)

    def forward(self, latent):
        return 0.5 + latent[:, :, None, None] / 100


def log_odds(images):
    a, b, c = 100 * (images[:, :, 0, 0].double().T - 0.5)
    return torch.stack([a - 0.5, 0.7 * b + 0.3 * a * c, 0.3 * (a**2 + b**2 + c**2) - 1.0], dim=1)


def probabilities(images):
    return (2.0 * log_odds(images)).sigmoid()  # softmax of a logit and its negative


def test_it_equals_the_original():
    # linear_separability.py of NVlabs/stylegan 1e0d5c7, its functions and the loop over attributes run on this table
    # with scikit-learn 1.9.1 (2026-11-29).
    result = linear_separability(Painter(), probabilities, num_latents=600)
    np.testing.assert_allclose(result.per_factor, ORIGINAL_W, atol=1e-5)  # its tables are float32
    np.testing.assert_allclose(result.per_factor_z, ORIGINAL_Z, atol=1e-5)
    assert [result.score, result.z] == pytest.approx([1.7411674646806858, 4.0033994], rel=1e-5)
    assert (result.num_train, result.protocol) == (300, "linear_separability_svm_C1_n600_keep0.5")


def plane(latents, present):
    """Squared hinge with the offset among what is penalised, by a general optimiser."""
    signs, extended = np.where(present, 1.0, -1.0), np.hstack([latents, np.ones((len(latents), 1))])

    def loss(weights):
        miss = np.maximum(0.0, 1.0 - signs * (extended @ weights))
        return 0.5 * weights @ weights + (miss**2).sum(), weights - 2.0 * ((miss * signs) @ extended)

    return extended @ minimize(loss, np.zeros(extended.shape[1]), jac=True, method="BFGS").x > 0


def test_it_is_what_the_paper_says_of_the_surer_part():
    generator = Painter()
    odds = log_odds(generator(generator.map(torch.from_numpy(NOISE)))).numpy()
    latents = generator.map(torch.from_numpy(NOISE)).numpy()
    result = linear_separability(
        generator, log_odds, num_latents=600, keep=0.25, threshold=0.0, batch_size=70, attributes=("a", "b", "c")
    )
    for a in range(3):
        kept = sorted(range(600), key=lambda n: -abs(odds[n, a]))[:150]
        present = [odds[n, a] > 0 for n in kept]
        entropy = 0.0
        sides = plane(latents[kept], np.array(present))
        for side in (False, True):
            within = [p for p, s in zip(present, sides, strict=True) if s == side]
            for answer in (False, True):
                share = within.count(answer) / max(1, len(within))
                entropy -= len(within) / 150 * share * math.log(share) if share else 0.0
        # One latent more or less on the plane's right side moves this by some 0.02; the optimisers agree on all.
        assert result.per_factor[a] == pytest.approx(math.exp(entropy), abs=1e-6)
    assert result.scores() == pytest.approx(
        {"score": result.per_factor.prod(), "z": result.z, **dict(zip("abc", result.per_factor, strict=True))}
    )


def test_both_spaces_are_one_where_nothing_is_mapped():
    scene = Analytic("sprite", size=8)
    result = linear_separability(scene, lambda images: images.mean((2, 3)), num_latents=200)
    np.testing.assert_array_equal(result.per_factor, result.per_factor_z)
    assert 1.0 <= result.score <= 8.0


def test_an_attribute_of_all_images_is_noted():
    result = linear_separability(Painter(), lambda images: 0.6 + 0.4 * probabilities(images), num_latents=40)
    assert result.score == 1.0
    assert result.notes[1] == "attribute 1 is present in all images kept, and counts as separated"
    never = linear_separability(
        Painter(), lambda images: 0.4 * probabilities(images)[:, 0], num_latents=40, attributes=("hat",)
    )
    assert never.notes == ("hat is absent from all images kept, and counts as separated",)


def test_measures_that_the_threshold_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"are no probabilities, and none or all are above the threshold 0\.5"):
        linear_separability(Painter(), lambda images: log_odds(images).abs() + 1.0, num_latents=40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 0.0}, "keep must be above 0 and at most 1, got 0.0"),
        ({"threshold": math.nan}, "threshold must be finite, got nan"),
        ({"num_latents": 0}, "num_latents must be"),
        ({"attributes": ("a",)}, "1 attributes named, but the predictor returns 3"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        linear_separability(Painter(), probabilities, **{"num_latents": 10, **settings})
