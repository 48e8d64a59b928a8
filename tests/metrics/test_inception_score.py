import math

import numpy as np
import pytest
import torch

from contrafact.metrics import inception_score


def test_equals_the_definition():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    marginal = probability.mean(axis=0)
    expected = math.exp(
        np.mean([sum(p * math.log(p / m) for p, m in zip(row, marginal, strict=True)) for row in probability])
    )
    assert inception_score(logits, splits=1).score == pytest.approx(expected)


def test_range():
    sure = 100.0 * np.eye(5)[np.arange(100) % 5]
    assert inception_score(sure, splits=1).score == pytest.approx(5.0)
    assert inception_score(np.zeros((100, 5))).scores() == pytest.approx({"score": 1.0, "deviation": 0.0})


def test_images_through_a_classifier():
    images = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def two_classes(batch):
        return torch.stack([batch.mean((1, 2, 3)), -batch.mean((1, 2, 3))], dim=1)

    result = inception_score(images, classifier=two_classes, splits=2)
    assert 1.0 <= result.score <= 2.0
    assert result.protocol == "inception_score_two_classes_n12_splits2"


def test_refusals():
    with pytest.raises(ValueError, match="cannot cut 3 images into 10 splits"):
        inception_score(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="Inception features need"):
        inception_score(torch.rand(20, 3, 4, 4))
