"""Exclusive claims: two processes never write into one folder at the same time.

A claim is the file ``.claim`` in the folder, held by a lock of the operating system, so that a killed process frees the
folder at once. The file says who holds it, for the message; on a disk that several machines share, where not every
lock is seen by all, another machine's file counts until somebody deletes it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from contrafact.core import command
from contrafact.core.files import explained
from contrafact.core.hub import check_own

CLAIM = ".claim"
_PATIENCE_SECONDS = 0.02
# Somebody who has just taken the lock has not yet said who he is.
_LOOKS = 25
# A byte far behind what the file says: Windows forbids others to read what is locked.
_LOCKED_BYTE = 1 << 30
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
# As core.files names what it writes: .config.json.0f3a9c2b.json
_LEFTOVER = re.compile(r"\..+(?P<suffix>\.\w+)\.[a-z0-9_]{8}(?P=suffix)")


@dataclass(frozen=True)
class Holder:
    """Who claims a folder: process, machine, command, since when."""

    pid: int
    host: str
    command: str
    since: str


class AlreadyClaimed(ValueError):
    """Another process, or another thread, is writing there; the message says which and what to do."""


_held: dict[tuple[int, str], int] = {}
"""Descriptor of each claim's file, by thread and path."""


@contextmanager
def claim(target: str | Path, wait: float = 0.0) -> Iterator[None]:
    """Within the block nobody else who asks writes to ``target``; claims of one thread may be nested.

    Taking it sweeps up temporary files that killed processes left in the folder, or beside the file.

    Args:
        target: a folder, made if it is missing (and removed again if nothing comes into it), or a file with a suffix.
        wait: seconds to wait for another holder, for what takes a moment.

    Raises:
        AlreadyClaimed: somebody else holds it.
        OSError: the folder cannot be written to; the message says what to do.
    """
    target = Path(target)
    check_own(target)
    is_file = target.is_file() or (bool(target.suffix) and not target.is_dir())
    lock = target.with_name(f".{target.name}{CLAIM}") if is_file else target / CLAIM
    key = (threading.get_ident(), os.path.realpath(lock))
    if key in _held:
        yield
        return
    made = [folder for folder in (lock.parent, *lock.parent.parents) if not folder.exists()]
    _held[key] = _take(lock, target, time.monotonic() + wait)
    try:
        if is_file:
            _sweep([target.parent], rf"\.{re.escape(target.name)}")
        else:
            _sweep([target, target / "figures"])
        yield
    finally:
        descriptor = _held.pop(key, None)
        if descriptor is not None:  # a forked child holds nothing
            _release(lock, descriptor)
            for folder in made:
                with suppress(OSError):  # not empty, as it should be
                    folder.rmdir()


def hold(target: str | Path) -> None:
    """:func:`claim` ``target`` until the running command ends."""
    command.until_it_ends(claim(target))


def free_from_gone_machines(folder: str | Path, alive: Collection[str]) -> int:
    """Delete the claims, of a folder and of all in it, of machines that are known to be gone.

    Whoever takes one of them by then keeps it.

    Args:
        folder: where to look.
        alive: names of the machines that are there; this one is.

    Returns:
        how many claims there were.
    """
    freed = 0
    for lock in sorted(Path(folder).rglob(f"*{CLAIM}")):
        holder = _read(lock)
        if holder is not None and holder.host not in {*alive, socket.gethostname()}:
            freed += _free(lock, holder)
    return freed


def _free(lock: Path, holder: Holder) -> bool:
    """Delete the file of a holder who is gone, unless somebody else has it by now."""
    try:
        descriptor, _ = _open(lock) if lock.exists() else (None, False)
    except OSError as error:
        raise explained(error, lock) from error
    if descriptor is None:
        return False
    if _lock(descriptor) is not False and _is_current(lock, descriptor) and _read(lock) == holder:
        _release(lock, descriptor)
        return True
    os.close(descriptor)
    return False


def _take(lock: Path, target: Path, deadline: float) -> int:
    """Descriptor of the claim's file, locked and signed."""
    looks = 0
    while True:
        try:
            descriptor, is_new = _open(lock)
        except OSError as error:
            raise explained(error, lock) from error
        locked = _lock(descriptor)
        if locked and not _is_current(lock, descriptor):  # the last holder deleted it between our opening and locking
            os.close(descriptor)
            continue
        holder = _read(lock)
        if locked is not False and (is_new or _is_free(holder, locked)):
            try:
                _sign(descriptor)
            except OSError as error:
                _release(lock, descriptor)
                raise explained(error, lock) from error
            except KeyboardInterrupt:
                _release(lock, descriptor)
                raise
            return descriptor
        os.close(descriptor)
        looks += 1
        if (holder is None and looks < _LOOKS) or time.monotonic() < deadline:
            time.sleep(_PATIENCE_SECONDS)
            continue
        raise AlreadyClaimed(_refusal(target, lock, holder, locked))


def _open(lock: Path) -> tuple[int, bool]:
    """The file, and whether it is new."""
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    while True:
        # A holder that ends removes a folder into which nothing came, maybe between two of these lines.
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if _is_no_folder(lock.parent):
                raise
            continue
        except FileNotFoundError:
            continue
        try:
            return os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            pass
        except FileNotFoundError:
            continue
        try:
            return os.open(lock, flags), False
        except FileNotFoundError:  # freed just now
            continue


def _is_no_folder(path: Path) -> bool:
    """Whether something else is there; asked once, for a folder may be gone between two questions."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool | None:
    """Whether the lock is ours now; None on a file system without locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False
    return True


def _is_current(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_free(holder: Holder | None, locked: bool | None) -> bool:
    """Whether a file that was there already binds nobody: its process has ended, or was killed before it signed."""
    if holder is None:
        return locked is True
    return holder.host == socket.gethostname() and (locked is True or not _is_alive(holder.pid))


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sign(descriptor: int) -> None:
    holder = Holder(os.getpid(), socket.gethostname(), command.title(), time.strftime("%Y-%m-%d %H:%M:%S"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, (json.dumps(asdict(holder)) + "\n").encode())


def _read(lock: Path) -> Holder | None:
    """What the file says; None while nothing whole stands in it."""
    try:
        said = json.loads(lock.read_bytes()[:4096])
        return Holder(int(said["pid"]), str(said["host"]), str(said["command"]), str(said["since"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _refusal(target: Path, lock: Path, holder: Holder | None, locked: bool | None) -> str:
    if holder is None:
        return f"{target} is in use by another process; wait until it has ended"
    who = f"{target} is in use by `{holder.command}` (pid {holder.pid} on {holder.host}, since {holder.since})"
    if holder.host != socket.gethostname() or locked is None:
        return f"{who}; wait until it has ended. If it was killed, delete {lock} and try again"
    return f"{who}; wait until it has ended, or choose another folder (a killed process frees it by itself)"


def _release(lock: Path, descriptor: int) -> None:
    if sys.platform == "win32":  # what is open cannot be deleted there
        os.close(descriptor)
        descriptor = -1
    with suppress(OSError):  # already deleted, or on Windows opened by the next
        os.unlink(lock)
    if descriptor >= 0:
        os.close(descriptor)


def _sweep(folders: Sequence[Path], of: str = "") -> None:
    """Delete temporary files of killed processes; whoever writes here holds the claim, so none is in use."""
    for folder in folders:
        if folder.is_dir():
            for path in folder.iterdir():
                if re.match(of, path.name) and _LEFTOVER.fullmatch(path.name) and path.is_file():
                    path.unlink(missing_ok=True)


def _forget_in_child() -> None:
    # The lock belongs to the parent: closing our copy of the descriptor leaves it there.
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
