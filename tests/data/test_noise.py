"""Noise by index."""

import numpy as np

from contrafact.data._noise import uniforms


def test_one_value_follows_the_published_recipe():
    """splitmix64 with Python's whole numbers, for index 12,345 and the sixth number."""
    mask = 2**64 - 1

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    words = 3  # of four numbers each, for ten numbers
    word = mix((12_345 * words + 5 // 4 + mix(7)) * 0x9E3779B97F4A7C15 & mask)
    expected = (word >> 16 * (5 % 4) & 0xFFFF) / 2**16
    assert uniforms(np.array([3, 12_345]), 10, seed=7)[1, 5] == expected


def test_numbers_are_uniform_and_unrelated():
    numbers = uniforms(np.arange(20_000), 9, seed=-5)
    assert numbers.dtype == np.float32
    assert 0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    histogram = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert ((histogram - expected) ** 2 / expected).sum() < 45  # chi-squared, 19 degrees: 99.9 % lie below 43.8
    assert np.abs(np.corrcoef(numbers.T) - np.eye(9)).max() < 0.03
    assert abs(np.corrcoef(numbers[1:, 0], numbers[:-1, 0])[0, 1]) < 0.03


def test_seeds_and_indices_differ():
    one, two = uniforms(np.arange(50), 8, seed=0), uniforms(np.arange(50), 8, seed=1)
    assert len(np.unique(np.concatenate((one, two)), axis=0)) == 100
