"""SmallNORB's binary files."""

import gzip
import re

import numpy as np
import pytest
import torch

from contrafact.data.small_norb import PREFIXES, SmallNORB

from .tiny_files import NORB_SIZES, norb_bytes, write_small_norb

INSTANCES = {"train": (4, 6), "test": (0, 1), "all": (0, 1, 4, 6)}


def test_published_sizes():
    assert int(np.prod(SmallNORB.split_sizes)) == 24_300


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("split", INSTANCES)
def test_images_lie_at_their_labels_place_in_the_grid(tmp_path, own_cache, monkeypatch, compress, split):
    write_small_norb(tmp_path, monkeypatch, compress)
    dataset = SmallNORB(path=tmp_path, split=split, size=96)
    instances = INSTANCES[split]
    assert dataset.factor_sizes == (2, len(instances), *NORB_SIZES[2:])
    factors = dataset.factors_of(range(len(dataset)))
    factors[:, 1] = np.array(instances)[factors[:, 1]]
    factors[:, 3] *= 2
    shown = dataset.batch(range(len(dataset)))[:, 0, 40, :5] * 255
    assert torch.equal(shown.round().long(), torch.from_numpy(factors))
    assert np.array_equal(dataset.labels, factors[:, 0])
    assert bool(list(own_cache.rglob("*.npy"))) == compress


def test_a_path_may_name_one_of_the_files(tmp_path, own_cache, monkeypatch):
    write_small_norb(tmp_path, monkeypatch)
    assert SmallNORB(path=tmp_path / f"{PREFIXES['train']}-dat.mat").source == str(tmp_path)
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    assert SmallNORB().source == str(tmp_path)


def test_what_it_refuses(tmp_path, own_cache, monkeypatch):
    with pytest.raises(ValueError, match="small-norb: split must be one of train, test, all; got 'valid'"):
        SmallNORB(split="valid")
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"small-norb: found none of .*-dat.mat.gz in .*; download the six .mat.gz"):
        SmallNORB()
    write_small_norb(tmp_path, monkeypatch)
    for part, change, message in (
        ("dat", lambda c: c[:-1], "is truncated: expected at least"),
        ("dat", lambda c: c[:12], "expected shape (24, 2, 96, 96), found (24, 0, 0, 0)"),
        (
            "dat",
            lambda c: b"\0" + c[1:],
            "must start with the magic number 0x1e3d4c55 and 4 dimensions, found 0x1e3d4c00",
        ),
        ("dat", lambda c: norb_bytes(np.zeros((24, 2, 48, 48), dtype=np.uint8)), "found (24, 2, 48, 48)"),
        ("info", lambda c: c[:-1], "is truncated or damaged (it ends in row 23 of 24)"),
        ("cat", lambda c: norb_bytes(np.zeros(24, dtype=np.int32)), "must take each combination of (2, 2, 3, 2, 1)"),
        ("cat", None, "-cat.mat nor"),
    ):
        write_small_norb(tmp_path, monkeypatch)
        file = tmp_path / f"{PREFIXES['train']}-{part}.mat"
        content = file.read_bytes()
        file.unlink() if change is None else file.write_bytes(change(content))
        with pytest.raises(ValueError, match=re.escape(message)):
            SmallNORB(split="train")
    write_small_norb(tmp_path, monkeypatch)
    file = tmp_path / f"{PREFIXES['train']}-dat.mat"
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    for content in (packed[:-20], b"hello"):
        file.with_name(f"{file.name}.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"dat.mat.gz is truncated or damaged .*get it again"):
            SmallNORB(split="train")
