"""Digits beside garments against a loop over the sources' own pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from contrafact.data.digits_garments import DigitsGarments
from contrafact.data.fashion_mnist import FashionMNIST
from contrafact.data.load import load_dataset

from .tiny_files import random_bytes, write_digits_garments


@pytest.fixture
def folder(tmp_path, monkeypatch):
    files = tmp_path / "fashion-mnist"
    files.mkdir()
    write_digits_garments(files, monkeypatch)
    return files


def test_the_halves_are_the_sources_pictures(folder):
    dataset = DigitsGarments(folder)
    images = dataset.batch(range(6))
    digits, garments = load_digits().images[:1437] / 16, random_bytes(20, 28, 28) / 255
    for n in range(6):
        digit, garment = dataset._rows_VMK[0, n]
        assert images[n, 0, 4:12, :8].tolist() == digits[digit].tolist()
        cells = np.pad(garments[garment], 2).reshape(8, 4, 8, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(images[n, 0, 4:12, 8:], cells, atol=1e-6)
        assert images[n, 0, :4].sum() == images[n, 0, 12:].sum() == 0


def test_pairs_share_both_classes_and_not_the_instances(folder):
    dataset = DigitsGarments(folder)
    pairs = dataset.pairs(range(300))
    assert np.array_equal(pairs.factors_first_NK, pairs.factors_second_NK)
    assert np.array_equal(pairs.factors_first_NK, dataset.factors_of(range(300)))
    assert torch.equal(pairs.first, dataset.batch(range(300)))
    labels = load_digits().target
    for view in dataset._rows_VMK:
        assert np.array_equal(labels[view[:, 0]], pairs.factors_first_NK[:, 0])
        assert np.array_equal(view[:, 1] % 10, pairs.factors_first_NK[:, 1])
    # Of 140 digits of a class two are rarely the same, of two garments half the time.
    same = (dataset._rows_VMK[0] == dataset._rows_VMK[1]).mean(axis=0)
    assert same[0] < 0.05
    assert 0.35 < same[1] < 0.65


def test_seeds_and_parts_draw_other_pairs_and_the_same_again(folder):
    first, again, other = DigitsGarments(folder), DigitsGarments(folder), DigitsGarments(folder, seed=1)
    assert np.array_equal(first._rows_VMK, again._rows_VMK)
    assert not np.array_equal(first._rows_VMK, other._rows_VMK)
    train, test = first.parts()
    assert train is first
    assert (len(test), test.split) == (60, "test")
    assert torch.equal(test.parts()[0].batch([3]), first.batch([3]))
    digits = {tuple(image.flatten().tolist()) for image in test.batch(range(60))[:, 0, 4:12, :8]}
    assert digits <= {tuple((image / 16).flatten().tolist()) for image in load_digits().images[1437:]}


def test_the_larger_ones_keep_more_of_the_garments(folder):
    small, large = (DigitsGarments(folder, size=size).batch([3]) for size in (16, 32))
    assert large.shape == (1, 1, 32, 32)
    garments = torch.nn.functional.avg_pool2d(large[:, :, 8:24, 16:], 2)
    torch.testing.assert_close(garments, small[:, :, 4:12, 8:])
    assert large[0, 0, 8, 0] == small[0, 0, 4, 0]


def test_garments_that_lie_nowhere_are_missed_by_name(folder, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_DATA", str(folder.parent))
    found = load_dataset("DigitsGarments")
    assert found.source == f"scikit-learn's digits beside fashion-mnist from {folder}"
    assert found.source_name == "scikit-learn's digits beside fashion-mnist from fashion-mnist"
    monkeypatch.setenv("CONTRAFACT_DATA", str(folder))
    monkeypatch.setattr(FashionMNIST, "system_folders", (Path("/nowhere"),))
    with pytest.raises(ValueError, match="install the package dataset-fashion-mnist"):
        DigitsGarments()


def test_over_garments_digits_lie_at_places_of_their_own(folder):
    dataset = DigitsGarments(folder, "over")
    assert dataset.image_shape == (1, 32, 32)
    assert dataset.factor_names == ("digit class", "garment class", "digit location")
    pairs, images = dataset.pairs(range(200)), dataset.batch(range(200))
    assert np.array_equal(pairs.factors_first_NK[:, :2], pairs.factors_second_NK[:, :2])
    assert (pairs.factors_first_NK[:, 2] != pairs.factors_second_NK[:, 2]).all()
    assert set(pairs.factors_first_NK[:, 2]) == set(range(8))
    assert torch.equal(pairs.first, images)
    corners = [(top, left) for top in (0, 16) for left in (0, 5, 11, 16)]
    for view, shown, factors in (
        (0, pairs.first, pairs.factors_first_NK),
        (1, pairs.second, pairs.factors_second_NK),
    ):
        for n in range(8):
            digit, garment = dataset._rows_VMK[view, n]
            np.testing.assert_allclose(shown[n, 0], composed(digit, garment, *corners[factors[n, 2]]), atol=1e-6)


def test_centred_digits_lie_in_the_middle_of_both_images(folder):
    dataset = DigitsGarments(folder, "centred")
    assert (dataset.image_shape, dataset.factor_names) == ((1, 32, 32), ("digit class", "garment class"))
    pairs = dataset.pairs(range(8))
    assert torch.equal(pairs.first, dataset.batch(range(8)))
    assert np.array_equal(pairs.factors_first_NK, pairs.factors_second_NK)
    assert not torch.equal(pairs.first, pairs.second)
    for view, shown in enumerate((pairs.first, pairs.second)):
        for n in range(8):
            np.testing.assert_allclose(shown[n, 0], composed(*dataset._rows_VMK[view, n], 8, 8), atol=1e-6)


def composed(digit, garment, top, left):
    """A digit of scikit-learn's on a garment of the file's, pixel by pixel."""
    image = np.pad(random_bytes(20, 28, 28)[garment] / 255, 2) / 2
    small = torch.from_numpy(load_digits().images[digit] / 16).float()[None, None]
    large = torch.nn.functional.interpolate(small, 16, mode="bilinear", align_corners=False)[0, 0].numpy()
    for row in range(16):
        for column in range(16):
            place = (top + row, left + column)
            image[place] = max(image[place], large[row, column])
    return image


def test_a_variant_is_loaded_by_name_and_keeps_its_other_part(folder, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_DATA", str(folder.parent))
    found = load_dataset("digits-garments:over")
    assert (found.name, found.variant, found.parts()[1].variant) == ("digits-garments:over", "over", "over")
    assert found.parts()[1].name == "digits-garments:over"
    with pytest.raises(ValueError, match="unknown variant of digits-garments 'ovr'; did you mean 'over'"):
        load_dataset("digits-garments:ovr")
    with pytest.raises(ValueError, match="digits-garments: size must be one of 32, got 16"):
        DigitsGarments(folder, "over", size=16)
