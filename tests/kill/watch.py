"""Every file operation of a process below a folder, numbered, and something that happens at one of them.

Python's ways to a file are replaced, so that a process can end exactly before or after its k-th operation, or with
half of a write on the disk. What an fsync has not yet reached is remembered: a power cut may lose it.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
BY_PATH = ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate", "symlink", "link", "replace", "rename")
SIGNALS = {
    "stop": (signal.SIGSTOP,),
    "term": (signal.SIGTERM,),
    "int": (signal.SIGINT,),
    "twice": (signal.SIGINT, signal.SIGINT),
}
MAY_FILL_THE_DISK = ("open", "write", "mkdir", "fsync")


class Watch:
    """The file operations of this process below ``folder``, from :meth:`install` on.

    Args:
        folder: where operations count.
        at: number of the operation at which something happens, from 1; None for none.
        moment: ``before`` it, ``halfway`` (only half of a write reaches the file) or ``after`` it.
        act: what happens: ``kill``, ``power`` (a kill that loses what is not on the disk), ``term``, ``int``, ``twice``
            (two Ctrl-C), ``stop`` (until somebody continues it) or ``full`` (no space from then on).
        stash: folder outside, for what a power cut brings back.
        draws: seed of what a power cut loses.
    """

    def __init__(
        self,
        folder: Path,
        at: int | None = None,
        moment: str = "before",
        act: str = "kill",
        stash: Path | None = None,
        draws: str = "",
    ) -> None:
        self.folder, self.at, self.moment, self.act = folder.resolve(), at, moment, act
        self.stash, self.draws = stash, draws
        self.operations: list[str] = []
        self.unseen: list[str] = []
        self.disk_full = False
        self._inside = False
        self._unsynced: dict[int, int] = {}  # inode: bytes an fsync has reached
        self._undo: list[tuple[Path, Callable[[], None]]] = []  # (folder, how the disk forgets it)

    # -- installing -----------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Replace Python's ways to a file, for the rest of this process's life."""
        self._replace = os.replace
        real_open, os_open = io.open, os.open
        for name in BY_PATH:
            self._wrap(name, getattr(os, name))
        for name in ("fsync", "fdatasync"):
            self._wrap_sync(name, getattr(os, name))
        os_write = os.write

        def open_descriptor(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if self._inside or not flags & WRITING or not self._is_ours(path, options):
                return os_open(path, flags, *args, **options)
            return self._happen("open", self._name(path), lambda: os_open(path, flags, *args, **options))

        def write_descriptor(fd: int, data: Any) -> int:
            path = self._path_of(fd)
            if self._inside or path is None:
                return os_write(fd, data)
            self._note_write(fd)
            return self._happen(
                "write", self._name(path), lambda: os_write(fd, data), lambda part: os_write(fd, part), data
            )

        def open_file(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
            if self._inside or not set(mode) & set("wax+") or not self._is_ours(file, {}):
                return real_open(file, mode, buffering, *args, **options)
            return self._open(file, mode, buffering, *args, **options)

        os.open, os.write = open_descriptor, write_descriptor  # type: ignore[assignment]
        builtins.open = io.open = open_file  # type: ignore[assignment, misc]
        sys.addaudithook(self._audit)

    def _wrap(self, name: str, real: Callable[..., Any]) -> None:
        def watched(*args: Any, **options: Any) -> Any:
            path = args[1] if name in ("link", "symlink", "replace", "rename") else args[0]
            if self._inside or not self._is_ours(path, options):
                return real(*args, **options)
            if self.act == "power":
                self._remember(name, *args)
            return self._happen(name, self._name(path), lambda: real(*args, **options))

        setattr(os, name, watched)

    def _wrap_sync(self, name: str, real: Callable[[int], None]) -> None:
        def watched(fd: Any) -> None:
            number = fd if isinstance(fd, int) else fd.fileno()
            path = self._path_of(number)
            if self._inside or path is None:
                return real(fd)
            self._happen("fsync", self._name(path), lambda: real(fd))
            self._unsynced.pop(os.fstat(number).st_ino, None)
            self._undo = [(folder, forget) for folder, forget in self._undo if folder != path]
            return None

        setattr(os, name, watched)

    def _open(
        self,
        file: Any,
        mode: str,
        buffering: int,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        watch = self

        class Watched(io.FileIO):
            def write(self, data: Any) -> int:
                whole = memoryview(data).cast("B")
                watch._note_write(self.fileno())
                write = super().write
                return watch._happen("write", name, lambda: write(whole), write, whole)

        name = self._name(file)
        raw_mode = mode.replace("t", "").replace("b", "")
        if isinstance(file, int):
            raw = Watched(file, raw_mode, closefd, opener)
        else:
            raw = self._happen("open", name, lambda: Watched(file, raw_mode, closefd, opener))
        if "b" in mode and buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text

    # -- what happens ---------------------------------------------------------------------------------------------

    def _happen(
        self,
        kind: str,
        path: str,
        real: Callable[[], Any],
        part: Callable[[Any], int] | None = None,
        data: Any = None,
    ) -> Any:
        """Do one operation, numbered; at the chosen one, what was chosen."""
        if self.disk_full and kind == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.operations.append(f"{kind} {path}")
        now = len(self.operations) == self.at
        # A write to a file is not interrupted: a signal's handler runs before it or when the writer is done with it.
        moment = "before" if kind == "write" and self.act in SIGNALS else self.moment
        needs_space = kind in MAY_FILL_THE_DISK and not (kind == "open" and (self.folder / path).exists())
        if now and self.act == "full" and needs_space:
            self.disk_full = True
            if part is not None:
                self._do(lambda: part(data[: len(data) // 2]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if now and self.act == "full":
            self.disk_full = True  # an operation that needs no space: the next write has none
        if now and self.act != "full" and moment == "before":
            self._strike()
        if now and self.act != "full" and moment == "halfway" and part is not None:
            done = self._do(lambda: part(data[: len(data) // 2]))
            self._strike()
            return done
        result = self._do(real)
        if now and self.act != "full" and moment != "before":
            self._strike()
        return result

    def _do(self, real: Callable[[], Any]) -> Any:
        self._inside = True
        try:
            return real()
        finally:
            self._inside = False

    def _strike(self) -> None:
        if self.act == "power":
            self._cut_power()
        for number in SIGNALS.get(self.act, (signal.SIGKILL,)):
            os.kill(os.getpid(), number)

    # -- what a power cut loses -----------------------------------------------------------------------------------

    def _note_write(self, fd: int) -> None:
        status = os.fstat(fd)
        self._unsynced.setdefault(status.st_ino, status.st_size)

    def _remember(self, name: str, *args: Any) -> None:
        """How to make the disk forget a name that was changed, until its folder is synced."""
        assert self.stash is not None
        if name not in ("replace", "rename", "unlink", "remove"):
            return
        path = Path(os.fspath(args[-1 if name in ("replace", "rename") else 0])).absolute()
        kept = self.stash / str(len(self.operations))
        self._do(lambda: os.link(path, kept) if path.exists() else None)
        source = Path(os.fspath(args[0])).absolute()

        def forget() -> None:
            if name in ("replace", "rename") and path.exists():
                self._replace(path, source)
            if kept.exists():
                self._replace(kept, path)

        self._undo.append((path.parent, forget))

    def _cut_power(self) -> None:
        """Forget the last few changes of names that no fsync of the folder has reached, and bytes no fsync has."""
        self._inside = True
        rng = random.Random(self.draws)
        for _, forget in reversed(self._undo[rng.randint(0, len(self._undo)) :]):
            forget()
        for path in self.folder.rglob("*"):
            if path.is_file() and (synced := self._unsynced.get(path.stat().st_ino)) is not None:
                size = path.stat().st_size
                os.truncate(path, rng.choice([min(synced, size), rng.randint(min(synced, size), size)]))

    # -- whose operations -----------------------------------------------------------------------------------------

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Note a file opened for writing past the replaced functions: an operation at which nothing can happen."""
        if event != "open" or self._inside or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        if isinstance(args[2], int) and args[2] & WRITING and self._is_ours(args[0], {}):
            self.unseen.append(os.fsdecode(args[0]))

    def _is_ours(self, path: Any, options: dict[str, Any]) -> bool:
        if options.get("dir_fd") is not None:
            return True
        if isinstance(path, int):
            return self._path_of(path) is not None
        return Path(os.path.abspath(os.fsdecode(path))).is_relative_to(self.folder)

    def _path_of(self, fd: int) -> Path | None:
        try:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            return None
        return path if path.is_relative_to(self.folder) else None

    def _name(self, path: Any) -> str:
        if isinstance(path, int):
            path = self._path_of(path) or "?"
        absolute = os.path.abspath(os.fsdecode(path))
        return os.path.relpath(absolute, self.folder)
