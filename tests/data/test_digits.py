"""scikit-learn's digits, and the files they also come in."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch

from contrafact.data.digits import Digits
from contrafact.data.load import load_dataset

from .tiny_files import write_digits


def test_it_is_what_scikit_learn_gives_and_what_its_file_says():
    digits = load_dataset("digits")
    packed = (Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz").read_bytes()
    rows = [[int(float(cell)) for cell in line.split(b",")] for line in gzip.decompress(packed).splitlines()]
    assert (len(digits), digits.image_shape, digits.source, digits.place()) == (1797, (1, 8, 8), "scikit-learn", None)
    assert digits.labels.tolist() == [row[-1] for row in rows]
    for n in (0, 7, 1796):
        assert (digits.batch([n])[0, 0] * 16).flatten().tolist() == rows[n][:-1]
    assert digits.class_names[digits.labels[7]] == "7"


def test_its_parts_are_the_last_360_and_the_others():
    whole, test = Digits(), Digits(split="test")
    train, again = test.parts()
    assert whole.parts() is None
    assert again is test
    assert (len(train), len(test), train.split) == (1437, 360, "train")
    assert torch.equal(train.batch([1436]), whole.batch([1436]))
    assert torch.equal(test.batch([0]), whole.batch([1437]))
    assert np.array_equal(np.concatenate([train.labels, test.labels]), whole.labels)


def test_larger_ones_are_enlarged_bilinearly():
    small, large = Digits().batch([5])[0, 0], Digits(size=16).batch([5])[0, 0]
    assert large[0, 0] == small[0, 0]
    # Pixel 7 of 16 has its centre at 3.25 of 8: three quarters of pixel 3, a quarter of pixel 4.
    weights = torch.tensor([0.75, 0.25])
    expected = weights @ small[3:5, 3:5] @ weights
    assert large[7, 7].item() == pytest.approx(expected.item(), abs=1e-6)
    assert Digits(size=32).batch([5]).shape == (1, 1, 32, 32)


def test_a_file_of_it_is_read_by_either_name(tmp_path):
    write_digits(tmp_path, None)
    packed = load_dataset(tmp_path / "digits.csv.gz")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "optdigits.tes").write_bytes(gzip.decompress((tmp_path / "digits.csv.gz").read_bytes()))
    plain = load_dataset(tmp_path / "plain")
    assert plain.name == packed.name == "digits"
    assert torch.equal(plain.batch(range(400)), packed.batch(range(400)))
    assert (packed.batch([3])[0, 0] * 16).flatten().tolist() == [(3 + i) % 17 for i in range(64)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:100], "found 1 lines of something else"),
        (lambda text: b"", "found 0 lines; get it again"),
        (
            lambda text: text.replace(b"16", b"17"),
            "must hold more than 360 lines of 64 pixels from 0 to 16",
        ),
        (lambda text: text.replace(b"16", b"99999999999999999999"), "found 400 lines of something else"),
        (lambda text: text.replace(b"16", b"x"), "found 400 lines of something else"),
        (lambda text: text.replace(b"16,", b""), "found 400 lines of something else"),
    ],
)
def test_another_file_is_refused(change, message, tmp_path):
    write_digits(tmp_path, None)
    text = gzip.decompress((tmp_path / "digits.csv.gz").read_bytes())
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(change(text)))
    with pytest.raises(ValueError, match=message):
        Digits(tmp_path)


def test_a_broken_archive_and_an_unknown_part_are_refused(tmp_path):
    write_digits(tmp_path, None)
    file = tmp_path / "digits.csv.gz"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match="is not a complete gzip file"):
        Digits(file)
    with pytest.raises(ValueError, match="digits: split must be one of all, train, test; got 'valid'"):
        Digits(split="valid")
