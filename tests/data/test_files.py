"""Finding files, caches that are never half there, and rows read at random."""

import errno
import json
import os
import pickle
import re
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contrafact.data._files import StoredArray, cache_folder, data_folder, find_file, unpack_once
from contrafact.data._npz import NumpyArchive


def test_folders_follow_the_environment(monkeypatch, tmp_path):
    for name in ("CONTRAFACT_CACHE", "CONTRAFACT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "contrafact"
    assert data_folder() == tmp_path / "xdg" / "contrafact" / "data"
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "own"))
    assert data_folder() == tmp_path / "own" / "data"
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"CONTRAFACT_DATA is '.*absent', which is not a folder; create it or unset"):
        data_folder()


def test_a_file_is_found_by_its_names_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    assert find_file("toys", None, ("a.npz", "b.npz")) is None
    (tmp_path / "b.npz").touch()
    assert find_file("toys", None, ("a.npz", "b.npz")) == tmp_path / "b.npz"
    assert find_file("toys", tmp_path, ("a.npz", "b.npz")) == tmp_path / "b.npz"
    assert find_file("toys", str(tmp_path / "b.npz"), ("a.npz",)) == tmp_path / "b.npz"
    with pytest.raises(ValueError, match=re.escape(f"toys: {tmp_path} holds none of: a.npz")):
        find_file("toys", tmp_path, ("a.npz",))
    with pytest.raises(ValueError, match=r"toys: .*nowhere does not exist; expected a file, or a folder with one of"):
        find_file("toys", tmp_path / "nowhere", ("a.npz",))


# --- stored arrays


def test_rows_come_in_the_order_asked_for(tmp_path):
    array = np.random.default_rng(0).normal(size=(50, 3, 2))
    (tmp_path / "raw").write_bytes(b"12345" + array.tobytes())
    stored = StoredArray(tmp_path / "raw", 5, array.shape, array.dtype)
    order = np.array([7, 49, 0, 7])
    assert np.array_equal(stored.rows(order), array[order])
    assert stored.rows(np.array([], dtype=np.int64)).shape == (0, 3, 2)
    assert np.array_equal(pickle.loads(pickle.dumps(stored)).rows(order), array[order])
    with pytest.raises(ValueError, match="raw is truncated: expected at least 2453 bytes, found 2405; get it again"):
        StoredArray(tmp_path / "raw", 5, (51, 3, 2), array.dtype)
    os.truncate(tmp_path / "raw", 1000)
    with pytest.raises(ValueError, match="was cut short while in use"):
        stored.rows(order)


# --- unpacking


class Source:
    """A packed file whose unpacking is counted."""

    def __init__(self, folder):
        self.file = folder / "packed.bin"
        self.file.write_bytes(b"packed")
        self.array = np.arange(24, dtype=np.uint8).reshape(6, 4)
        self.times = 0

    def blocks(self):
        self.times += 1
        yield from (self.array[:4], self.array[4:])

    def open(self, part="all"):
        return unpack_once(self.file, part, self.array.shape, np.uint8, self.blocks)


@pytest.fixture
def source(tmp_path, own_cache):
    return Source(tmp_path)


def npy_of(cache):
    (file,) = cache.rglob("*.npy")
    return file


def test_unpacking_happens_once(source, own_cache):
    for _ in range(2):
        assert np.array_equal(source.open().rows(np.arange(6)), source.array)
    assert source.times == 1
    assert np.array_equal(np.load(npy_of(own_cache)), source.array)
    source.open(part="another")
    assert source.times == 2
    os.utime(source.file, ns=(1, 1))  # a newer download
    source.open()
    assert source.times == 3


def test_a_changed_cache_is_checked_and_unpacked_anew_if_damaged(source, own_cache):
    source.open()
    file = npy_of(own_cache)
    os.utime(file, ns=(5, 5))  # copied without its date: the checksum still fits
    source.open()
    source.open()
    assert source.times == 1
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(6, 6))
    assert np.array_equal(source.open().rows(np.arange(6)), source.array)
    assert source.times == 2
    file.write_bytes(content[:-3])
    source.open()
    assert source.times == 3
    record = file.with_name(f"{file.name}.json")
    assert json.loads(record.read_text())["source"] == str(source.file)
    for damage in (record.unlink, lambda: record.write_text("{")):
        damage()
        source.open()
    assert source.times == 5


def test_an_interrupted_unpacking_leaves_nothing(source, own_cache):
    def breaks_off():
        yield source.array[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_once(source.file, "all", source.array.shape, np.uint8, breaks_off)
    assert [file for file in own_cache.rglob("*") if file.is_file()] == []


def test_too_little_space_is_said_before_unpacking(source, own_cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 90, 10))
    message = r"unpacking .*packed.bin needs 0.00 GB in .*unpacked, where 0.00 GB are free; .*CONTRAFACT_CACHE"
    with pytest.raises(ValueError, match=message):
        source.open()
    assert source.times == 0


def test_a_full_disk_names_the_file_and_leaves_the_rest(source, own_cache, monkeypatch):
    source.open()
    before = npy_of(own_cache)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"could not write the cache file .*\.npy .*; free some space, or set CONTRA"):
        source.open(part="another")
    assert list(own_cache.rglob("*.npy")) == [before]
    assert np.array_equal(source.open().rows(np.arange(6)), source.array)


def test_a_source_that_cannot_be_read_is_not_taken_for_a_full_disk(source, own_cache):
    def unreadable():
        yield source.array[:4]
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(ValueError, match=r"could not read .*packed.bin \(.*Input/output error\); get it again"):
        unpack_once(source.file, "all", source.array.shape, np.uint8, unreadable)


def test_leftovers_of_killed_processes_are_removed_after_a_day(source, own_cache):
    source.open()
    file = npy_of(own_cache)
    old, new = (file.with_name(f".{file.name}.{age}.npy") for age in ("old", "new"))
    for partial in (old, new):
        partial.touch()
    os.utime(old, (0, time.time() - 90_000))
    file.unlink()
    source.open()
    assert not old.exists()
    assert new.exists()


# --- npz archives


def test_an_uncompressed_archive_is_read_in_place(tmp_path, own_cache):
    array = np.random.default_rng(0).integers(256, size=(30, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", first=np.arange(3), imgs=array)
    archive = NumpyArchive("toys", tmp_path / "a.npz")
    assert archive.header("imgs") == ((30, 5), np.uint8)
    assert np.array_equal(archive.stored("imgs").rows(np.array([29, 3])), array[[29, 3]])
    assert np.array_equal(archive.read("first"), np.arange(3))
    assert not own_cache.exists()


def test_members_that_do_not_fit_their_header(tmp_path, own_cache):
    np.save(tmp_path / "x.npy", np.zeros((4, 3), dtype=np.uint8))
    whole = (tmp_path / "x.npy").read_bytes()
    for content, message in (
        (whole[:-4], "key 'x' of .* is damaged .it ends in row 2 of 4"),
        (whole + b"more", "key 'x' of .* is damaged .it goes on after row 4"),
        (b"not numpy's" + whole, "key 'x' of .* does not start like an array saved by numpy"),
        (b"", "key 'x' of .* does not start like an array saved by numpy"),
    ):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(ValueError, match=message):
            NumpyArchive("toys", tmp_path / "x.npz").read("x")
    with zipfile.ZipFile(tmp_path / "x.npz", "w"):
        pass
    with pytest.raises(ValueError, match="has no key 'x'; found nothing"):
        NumpyArchive("toys", tmp_path / "x.npz").read("x")


def test_rows_are_read_where_positioned_reads_do_not_exist(tmp_path, monkeypatch):
    """As on Windows: many threads at once, each its own rows."""
    values = np.arange(4000, dtype=np.int64).reshape(500, 8)
    (tmp_path / "rows").write_bytes(b"head" + values.tobytes())
    monkeypatch.delattr(os, "preadv")
    stored = StoredArray(tmp_path / "rows", 4, values.shape, values.dtype)
    draws = [np.random.default_rng(seed).integers(500, size=100) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for indices, rows in zip(draws, pool.map(stored.rows, draws), strict=True):
            assert np.array_equal(rows, values[indices])
