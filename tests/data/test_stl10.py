"""STL-10 against the bytes it was written from."""

import numpy as np
import pytest
import torch

from contrafact.data.stl10 import STL10

from .tiny_files import random_bytes, write_stl10


def test_columns_become_rows(tmp_path, monkeypatch):
    write_stl10(tmp_path, monkeypatch)
    stored = random_bytes(12, 3, 96, 96)
    picture = STL10(tmp_path).batch([5])[0]
    assert picture[1, 20, 70] == pytest.approx(stored[5, 1, 70, 20] / 255)
    assert torch.allclose(STL10(tmp_path, size=48).batch([5])[0, 0, 0, 0], picture[0, :2, :2].mean())


def test_labels_count_from_zero_and_unlabelled_images_have_none(tmp_path, monkeypatch):
    write_stl10(tmp_path, monkeypatch)
    assert STL10(tmp_path).labels.tolist() == (np.arange(12) % 10).tolist()
    unlabelled = STL10(tmp_path, split="unlabelled")
    assert unlabelled.labels is None
    assert unlabelled.class_names == ()
    assert len(unlabelled) == 11


def test_bad_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"stl10: found no train_X\.bin in"):
        STL10(tmp_path)
    with pytest.raises(ValueError, match="split must be one of train, test, unlabelled; got 'all'"):
        STL10(tmp_path, split="all")
    write_stl10(tmp_path, monkeypatch)
    (tmp_path / "train_y.bin").write_bytes(b"\x01\x02")
    with pytest.raises(ValueError, match="a label from 1 to 10 for each of 12 images, found 2 labels from 1 to 2"):
        STL10(tmp_path)
    (tmp_path / "train_y.bin").unlink()
    with pytest.raises(ValueError, match=r"train_y\.bin is missing"):
        STL10(tmp_path)
    (tmp_path / "train_X.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match="must hold images of 27648 bytes, found 5 bytes"):
        STL10(tmp_path)
