"""MNIST/STL-10 pairs against a loop over pixels and the published layout of the sources."""

import gzip

import numpy as np
import pytest
import torch

from contrafact.core.dataset import PairDataset
from contrafact.data._textures import CLASSES, textures
from contrafact.data.load import load_dataset
from contrafact.data.mnist_stl import LEFTS, MNISTSTL, TOPS, VARIANTS

from .tiny_files import idx_bytes, random_bytes, write_idx, write_mnist_stl, write_stl10_classes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    files = tmp_path / "files"
    files.mkdir()
    write_mnist_stl(files, monkeypatch)
    return files


def test_images_are_the_larger_of_digit_and_photograph_pixel_by_pixel(folder):
    """From the files' raw bytes: idx rows, and STL-10's columns."""
    dataset = MNISTSTL(folder)
    digits = random_bytes(20, 28, 28)
    raw = np.concatenate([np.fromfile(folder / f"{part}_X.bin", np.uint8) for part in ("train", "test")])
    images = dataset.batch(range(5))
    for n in range(5):
        digit, background = dataset._rows_VM2[0, n]
        place = dataset.factors_of([n])[0, 1]
        top, left = TOPS[place // 4], LEFTS[place % 4]
        for channel in range(3):
            for row, column in ((0, 0), (top, left), (top + 13, left + 20), (top + 27, left + 27), (33, 63)):
                photo = raw[((background * 3 + channel) * 96 + column + 16) * 96 + row + 16]
                inside = 0 <= row - top < 28 and 0 <= column - left < 28
                value = max(photo, digits[digit, row - top, column - left]) if inside else photo
                assert images[n, channel, row, column] == pytest.approx(value / 255)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pairs_share_two_factors_by_class_and_vary_the_third(variant, folder):
    dataset = MNISTSTL(folder, variant=variant)
    assert isinstance(dataset, PairDataset)
    pairs = dataset.pairs(range(300))
    first, second = pairs.factors_first_NK, pairs.factors_second_NK
    for k, (name, size) in enumerate(zip(dataset.factor_names, dataset.factor_sizes, strict=True)):
        same = (first[:, k] == second[:, k]).mean()
        if name in dataset.held:
            assert same == 1.0
        elif variant.endswith("-independent"):
            assert same == pytest.approx(1 / size, abs=3 * (1 / size / 300) ** 0.5)  # three binomial errors
        else:
            assert same == 0.0
            assert len(np.unique(second[:, k])) == size
    assert torch.equal(pairs.first, dataset.batch(range(300)))
    assert np.array_equal(first, dataset.factors_of(range(300)))
    other_instance = dataset._rows_VM2[0] != dataset._rows_VM2[1]
    assert other_instance[:, 0].mean() > 0.3  # two of each digit: half the pairs differ


def test_both_parts_of_each_source_are_joined_and_cut_anew(folder, monkeypatch):
    """Tiny files: 20 + 10 digits, 10 + 20 photographs, cut 20 to 10; the cut is nine to one."""
    train, test = MNISTSTL(folder), MNISTSTL(folder, split="test")
    for dataset, photographs in ((train, range(20)), (test, range(20, 30))):
        assert dataset._backgrounds_NCHW.shape == (len(photographs), 3, 64, 64)
    own = [MNISTSTL(folder, variant="dc-bc-independent", split=split) for split in ("train", "test")]
    assert [len(dataset._backgrounds_NCHW) for dataset in own] == [10, 20]
    joined, kept = (np.concatenate([d._backgrounds_NCHW for d in parts]) for parts in ((train, test), own))
    assert np.array_equal(joined, kept)
    monkeypatch.undo()
    assert MNISTSTL.train_share == 0.9


def test_classes_are_as_frequent_as_in_the_sources(folder):
    """Rows are drawn, not classes: of three rows of class 0 to one of the others it comes three times as often."""
    (folder / "train_y.bin").write_bytes(bytes([1] * 10))
    dataset = MNISTSTL(folder, variant="dc-dl")  # photographs of the training part: eleven of class 0, one of others
    for factors in (pairs := dataset.pairs(range(300)))[2:]:
        assert np.bincount(factors[:, 2], minlength=10).argmax() == 0
    assert (np.asarray(pairs.factors_first_NK)[:, 2] == 0).mean() == pytest.approx(11 / 20, abs=0.1)


def test_factors_are_the_sources_classes_and_every_value_occurs(folder):
    dataset = MNISTSTL(folder)
    factors = dataset.factors_of(range(len(dataset)))
    assert np.array_equal(factors[:, 0], dataset._rows_VM2[0, :, 0] % 10)
    assert np.array_equal(factors[:, 2], dataset._rows_VM2[0, :, 1] % 10)
    for k, size in enumerate(dataset.factor_sizes):
        counts = np.bincount(factors[:, k], minlength=size)
        assert counts.min() > 0
        assert len(counts) == size


def test_seeds_and_splits_draw_other_pairs_and_the_same_again(folder):
    first, again, other = MNISTSTL(folder), MNISTSTL(folder), MNISTSTL(folder, seed=1)
    assert np.array_equal(first._rows_VM2, again._rows_VM2)
    assert not np.array_equal(first._rows_VM2, other._rows_VM2)
    train, test = first.parts()
    assert train is first
    assert (len(test), test.split, test.variant) == (60, "test", "dc-bc")
    assert test.parts()[1] is test
    assert np.array_equal(test.parts()[0]._rows_VM2, first._rows_VM2)
    assert np.array_equal(np.unique(test._rows_VM2[..., 1]), np.arange(10))  # the photographs of its part
    assert not np.array_equal(test._backgrounds_NCHW, first._backgrounds_NCHW[:10])


def test_smaller_images_are_area_averages(folder):
    large, small = MNISTSTL(folder).batch([3]), MNISTSTL(folder, size=32).batch([3])
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(large, 2))


def test_the_variant_follows_a_colon_in_the_name(folder, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_DATA", str(folder.parent))
    folder.rename(folder.parent / "mnist")
    (folder.parent / "stl10").mkdir()
    for file in (folder.parent / "mnist").glob("*.bin"):
        file.rename(folder.parent / "stl10" / file.name)
    dataset = load_dataset("mnist-stl:bc-dl")
    assert (dataset.name, dataset.held) == ("mnist-stl:bc-dl", ("background class", "digit location"))
    assert dataset.source == f"mnist from {folder.parent / 'mnist'} over stl10 from {folder.parent / 'stl10'}"
    assert dataset.parts()[1].name == "mnist-stl:bc-dl"


def test_digits_may_come_from_the_numpy_archive(folder):
    by_idx = MNISTSTL(folder).batch(range(4))
    images, labels = random_bytes(20, 28, 28), np.arange(20, dtype=np.uint8) % 10
    test = random_bytes(10, 28, 28)
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=test, y_test=labels[:10])
    for file in folder.glob("*ubyte"):
        file.unlink()
    assert torch.equal(MNISTSTL(folder).batch(range(4)), by_idx)
    np.savez(folder / "mnist.npz", x_train=images[:, :27], y_train=labels)
    with pytest.raises(
        ValueError, match=r"x_train and y_train of .*must be bytes \(N, 28, 28\) and N labels from 0 to 9, found uint8"
    ):
        MNISTSTL(folder)


def test_clothes_over_textures_stand_in_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(MNISTSTL, "train_share", 2 / 3)
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    clothes = tmp_path / "fashion-mnist"
    clothes.mkdir()
    for prefix, count in (("train", 20), ("t10k", 10)):
        for kind, array in (("images-idx3", random_bytes(count, 28, 28)), ("labels-idx1", np.arange(count) % 10)):
            data = idx_bytes(array.astype(np.uint8))
            (clothes / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(data))
    dataset = load_dataset("mnist-stl", split="test")
    assert dataset.source == f"procedural stand-in: fashion-mnist from {clothes} over textures"
    assert len(dataset) == 10_000
    (tmp_path / "stl10").mkdir()
    write_stl10_classes(tmp_path / "stl10", monkeypatch)
    mixed = load_dataset("mnist-stl", split="test").source
    assert mixed == f"procedural stand-in: fashion-mnist from {clothes} over stl10 from {tmp_path / 'stl10'}"


def test_textures_of_one_class_differ_and_repeat_by_seed():
    first, again = (textures(3, 4, 32, np.random.default_rng(1)) for _ in range(2))
    assert first.shape == (4, 3, 32, 32)
    assert np.array_equal(first, again)
    assert len(CLASSES) == 10
    assert all(np.abs(first[0].astype(int) - other).mean() > 10 for other in first[1:].astype(int))


def test_patterns_are_told_apart_without_colour():
    """By the nearest mean power spectrum of the grey images, well above the 0.1 of guessing."""
    rng = np.random.default_rng(0)
    images = np.concatenate([textures(c, 60, 32, rng) for c in range(10)]).mean(axis=1)
    labels = np.repeat(np.arange(10), 60)
    images = (images - images.mean(axis=(1, 2), keepdims=True)) / images.std(axis=(1, 2), keepdims=True)
    spectrum = np.log1p(np.abs(np.fft.rfft2(images))).reshape(600, -1)
    train = np.arange(600) % 2 == 0
    centres = np.stack([spectrum[train & (labels == c)].mean(axis=0) for c in range(10)])
    guess = np.argmin(((spectrum[~train, None] - centres) ** 2).sum(axis=2), axis=1)
    assert (guess == labels[~train]).mean() > 0.25


def test_what_is_missing_or_damaged_is_named(folder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="unknown variant of mnist-stl 'dc-cb'; did you mean 'dc-bc'"):
        MNISTSTL(folder, variant="dc-cb")
    with pytest.raises(ValueError, match="mnist-stl: split must be one of train, test; got 'all'"):
        MNISTSTL(folder, split="all")
    with pytest.raises(ValueError, match="mnist-stl: size must be one of 64, 32, 16, got 48"):
        MNISTSTL(folder, size=48)
    labels = folder / "train_y.bin"
    labels.write_bytes(bytes([1, 2, 11] * 4)[:10])
    with pytest.raises(ValueError, match=r"train_y.bin must hold a label from 1 to 10 for each of 10 images"):
        MNISTSTL(folder)
    labels.write_bytes(bytes([1] * 10))
    with pytest.raises(ValueError, match=r"mnist-stl: .* holds nothing of class 1; get whole files"):
        MNISTSTL(folder, variant="dc-bc-independent")
    (folder / "train_X.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"train_X.bin must hold images of 27648 bytes, found 100 bytes"):
        MNISTSTL(folder)
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").unlink()
    with pytest.raises(
        ValueError, match=r"lack STL-10's train_X.bin and train_y.bin; put them there, or leave out path"
    ):
        MNISTSTL(folder)
    for file in folder.glob("*ubyte"):
        file.unlink()
    with pytest.raises(ValueError, match=r"lack MNIST's idx files or mnist.npz"):
        MNISTSTL(folder)


@pytest.mark.parametrize(
    ("gone", "lacking"), [("test_X.bin", "STL-10's test files"), ("t10k-images-idx3-ubyte", "MNIST's test files")]
)
def test_half_of_a_source_is_not_joined_with_anything(gone, lacking, folder):
    (folder / gone).unlink()
    with pytest.raises(ValueError, match=f"lack {lacking}, and the published split joins training and test images; p"):
        MNISTSTL(folder)
    assert len(MNISTSTL(folder, variant="dc-bc-independent")) == 300


def test_fashion_files_in_mnists_place_are_refused(folder, tmp_path, monkeypatch):
    other = tmp_path / "fashion"
    other.mkdir()
    write_idx(other, monkeypatch)
    write_stl10_classes(other, monkeypatch)
    labels = other / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.array([9, 0, 0, 3, 0, 2, 7, 2, 1, 1, 1, 1], dtype=np.uint8)))
    (other / "train-labels-idx1-ubyte.gz").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="are those of fashion-mnist"):
        MNISTSTL(other)
