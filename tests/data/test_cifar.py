"""CIFAR in both forms against the arrays it was written from, and files that are damaged or mean harm."""

import pickle

import numpy as np
import pytest
import torch

from contrafact.data.cifar10 import CIFAR10
from contrafact.data.cifar100 import CIFAR100
from contrafact.data.load import load_dataset

from .tiny_files import cifar_arrays, write_cifar10, write_cifar100


@pytest.mark.parametrize("python", [True, False])
def test_both_forms_hold_the_same_images(python, tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch, python)
    dataset = CIFAR10(tmp_path, split="all")
    pixels, labels = cifar_arrays(12)
    expected = torch.from_numpy(pixels.reshape(-1, 3, 32, 32)).float() / 255
    assert torch.equal(dataset.batch(np.arange(12)), expected)
    assert dataset.labels[:12].tolist() == labels.tolist()
    assert len(dataset) == sum(range(12, 18))
    assert len(CIFAR10(tmp_path, split="test")) == 17


def test_the_fine_label_is_the_second_byte(tmp_path, monkeypatch):
    write_cifar100(tmp_path, monkeypatch)
    dataset = CIFAR100(tmp_path, split="test")
    pixels, labels = cifar_arrays(11)
    assert dataset.labels.tolist() == labels.tolist()
    assert torch.equal(dataset.batch([3])[0], torch.from_numpy(pixels[3].reshape(3, 32, 32)).float() / 255)
    assert len(dataset.class_names) == 100
    assert dataset.class_names[0], dataset.class_names[-1] == ("apple", "worm")


def test_a_folder_is_recognised_and_found_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    write_cifar10(folder, monkeypatch)
    assert isinstance(load_dataset(folder), CIFAR10)
    assert load_dataset("cifar-10", size=16).image_shape == (3, 16, 16)


def test_batches_as_python_2_wrote_them(tmp_path, monkeypatch):
    """The published files: byte strings everywhere, pixels among them."""
    write_cifar10(tmp_path, monkeypatch)
    for batch, pixels in (("data_batch_1", cifar_arrays(12)[0]), ("data_batch_2", np.full((2, 3072), 65, np.uint8))):
        state = b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86" + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        state += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        state += b"\x89T" + pixels.size.to_bytes(4, "little") + pixels.tobytes() + b"tb"
        array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + state
        labels = b"](" + b"".join(b"K" + bytes([i % 10]) for i in range(len(pixels))) + b"e"
        content = b"\x80\x02}(U\x0bbatch_labelU\x0ctiny batch 1U\x06labels" + labels + b"U\x04data" + array + b"u."
        (tmp_path / batch).write_bytes(content)
        loaded = pickle.loads(content.replace(b"numpy.core", b"numpy._core"), encoding="bytes")
        assert np.array_equal(loaded[b"data"], pixels)
    dataset = CIFAR10(tmp_path)
    expected = torch.from_numpy(cifar_arrays(12)[0].reshape(-1, 3, 32, 32)).float() / 255
    assert torch.equal(dataset.batch(np.arange(12)), expected)
    assert dataset.labels[:14].tolist() == [*range(10), 0, 1, 0, 1]
    assert torch.all(dataset.batch([12, 13]) == 65 / 255)


class Hostile:
    """Creates a file when it is unpickled by anyone who trusts it."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


def test_a_pickle_that_would_run_code_is_named_and_not_run(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    mark = tmp_path / "was here"
    hostile = pickle.dumps({b"data": Hostile(mark), b"labels": []}, protocol=2)
    pickle.loads(hostile)[b"data"].close()
    mark.unlink()  # the witness: anyone who trusts the file makes it
    (tmp_path / "data_batch_3").write_bytes(hostile)
    with pytest.raises(ValueError, match=r"data_batch_3 must hold .* found a call of .*open, which was not made"):
        CIFAR10(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}q", "data_batch_1 is damaged"),
        (b"", "data_batch_1 is damaged"),
        (pickle.dumps([1, 2], protocol=2), r"must hold 'data' of uint8 \(N, 3072\), found NoneType"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8)}, protocol=2), r"found uint8 \(2, 5\)"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, protocol=2), "a whole number for each"),
    ],
)
def test_damaged_python_batches_are_refused(content, message, tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        CIFAR10(tmp_path)


def test_other_bad_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"cifar10: found no data_batch_1 \(or the same with .bin\) in"):
        CIFAR10(tmp_path)
    with pytest.raises(ValueError, match="split must be one of train, test, all; got 'valid'"):
        CIFAR10(tmp_path, split="valid")
    write_cifar10(tmp_path, monkeypatch, python=False)
    (tmp_path / "data_batch_2.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match="must hold up to 100000 records of 3073 bytes, found 5 bytes"):
        CIFAR10(tmp_path)
    (tmp_path / "data_batch_2.bin").unlink()
    with pytest.raises(ValueError, match=r"data_batch_2.bin is missing; all batches must lie in one folder"):
        CIFAR10(tmp_path)
    pixels, labels = cifar_arrays(12)
    np.column_stack([labels.astype(np.uint8) + 40, pixels]).tofile(tmp_path / "test_batch.bin")
    with pytest.raises(ValueError, match=r"labels in .* must lie in 0 to 9, found 40 to 49"):
        CIFAR10(tmp_path, split="test")
