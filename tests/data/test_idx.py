"""The idx reader and the datasets made of it."""

import gzip
import re

import numpy as np
import pytest
import torch

from contrafact.data._idx import read_idx
from contrafact.data.fashion_mnist import FashionMNIST
from contrafact.data.mnist import MNIST

from .tiny_files import idx_bytes, random_bytes, write_idx

INSTALLED = FashionMNIST.system_folders[0]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_as_written(tmp_path, suffix):
    array = random_bytes(5, 4, 3)
    content = idx_bytes(array)
    file = tmp_path / f"a-idx3-ubyte{suffix}"
    file.write_bytes(gzip.compress(content) if suffix else content)
    assert np.array_equal(read_idx("toys", file, 3), array)


def test_bad_idx_files_are_refused(tmp_path):
    content = idx_bytes(random_bytes(5, 4, 3))
    file = tmp_path / "a-idx3-ubyte"
    for data, message in (
        (content[:-1], "must hold 76 bytes for its shape (5, 4, 3), found 75; it is truncated or damaged"),
        (content + b"x", "must hold 76 bytes for its shape (5, 4, 3), found 77"),
        (content[:6], "found 6; it is truncated"),
        (b"", "must start with the bytes 00 00 08 03 (idx, unsigned bytes, 3 dimensions), found nothing"),
        (b"\0\0\r\3" + content[4:], "found 00 00 0d 03"),
        (idx_bytes(random_bytes(5)), "found 00 00 08 01"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            read_idx("toys", file, 3)
        assert str(error.value).startswith(f"toys: {file}")
    packed = tmp_path / "a-idx3-ubyte.gz"
    for data in (gzip.compress(content)[:-9], content, gzip.compress(content)[:20] + bytes(40)):
        packed.write_bytes(data)
        with pytest.raises(ValueError, match=r"a-idx3-ubyte.gz is not a complete gzip file .*get it again"):
            read_idx("toys", packed, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_idx(tmp_path, monkeypatch)
    return tmp_path


def test_splits_images_and_labels(folder):
    pixels = {count: torch.from_numpy(random_bytes(count, 28, 28)[:, None]) / 255 for count in (12, 7)}
    for split, images in (
        ("train", pixels[12]),
        ("test", pixels[7]),
        ("all", torch.cat((pixels[12], pixels[7]))),
    ):
        dataset = MNIST(path=folder, split=split)
        assert torch.equal(dataset.batch(range(len(dataset))), images)
        assert dataset.source == str(folder)
    assert dataset.labels.tolist() == [*range(10), 0, 1, *range(7)]
    padded = MNIST(path=folder, size=32).batch([3])
    assert torch.equal(padded[0, :, 2:-2, 2:-2], pixels[12][3])
    assert padded.sum() == pytest.approx(float(pixels[12][3].sum()))


def test_files_are_found_where_they_usually_lie(folder, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("CONTRAFACT_DATA", str(root))
    for place in ("mnist", "MNIST/raw"):
        target = root / place
        target.mkdir(parents=True)
        for file in folder.iterdir():
            name = file.name.replace("-idx", ".idx") if place == "mnist" else file.name
            (target / name.removesuffix(".gz")).write_bytes(gzip.decompress(file.read_bytes()))
        assert MNIST().source == str(target)
        for file in target.iterdir():
            file.unlink()
    with pytest.raises(
        ValueError, match=r"mnist: found no train-images-idx3-ubyte.gz in .*; download .*, or pass path="
    ):
        MNIST()
    assert MNIST(path=folder / "train-images-idx3-ubyte.gz").source == str(folder)


def test_the_error_says_how_to_get_fashion_mnist(monkeypatch):
    monkeypatch.setattr(FashionMNIST, "system_folders", ())
    with pytest.raises(
        ValueError, match=r"fashion-mnist: found no .* install the package dataset-fashion-mnist.*path="
    ):
        FashionMNIST()


def test_bad_arguments_and_folders_are_refused(folder):
    with pytest.raises(ValueError, match="mnist: split must be one of train, test, all; got 'valid'"):
        MNIST(path=folder, split="valid")
    with pytest.raises(ValueError, match="mnist: size must be one of 28, 32, got 64"):
        MNIST(path=folder, size=64)
    with pytest.raises(ValueError, match=r"mnist: .*absent is not a folder; expected the one with train-images"):
        MNIST(path=folder / "absent")
    labels = folder / "train-labels-idx1-ubyte.gz"
    for array, message in (
        (np.arange(11, dtype=np.uint8), "holds 12 train images and 11 labels; there must be one each"),
        (np.arange(12, dtype=np.uint8), "must lie in 0 to 9, found 11"),
        (np.array([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9], dtype=np.uint8), "are those of fashion-mnist; load them as"),
    ):
        labels.write_bytes(gzip.compress(idx_bytes(array)))
        with pytest.raises(ValueError, match=message):
            MNIST(path=folder)
    labels.unlink()
    with pytest.raises(ValueError, match=r"holds no train-labels-idx1-ubyte.gz \(or the same without .gz\)"):
        MNIST(path=folder)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(random_bytes(7, 14, 14))))
    with pytest.raises(ValueError, match=r"must be 28 x 28, found shape \(7, 14, 14\)"):
        MNIST(path=folder, split="test")


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="the package dataset-fashion-mnist is not installed")
def test_the_installed_fashion_mnist():
    """Published facts: sizes, classes in equal numbers, the training set's mean intensity and deviation."""
    train, test = FashionMNIST(), FashionMNIST(split="test", size=32)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert train.source == str(INSTALLED)
    images = train.batch(np.arange(60_000))
    assert images.mean().item() == pytest.approx(0.2860, abs=5e-4)
    assert images.std().item() == pytest.approx(0.3530, abs=5e-4)
    assert train.class_names[train.labels[0]] == "ankle boot"
    trousers = train.batch(np.flatnonzero(train.labels == 1)[:500]).mean(dim=0)[0]
    assert trousers[20:, 13:15].mean() < trousers[20:, 9:11].mean()  # two legs with a gap between
    with pytest.raises(
        ValueError, match=r"mnist: the files in .* are those of fashion-mnist; load them as fashion-mnist"
    ):
        MNIST(path=INSTALLED)


def test_each_part_knows_the_other(folder):
    train = MNIST(folder)
    assert train.parts()[0] is train
    assert len(train.parts()[1]) == 7
    test = MNIST(folder, "test")
    assert test.parts()[1] is test
    assert len(test.parts()[0]) == 12
    assert MNIST(folder, "all").parts() is None
