import numpy as np
import pytest
import torch

from contrafact.contract.samples import Counter, Flags
from contrafact.core.encoding import remembered
from contrafact.metrics import Codes


def test_each_image_is_encoded_once():
    flags, counter = Flags(), Counter()
    codes = Codes(counter, flags, batch_size=5)
    first = codes.at(np.array([3, 3, 0, 7]))
    again = codes.at(np.array([7, 1, 3]))
    assert len(counter.seen) == len(set(counter.seen)) == codes.num_encoded == 4
    np.testing.assert_allclose(first[0], first[1])
    np.testing.assert_allclose(again[0], first[3])
    factors = np.array([[3, 1, 1], [0, 2, 0]])
    np.testing.assert_allclose(codes.of(factors), factors / [4, 3, 2], rtol=1e-6)


def test_modules_run_in_evaluation_mode_and_come_back_as_they_were():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.9), torch.nn.Linear(12, 2))
    module.train()
    codes = Codes(module, Flags())
    one, two = codes.at(np.array([5])), Codes(module, Flags()).at(np.array([5]))
    np.testing.assert_array_equal(one, two)
    assert module.training
    assert one.dtype == np.float32


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda images: np.zeros((1, 2)), r"got 4 images and returned an array of shape \(1, 2\)"),
        (lambda images: np.zeros((4, 2, 2)), r"expected one row of codes per image, \(4, J\)"),
        (lambda images: np.full((4, 2), np.nan), "encode returned nan for image 0 of flags, code 0"),
        (lambda images: np.array([["a"]] * 4), "encode must return numbers"),
    ],
)
def test_misbehaving_encoders_are_named(encode, message):
    with pytest.raises(ValueError, match=message):
        Codes(encode, Flags()).at(np.arange(4))


def test_widths_may_not_change():
    widths = iter([2, 3])
    codes = Codes(lambda images: np.zeros((len(images), next(widths))), Flags(), batch_size=2)
    with pytest.raises(ValueError, match=r"codes of different widths: \[2, 3\]"):
        codes.at(np.arange(4))


def test_whole_numbers_become_floats_and_nothing_is_an_error():
    assert Codes(lambda images: np.ones((len(images), 2), dtype=int), Flags()).at(np.arange(2)).dtype == np.float64
    with pytest.raises(ValueError, match="no images asked for"):
        Codes(Counter(), Flags()).at(np.array([], dtype=int))


def test_remembered_codes_belong_to_one_dataset():
    flags = Flags()
    codes = Codes(Counter(), flags)
    assert remembered(codes, flags) is codes
    with pytest.raises(ValueError, match="pass the encoder itself"):
        remembered(codes, Flags())
    with pytest.raises(ValueError, match="expected a dataset with known factors, got str"):
        remembered(Counter(), "shapes3d")
