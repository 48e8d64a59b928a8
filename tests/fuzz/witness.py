"""What sees that a file did something: an audit hook, and marks that payloads leave behind.

Payloads are harmless (``touch PWNED``) and run in an empty working folder, so anything that appears in it is a mark.
The hook sees the same deeds by the interpreter's own reports; either is enough.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from contrafact.core.catalog import PACKAGE_ROOT

MARK = "PWNED"
"""The file or folder that payloads make."""

_DEEDS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill", "os.startfile"),
    *("subprocess.Popen", "pty.spawn", "pickle.find_class", "ctypes.dlopen", "code.__new__", "function.__new__"),
    *("urllib.Request", "webbrowser.open", "sys.addaudithook", "os.putenv", "shutil.rmtree", "shutil.move"),
)
"""Never part of reading a file, whatever the arguments."""

_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink")
"""Allowed inside the scratch folder only: caches are written there."""

_PACKAGES = frozenset(
    ("contrafact", "torch", "numpy", "scipy", "h5py", "PIL", "safetensors", "rich", "encodings", "accelerate")
)
"""Packages whose modules a reader may import late. What a file names itself is found by ``pickle.find_class``."""

_TEXT_MAKERS = (os.path.join("collections", "__init__.py"), "dataclasses.py", "typing.py")
"""Modules of Python that run text they have made themselves."""


class Witness:
    """Armed while a file is read; afterwards ``seen`` says what happened that must not.

    Args:
        scratch: the one folder that may be read and written besides Python's own.
    """

    def __init__(self, scratch: Path) -> None:
        own = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(Path(__file__).parents[2])}
        own.add(str(PACKAGE_ROOT))
        self._writable = _inside(scratch)
        self._readable = (*self._writable, *(place for folder in own for place in _inside(folder)))
        self.armed, self.seen = False, list[str]()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        self.armed = False  # what looking costs must not be seen
        try:
            if reason := self._judge(event, arguments):
                self.seen.append(reason)
        finally:
            self.armed = True

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "socket.gethostname" or (event == "os.kill" and arguments[1] == 0):
            return None  # asks who holds a folder
        if event in _DEEDS or event.startswith("socket."):
            return f"{event} {arguments!r:.120}"
        if event == "open":
            return self._judge_open(*arguments)
        if event in _CHANGES:
            return None if self._is_inside(arguments[0], self._writable) else f"{event} {arguments!r:.120}"
        if event == "exec":
            # Imports run files, dataclasses and named tuples run text of their own; a file's text has neither origin.
            name, caller = getattr(arguments[0], "co_filename", ""), sys._getframe(2).f_code.co_filename
            honest = name.startswith("<frozen") or os.path.exists(name) or caller.endswith(_TEXT_MAKERS)
            return None if honest else f"exec {name} in {caller}"
        if event == "import" and arguments[0].partition(".")[0] not in _PACKAGES | sys.stdlib_module_names:
            return f"import {arguments[0]}"
        return None

    def _judge_open(self, path: Any, mode: Any, flags: int) -> str | None:
        if isinstance(path, int):
            return None
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
        if self._is_inside(path, self._writable if writes else self._readable):
            return None
        return f"open {path!r} to {'write' if writes else 'read'}"

    def _is_inside(self, path: Any, places: tuple[str, ...]) -> bool:
        name = os.fsdecode(path)
        return name == os.devnull or name.startswith("/proc/") or os.path.abspath(name).startswith(places)


def _inside(folder: str | Path) -> tuple[str, str]:
    return f"{os.path.abspath(folder)}{os.sep}", f"{os.path.realpath(folder)}{os.sep}"
