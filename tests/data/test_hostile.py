"""Data files that claim more than they hold, or point elsewhere: refused from their headers, before anything is read.

Each test has a witness: what a reader that trusts the header would meet.
"""

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import scipy.io

from contrafact.core.npy import NpzFile, read_npy
from contrafact.data._h5 import H5File
from contrafact.data._idx import read_idx
from contrafact.data._npz import NumpyArchive
from contrafact.data.cars3d import FILE as CARS3D_FILE
from contrafact.data.cars3d import Cars3D
from contrafact.data.load import load_dataset
from tests.data.tiny_files import CAR_NAMES, add_to_archive, car_images, write_cars3d, write_dsprites, write_shapes3d

LARGE = 2**40


def peak_of(action):
    """Most bytes Python held while ``action`` ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- idx --------------------------------------------------------------------------------------------------------------


def _idx_header(*shape):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def _refused(action, message):
    def run():
        with pytest.raises(ValueError, match=message):
            action()

    assert peak_of(run) < 20e6


def test_an_idx_file_cannot_claim_terabytes(tmp_path):
    for name in ("a-idx3-ubyte", "a-idx3-ubyte.gz"):
        content = _idx_header(2**31, 28, 28)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        message = r"claims the shape \(2147483648, 28, 28\), 1683.63 GB; at most 0.27 GB are read"
        _refused(lambda name=name: read_idx("toys", tmp_path / name, 3), message)


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(tmp_path):
    file = tmp_path / "a-idx3-ubyte.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**20)
    with file.open("wb") as stream:
        stream.write(packer.compress(_idx_header(2, 28, 28)))
        for _ in range(300):
            stream.write(packer.compress(zeros))
        stream.write(packer.flush())
    assert file.stat().st_size < 400_000
    assert peak_of(lambda: gzip.decompress(file.read_bytes())) > 300e6
    _refused(lambda: read_idx("toys", file, 3), r"must hold 1584 bytes for its shape \(2, 28, 28\), found 1585 or more")


# -- numpy ------------------------------------------------------------------------------------------------------------


def _npy_header(shape, descr="|u1"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_an_npy_file_cannot_claim_terabytes(tmp_path):
    (tmp_path / "a.npy").write_bytes(_npy_header((LARGE, 1000)) + bytes(10))
    with pytest.raises(MemoryError):
        np.load(tmp_path / "a.npy")
    _refused(lambda: read_npy(tmp_path / "a.npy"), r"must hold \d+ bytes for its shape .*, found 10; get the")


def _npz(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as stream:
        for part in content:
            stream.write(part)


def test_members_longer_or_shorter_than_they_say(tmp_path):
    _npz(tmp_path / "a.npz", [_npy_header((LARGE,)), bytes(10)])
    _refused(lambda: NumpyArchive("toys", tmp_path / "a.npz").read("x"), r"key 'x' of .* is damaged \(it ends in row")
    _npz(tmp_path / "a.npz", [_npy_header((10,)), *[bytes(2**20)] * 300])
    assert (tmp_path / "a.npz").stat().st_size < 400_000
    _refused(lambda: NumpyArchive("toys", tmp_path / "a.npz").read("x"), r"is damaged \(it goes on after row 10\)")


def test_a_zip_bomb_of_an_honest_header_is_refused_by_its_size(tmp_path):
    _npz(tmp_path / "a.npz", [_npy_header((300 * 2**20,)), *[bytes(2**20)] * 300])
    message = r"toys: key 'x' of .* would unpack to 0.31 GB, more than the 0.27 GB that are read"
    _refused(lambda: NumpyArchive("toys", tmp_path / "a.npz").read("x"), message)


def test_an_archive_of_millions_is_not_listed(tmp_path):
    path = tmp_path / "many.npz"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 2**24 // len(entry) + 1
    with path.open("wb") as stream:
        stream.write(entry * count)
        stream.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, count * len(entry), 0, 0))
    _refused(lambda: NpzFile(path), "lists too many files; get it again")


def test_encrypted_or_oddly_packed_members_are_one_sentence(tmp_path):
    path = tmp_path / "a.npz"
    _npz(path, [_npy_header((10,)), bytes(10)])
    whole = path.read_bytes()
    for place, value, message in ((8, 1, "encrypted"), (10, 99, "is not packed as numpy packs")):
        damaged = bytearray(whole)
        damaged[whole.index(b"PK\1\2") + place] = value
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"toys: .*a\.npz.* {message}"):
            NumpyArchive("toys", path).read("x")


# -- HDF5 -------------------------------------------------------------------------------------------------------------

SPEC = {"images": ((4, 3), np.uint8)}


@pytest.fixture
def secret(tmp_path):
    """A file elsewhere whose bytes the archives below point at."""
    path = tmp_path / "secret"
    path.write_bytes(b"root:x:0:0:r")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.frombuffer(path.read_bytes(), np.uint8).reshape(4, 3)
    return path


def _external(file, secret):
    file.create_dataset("images", (4, 3), np.uint8, external=[(str(secret), 0, 12)])


def _virtual(file, secret):
    layout = h5py.VirtualLayout((4, 3), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret.with_name("other.h5")), "images", (4, 3))
    file.create_virtual_dataset("images", layout)


def _external_link(file, secret):
    file["images"] = h5py.ExternalLink(str(secret.with_name("other.h5")), "images")


def _soft_link(file, secret):
    file["elsewhere"] = h5py.ExternalLink(str(secret.with_name("other.h5")), "/")
    file["images"] = h5py.SoftLink("/elsewhere/images")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_external, "has its bytes in other files, which are not read"),
        (_virtual, "has its bytes in other files, which are not read"),
        (_external_link, "is a link to another place, which is not followed"),
        (_soft_link, "is a link to another place, which is not followed"),
    ],
)
def test_no_archive_reads_another_file(tmp_path, secret, write, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        write(file, secret)
    with h5py.File(path) as file:  # the library itself follows
        assert bytes(file["images"][:].reshape(-1)) == secret.read_bytes()
    with pytest.raises(ValueError, match=message):
        H5File("toys", path, SPEC)


def test_what_is_no_array_of_numbers(tmp_path):
    path = tmp_path / "a.h5"
    for content, message in (
        ("group", "is a group, expected an array"),
        (h5py.Empty("f"), "expected uint8 of shape"),
        (np.zeros((4, 3), [("a", "u1")]), "expected uint8 of shape"),
        (np.array([["text"] * 3] * 4, h5py.string_dtype()), "expected uint8 of shape"),
    ):
        with h5py.File(path, "w") as file:
            file.create_group("images") if isinstance(content, str) else file.create_dataset("images", data=content)
        with pytest.raises(ValueError, match=message):
            H5File("toys", path, SPEC)


def test_arrays_that_are_not_there(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (4, 3), np.uint8)
    with pytest.raises(ValueError, match="was never filled; get the file again"):
        H5File("toys", path, SPEC)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (4, 3), np.uint8, chunks=(2, 3), compression="gzip")[:2] = 1
    with pytest.raises(ValueError, match="is incomplete: it holds 1 of 2 chunks; get the file again"):
        H5File("toys", path, SPEC)


def test_chunks_that_ask_for_memory(tmp_path):
    path, shape = tmp_path / "a.h5", (2**28, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", shape, np.uint8, chunks=(2**26, 3), compression="gzip")
    with pytest.raises(ValueError, match="has chunks of 201 MB, at most 134 MB are read"):
        H5File("toys", path, {"images": (shape, np.uint8)})


def test_a_bomb_in_a_chunk(tmp_path):
    path = tmp_path / "a.h5"
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (4, 3), np.uint8, chunks=(4, 3), compression="gzip")
        file["images"].id.write_direct_chunk((0, 0), bomb)
    with pytest.raises(ValueError, match=r"the chunk at \(0, 0\) unpacks to more than its 12 bytes"):
        H5File("toys", path, SPEC)


def test_filters_of_other_programs(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (4, 3), np.uint8, chunks=(4, 3), scaleoffset=0)[:] = 1
    with pytest.raises(ValueError, match=r"is packed in a way that is not read here \(filters 6\)"):
        H5File("toys", path, SPEC)


# -- Cars3D: tar, gzip, MATLAB -----------------------------------------------------------------------------------------


@pytest.fixture
def write_cars(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    write_cars3d(tmp_path, monkeypatch)
    whole = io.BytesIO()
    scipy.io.savemat(whole, {"im": car_images(CAR_NAMES[0])})

    def write(change):
        with tarfile.open(tmp_path / CARS3D_FILE, "w:gz", compresslevel=1) as archive:
            for name in CAR_NAMES:
                content = change(whole.getvalue()) if name == CAR_NAMES[0] else whole.getvalue()
                add_to_archive(archive, f"data/cars/{name}.mat", content)
        return tmp_path / CARS3D_FILE

    return write


def _bomb(content):
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


def _v4(_):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"im": np.zeros((2, 2))}, format="4")
    return stream.getvalue()


def _cell(_):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"im": np.array([["a"]], dtype=object)})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_bomb, "it unpacks to more than 16777216 bytes"),
        (_v4, "no MATLAB header"),
        (_cell, r"expected uint8 of shape \(128, 128, 3, 24, 4\), found cell of shape \(1, 1\)"),
        (lambda content: content[:128], "has no key 'im'"),
        (lambda content: content[:200], "is not a complete MATLAB 5 file"),
        (lambda content: content + bytes(2**24), "it has more than 16777216 bytes"),
    ],
    ids=["bomb", "version 4", "cell", "empty", "cut", "long"],
)
def test_cars_that_are_none(write_cars, change, message):
    file = write_cars(change)
    with pytest.raises(ValueError, match=message):
        Cars3D(file)


def test_a_tar_header_cannot_ask_for_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    with gzip.open(tmp_path / CARS3D_FILE, "wb") as stream:
        stream.write(header.tobuf())
    with pytest.raises(ValueError, match=r"is not a complete tar.gz archive .a name of 4294967296 bytes"):
        Cars3D(tmp_path / CARS3D_FILE)


def test_a_tar_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    header = tarfile.TarInfo("data/shapes/zeros")
    header.size = 2**40
    with gzip.open(tmp_path / CARS3D_FILE, "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        stream.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"is not a complete tar.gz archive .it unpacks to more than 0.27 GB"):
        Cars3D(tmp_path / CARS3D_FILE)


def test_an_archive_of_too_many_cars(tmp_path, monkeypatch):
    write_cars3d(tmp_path, monkeypatch)
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Cars3D, "num_cars", 2)
    with pytest.raises(ValueError, match=r"holds more than 2 files car_\*_mesh.mat"):
        Cars3D(tmp_path / CARS3D_FILE)


# -- everything -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "write"), [("dsprites", write_dsprites), ("shapes3d", write_shapes3d)])
def test_no_flipped_byte_ends_in_a_traceback(tmp_path, monkeypatch, name, write):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    write(tmp_path, monkeypatch)
    (file,) = (path for path in tmp_path.iterdir() if path.is_file())
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    # Where the structure is: both ends, rather than the pixels between.
    for place in (*rng.integers(0, 4096, 40), *rng.integers(len(whole) - 2048, len(whole), 40)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        with contextlib.suppress(ValueError):  # anything else fails the test
            load_dataset(file).batch([0])
