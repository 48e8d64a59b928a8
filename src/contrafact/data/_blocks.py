"""A cache of blocks of pictures on the local disk, bounded in bytes: what was not used for longest goes first."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

_ENDING, _UNFINISHED = ".block", ".block-part"
_DAY_NS = 86_400 * 10**9
_KEPT_SHARE, _FULL_SHARE, _UNSEEN_SHARE = 0.6, 0.8, 0.05


class BlockCache:
    """Files of pictures' bytes, one a block, in a folder that several processes may share.

    Each process looks what the folder holds whenever it has added a twentieth of ``most_bytes``, and takes files out
    from four fifths on; so four processes together stay within ``most_bytes``.

    Args:
        folder: made when the first block is kept.
        most_bytes: of all files.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._lock, self._process = threading.Lock(), os.getpid()
        self._unseen = most_bytes  # what the folder holds at first is not known

    def __reduce__(self) -> tuple[type[BlockCache], tuple[Path, int]]:
        return BlockCache, (self.folder, self.most_bytes)

    def pictures(self, name: str, places: Sequence[int], make: Callable[[], Sequence[bytes]]) -> list[bytes]:
        """Pictures of a block.

        Args:
            name: of the block, and of all it depends on.
            places: which pictures.
            make: fetches the block's pictures, if they are not here.

        Raises:
            ValueError: the disk is full; or whatever ``make`` raises.
        """
        file = self.folder / f"{name}{_ENDING}"
        held = _read(file, places)
        if held is not None:
            return held
        every = make()
        self._keep(file, every)
        return [every[place] for place in places]

    def bytes_held(self) -> int:
        """Bytes of all blocks in the folder."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, str]]:
        """Last use, size and path of each block, and of those that a killed process left unfinished."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process has just taken it out
                    stat = entry.stat()
                    left = entry.name.endswith(_UNFINISHED) and time.time_ns() - stat.st_mtime_ns > _DAY_NS
                    if left or entry.name.endswith(_ENDING):
                        found.append((stat.st_mtime_ns, stat.st_size, entry.path))
        return found

    def _keep(self, file: Path, every: Sequence[bytes]) -> None:
        ends = np.cumsum([len(picture) for picture in every], dtype="<i8")
        size = 8 + ends.nbytes + sum(map(len, every))
        if size > self.most_bytes * _KEPT_SHARE:
            return
        if self._process != os.getpid():  # a lock that a thread held when this process was forked would stay so
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:  # held until the file is there, else several threads would write into the same room
            self._unseen += size
            if self._unseen > self.most_bytes * _UNSEEN_SHARE:
                self._make_room(size)
                self._unseen = size
            self._write(file, every, ends, size)

    def _write(self, file: Path, every: Sequence[bytes], ends: npt.NDArray[np.int64], size: int) -> None:
        header = np.array([len(every)], dtype="<i8").tobytes() + ends.tobytes()
        partial = file.with_name(f".{secrets.token_hex(8)}{_UNFINISHED}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as stream:  # not synced: a block that a power cut spoils is fetched again
                stream.writelines([header, *every])
            os.replace(partial, file)
        except OSError as error:
            raise ValueError(
                f"could not keep {size / 1e6:.1f} MB of pictures in {self.folder} ({error.strerror or error}); free "
                "some space, keep less (cache_gb, --cache-gb), or set CONTRAFACT_CACHE to a folder on a larger disk"
            ) from error
        finally:
            with suppress(OSError):  # gone, as it should be
                partial.unlink()

    def _make_room(self, coming: int) -> None:
        files = sorted(self._files())
        held = sum(size for _, size, _ in files) + coming
        if held <= self.most_bytes * _FULL_SHARE:
            return
        for _, size, path in files:
            if held <= self.most_bytes * _KEPT_SHARE:
                return
            with suppress(FileNotFoundError):
                os.unlink(path)
            held -= size


def _read(file: Path, places: Sequence[int]) -> list[bytes] | None:
    """Pictures of a kept block; None where it is not there or not whole."""
    try:
        with file.open("rb", buffering=0) as stream:
            whole = os.fstat(stream.fileno()).st_size
            count = int.from_bytes(stream.read(8), "little")
            if not 0 < count <= whole // 8:
                return None
            ends = np.frombuffer(stream.read(8 * count), dtype="<i8")
            begin = 8 + 8 * count
            if len(ends) != count or begin + int(ends[-1]) != whole:
                return None
            found = []
            for place in places:
                first = int(ends[place - 1]) if place else 0
                stream.seek(begin + first)
                found.append(stream.read(int(ends[place]) - first))
        os.utime(file)
    except (OSError, IndexError):
        return None
    return found
