"""Batches of two views: pairs from a dataset of pairs, the same image twice from any other."""

import numpy as np
import torch

from contrafact.training.pairs import draw_pairs

from .toy_images import ToyImages, ToyPairs


def test_images_without_pairs_are_paired_with_themselves():
    images, factors = draw_pairs(ToyImages(), 5, np.random.default_rng(0))
    assert images.shape == (2, 5, 3, 16, 16)
    assert torch.equal(images[0], images[1])
    assert factors is None


def test_pairs_come_with_the_factors_of_both_sides():
    images, factors = draw_pairs(ToyPairs(), 5, np.random.default_rng(0))
    expected = ToyPairs().random_pairs(5, np.random.default_rng(0))
    assert torch.equal(images, torch.stack([expected.first, expected.second]))
    assert np.array_equal(factors.numpy(), np.stack([expected.factors_first_NK, expected.factors_second_NK]))
    assert (factors[0, :, :2] == factors[1, :, :2]).all()
    assert (factors[0, :, 2] != factors[1, :, 2]).all()
