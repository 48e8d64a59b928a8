"""Readers that do what readers must not, each in its own way: what the harness has to see."""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.data import tiny_files
from tests.fuzz.targets import _FOREVER, Target
from tests.fuzz.witness import MARK

_LIBC = ctypes.CDLL(None)


def _content(folder: Path) -> bytes:
    return (folder / "file.pkl").read_bytes()


def unpickles(folder: Path) -> Any:
    """The reader that every pickle is dangerous to."""
    try:
        return pickle.loads(_content(folder))
    except Exception as error:
        raise ValueError(f"{folder} is damaged ({error})") from error


def runs_unseen(folder: Path) -> None:
    """Runs a command below the interpreter, where no audit hook reports it: what overwritten memory does."""
    _LIBC.system(f"touch {MARK}".encode())


def spins(folder: Path) -> None:
    while True:
        pass


def sleeps(folder: Path) -> None:
    time.sleep(600)


def crashes(folder: Path) -> None:
    ctypes.string_at(0)


def leaves(folder: Path) -> None:
    os._exit(0)


def eats(folder: Path) -> int:
    """200 MiB that are really there."""
    return len(np.ones(25 * 2**20))


def asks_for_terabytes(folder: Path) -> None:
    try:
        np.empty(2**50)
    except MemoryError as error:
        raise ValueError(f"{folder} is too large") from error


def connects(folder: Path) -> None:
    socket.socket().connect_ex(("127.0.0.1", 9))


def peeks(folder: Path) -> str:
    return Path("/etc/hostname").read_text()


def scribbles(folder: Path) -> None:
    place = folder.parent.parent / "fuzz-scribble"
    place.write_text("here I was")
    place.unlink()


def evaluates(folder: Path) -> Any:
    return eval("1 + 1")


def imports(folder: Path) -> None:
    import antigravity_of_nobody  # noqa: F401


def replaces(folder: Path) -> None:
    (folder / "file.pkl").rename(folder / "other.pkl")


def raises(folder: Path) -> None:
    raise KeyError("missing")


def raises_a_relative(folder: Path) -> None:
    _content(folder).decode("ascii")


def mumbles(folder: Path) -> None:
    raise ValueError("something is wrong")


def believes(folder: Path) -> Any:
    """Follows an HDF5 file wherever it leads."""
    try:
        with h5py.File(folder / "3dshapes.h5") as file:
            return file["images"][:], file["labels"][:]
    except Exception as error:
        raise ValueError(f"{folder} is damaged ({error})") from error


def behaves(folder: Path) -> Any:
    data = _content(folder)
    if len(data) % 2:
        raise ValueError(f"{folder / 'file.pkl'} has an odd length")
    return len(data)


def _write(folder: Path) -> None:
    (folder / "file.pkl").write_bytes(pickle.dumps({"a": [1, 2.5, "x"], "b": (None, b"y"), "c": list(range(40))}, 2))


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "unpickles": ("witness", unpickles),
    "runs unseen": ("witness", runs_unseen),
    "spins": ("slow", spins),
    "sleeps": ("slow", sleeps),
    "crashes": ("signal", crashes),
    "leaves": ("signal", leaves),
    "eats": ("memory", eats),
    "asks for terabytes": ("memory", asks_for_terabytes),
    "connects": ("witness", connects),
    "peeks": ("witness", peeks),
    "scribbles": ("witness", scribbles),
    "evaluates": ("witness", evaluates),
    "imports": ("witness", imports),
    "replaces": ("witness", replaces),
    "raises": ("traceback", raises),
    "raises a relative": ("traceback", raises_a_relative),
    "mumbles": ("nameless", mumbles),
    "believes": ("believed", believes),
    "behaves": ("refusal", behaves),
}
"""By name: how its reads end, at least one of them."""


def all_targets() -> dict[str, Target]:
    write_h5 = partial(tiny_files.write_shapes3d, monkeypatch=_FOREVER)
    targets = {
        name: Target(name, read, {"h5": write_h5} if name == "believes" else {"pickle": _write}, weight=1, warm=False)
        for name, (_, read) in READERS.items()
    }
    many = {"unpickles": 150.0, "believes": 12.0, "behaves": 20.0, "raises a relative": 3.0}
    return {
        name: Target(name, target.read, target.variants, weight=many.get(name, 1.0), warm=False)
        for name, target in targets.items()
    }
