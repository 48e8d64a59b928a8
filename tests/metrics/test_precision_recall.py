import sys

import numpy as np
import pytest
import torch

from contrafact.metrics import precision_recall

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(60, 3)), 0.8 * RNG.normal(size=(40, 3)) + 0.5


def by_loops(real, fake, k):
    """The papers' definitions, image by image."""
    near = lambda points, i: sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)[k - 1]  # noqa: E731
    of_real, of_fake = [near(real, i) for i in range(len(real))], [near(fake, i) for i in range(len(fake))]
    distance = [[np.linalg.norm(r - f) for f in fake] for r in real]
    n, m = range(len(real)), range(len(fake))
    return {
        "precision": np.mean([any(distance[i][j] <= of_real[i] for i in n) for j in m]),
        "recall": np.mean([any(distance[i][j] <= of_fake[j] for j in m) for i in n]),
        "density": sum(distance[i][j] <= of_real[i] for i in n for j in m) / (k * len(fake)),
        "coverage": np.mean([min(distance[i]) <= of_real[i] for i in n]),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_what_the_papers_say(k, monkeypatch):
    monkeypatch.setattr(sys.modules["contrafact.metrics.precision_recall"], "DISTANCES_AT_ONCE", 7 * 60)
    assert precision_recall(REAL, FAKE, neighbours=k).scores() == pytest.approx(by_loops(REAL, FAKE, k))


def test_golden_values_of_the_authors_program():
    # clovaai/generative-evaluation-prdc (e320c1d), compute_prdc, nearest_k=5, on these arrays.
    state = np.random.RandomState(7)
    real = state.randn(500, 16)
    fake = 0.9 * state.randn(400, 16) + 0.1
    assert precision_recall(real, fake).scores() == pytest.approx(
        {"precision": 0.965, "recall": 0.742, "density": 1.5335, "coverage": 0.984}, abs=1e-12
    )


def test_what_each_of_them_sees():
    rng = np.random.default_rng(1)
    real = rng.normal(size=(1000, 4))
    same = precision_recall(real, rng.normal(size=(1000, 4)))
    narrow = precision_recall(real, 0.3 * rng.normal(size=(1000, 4)))
    far = precision_recall(real, rng.normal(size=(1000, 4)) + 50.0)
    assert same.density == pytest.approx(1.0, abs=0.1)
    # Naeem et al.: of equally many and alike, none of the five nearest of all is generated with 1/2^5.
    assert same.coverage == pytest.approx(1 - 0.5**5, abs=0.03)
    assert narrow.score > same.score
    assert narrow.recall < 0.3
    assert narrow.density > 1.1
    assert far.scores() == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_copies_are_in_the_balls():
    copies = precision_recall(REAL, REAL)
    assert (copies.score, copies.recall, copies.coverage) == (1.0, 1.0, 1.0)
    shifted = precision_recall(REAL + 1e6, FAKE + 1e6)
    assert shifted.scores() == pytest.approx(precision_recall(REAL, FAKE).scores())


def test_images_go_through_the_extractor():
    def brightness(images):
        return images.mean(dim=(2, 3))

    images = torch.rand(30, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    result = precision_recall(images, images.flip(0), extractor=brightness, neighbours=3)
    assert result.score == 1.0
    assert result.protocol == "precision_recall_brightness_k3_real30_generated30"


def test_refusals():
    with pytest.raises(ValueError, match="generated has 5 images; 5 neighbours need more than 5"):
        precision_recall(REAL, FAKE[:5])
    with pytest.raises(ValueError, match="neighbours must be"):
        precision_recall(REAL, FAKE, neighbours=0)
