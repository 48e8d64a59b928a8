"""A progress bar with time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

_LINE_SECONDS = 20.0

Watch = Callable[[str, int, int], None]
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within the block, in this thread, call ``watch(what, done, total)`` at every step of any progress.

    What ``watch`` raises ends the work that reports its progress.

    >>> with watched(lambda what, done, total: print(what, done, total)), Progress("counting", 2, enabled=False) as bar:
    ...     bar.advance()
    counting 1 2
    """
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


class Progress:
    """Progress of ``total`` steps on stderr, starting at ``first``.

    On a terminal a bar with the time left; in a log file a plain line every twenty seconds.
    """

    def __init__(self, what: str, total: int, first: int = 0, enabled: bool = True) -> None:
        self._what, self._total, self._done, self._first = what, total, first, first
        self._enabled = enabled
        self._scalars = ""
        self._bar: Any = None
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[scalars]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, completed=self._first, scalars="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""
        self._done += steps
        if (watch := _watch.get()) is not None:
            watch(self._what, self._done, self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif self._enabled and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            pace = (self._last_line - self._start) / max(1, self._done - self._first)
            left = pace * (self._total - self._done)
            print(
                f"{self._what}: {self._done}/{self._total}, {left:.0f} s left {self._scalars}",
                file=sys.stderr,
                flush=True,
            )

    def show(self, scalars: Mapping[str, float]) -> None:
        """Show the latest values beside the bar."""
        self._scalars = "  ".join(f"{k} {v:.3g}" for k, v in list(scalars.items())[:4])
        if self._bar is not None:
            self._bar.update(self._task, scalars=self._scalars)
