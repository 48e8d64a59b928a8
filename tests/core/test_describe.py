import gzip
import io
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contrafact.core.describe import what_is


def _npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _torch(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _zip(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"1,2\n", "a text file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
            "a Git LFS pointer, which stands for the file",
        ),
        (b"\n<!DOCTYPE HTML><title>404", "a web page, such as a server sends instead of a file"),
        (_npy(np.zeros((3, 4), np.float32)), "a numpy array, float32 (3, 4)"),
        (_npz(a=np.zeros(2)), "a numpy archive of a float64 (2,)"),
        (_npz(**{f"a{i}": np.zeros(i) for i in range(9)}), r" and 3 more"),
        (_torch({"w": torch.zeros(2)}), "a torch file of w (2,)"),
        (_torch(torch.zeros(3, 4)), "a torch file of a tensor (3, 4)"),
        (_torch({"ckpt": "x.pt", "eigvec": torch.zeros(4, 4)}), "a torch file of ckpt, eigvec (4, 4)"),
        (_zip("readme.md"), "a zip file of readme.md"),
        (b"\x80\x04N.", "a pickle of a NoneType"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (gzip.compress(b"x", mtime=0), "a gzip file"),
        (b"\x00\x01\x02\x03", "no file known here (00 01 02 03"),
        (b"PK\x03\x04 and no more", "unreadable (File is not a zip file)"),
        (b"\x93NUMPY\x01\x00v\x00{", "unreadable"),
    ],
)
def test_files_are_described(tmp_path, content, expected):
    path = tmp_path / "f"
    path.write_bytes(content)
    found = what_is(path)
    assert expected in found
    assert "\n" not in found


def test_safetensors_are_described(tmp_path):
    save_file({"w": torch.zeros(2, 3), "b": torch.zeros(3)}, tmp_path / "f")
    assert what_is(tmp_path / "f") == "a safetensors file of b (3,), w (2, 3)"


def test_what_cannot_be_opened(tmp_path):
    assert "Is a directory" in what_is(tmp_path)
