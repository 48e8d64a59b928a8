import io
import zipfile

import numpy as np
import pytest

from contrafact.core.describe import what_is
from contrafact.core.npy import NpzFile, num_bytes, read_npy_header


def header(text, version=(1, 0)):
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2 if version == (1, 0) else 4, "little") + text


def described(shape="(3, 4)", descr="'<f4'", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asfortranarray(np.ones((2, 3), np.int16)), version)
    stream.seek(0)
    assert read_npy_header(stream, "x") == ((2, 3), np.dtype("<i2"), True)
    assert len(stream.read()) == num_bytes((2, 3), np.dtype("<i2")) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start like an array saved by numpy"),
        (b"\x93NUMPY\x09\x00", "does not start like an array saved by numpy"),
        (header(described())[:40], "its header is cut short"),
        (header(b"{" * 60_000), "its header has 60000 bytes"),
        (header(b"(" * 9_000), "does not start like"),
        (header(b"[" * 9_000), "does not start like"),
        (header(b"-" * 9_000 + b"1"), "does not start like"),
        (header(b"9" * 9_000), "does not start like"),
        (header(described(shape="(-1,)")), r"its shape is \(-1,\)"),
        (header(described(shape="(True,)")), r"its shape is \(True,\)"),
        (header(described(shape=str((1,) * 40))), "its shape is"),
        (header(described(shape="'abc'")), "does not start like"),
        (header(described(shape="(1.5,)")), "does not start like"),
        (header(described(descr="'|O'")), "must hold plain numbers; found dtype object"),
        (header(described(descr="[('a', '<f4'), ('b', '|O')]")), "must hold plain numbers"),
        (header(described(descr="'|S0'")), "must hold plain numbers"),
        (header(described(descr="'no such'")), "does not start like"),
        (header(described(descr="[" * 50 + "]" * 50)), "does not start like"),
        (header(b"{}"), "does not start like"),
        (header(b"__import__('os').getpid()"), "does not start like"),
    ],
)
def test_headers_that_are_none(content, message):
    with pytest.raises(ValueError, match=f"f.npy .*{message}|f.npy {message}"):
        read_npy_header(io.BytesIO(content), "f.npy")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archives_packed_as_numpy_never_does_are_refused(tmp_path, method):
    """LZMA's header says how much memory unpacking takes."""
    path, content = tmp_path / "codes.npz", io.BytesIO()
    np.save(content, np.ones(3))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("codes.npy", content.getvalue())
    with pytest.raises(ValueError, match=rf"codes\.npz is not packed as numpy packs .*by method {method}"):
        NpzFile(path)
    assert what_is(path) == "a zip file of codes.npy"
