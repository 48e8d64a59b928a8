"""MPI3D's archives."""

import re

import numpy as np
import pytest
import torch

from contrafact.data.mpi3d import MPI3D

from .tiny_files import random_bytes, write_mpi3d


def test_published_sizes():
    lengths = {int(np.prod(sizes)) for sizes in MPI3D.known_sizes}
    assert lengths == {1_036_800, 460_800}
    assert all(len(sizes) == len(MPI3D.factor_names) for sizes in MPI3D.known_sizes)


def test_the_length_tells_the_factor_sizes(tmp_path, own_cache, monkeypatch):
    write_mpi3d(tmp_path, monkeypatch)
    real, other = MPI3D(path=tmp_path), MPI3D(path=tmp_path, variant="real_complex")
    assert real.factor_sizes == (3, 3, 2, 1, 1, 2, 2)
    assert other.factor_sizes == (2, 2, 2, 1, 1, 2, 2)
    assert real.source.endswith("mpi3d_real.npz")
    assert MPI3D(path=tmp_path / "mpi3d_real_complex.npz").factor_sizes == other.factor_sizes
    for dataset, pixels in ((real, random_bytes(72, 64, 64, 3)), (other, random_bytes(32, 64, 64, 3)[::-1].copy())):
        indices = [len(dataset) - 1, 5]
        expected = torch.from_numpy(pixels[indices]).permute(0, 3, 1, 2) / 255
        torch.testing.assert_close(dataset.batch(indices), expected)


def test_what_it_refuses(tmp_path, own_cache, monkeypatch):
    with pytest.raises(
        ValueError, match="mpi3d: variant must be one of real, realistic, toy, real_complex; got 'fake'"
    ):
        MPI3D(variant="fake")
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    message = f"mpi3d: found none of mpi3d_toy.npz in {tmp_path}; download it from https://github.com/rr-learning/"
    with pytest.raises(ValueError, match=re.escape(message)):
        MPI3D(variant="toy")
    write_mpi3d(tmp_path, monkeypatch)
    file = tmp_path / "mpi3d_real.npz"
    for key, array, message in (
        ("images", random_bytes(71, 64, 64, 3), "expected 72 or 32 images, found shape (71, 64, 64, 3)"),
        (
            "images",
            random_bytes(72, 32, 32, 3),
            "expected uint8 of shape (72, 64, 64, 3), found uint8 of shape (72, 32",
        ),
        ("images", random_bytes(72, 64, 64, 3) / 255, "found float64"),
        ("images", np.uint8(3), "found uint8 of shape ()"),
        ("pictures", random_bytes(72, 64, 64, 3), "has no key 'images'; found pictures"),
    ):
        np.savez(file, **{key: array})
        with pytest.raises(ValueError, match=re.escape(message)):
            MPI3D()
