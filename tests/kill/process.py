"""One start of a command in a child process, which has everything imported already."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.kill.watch import SIGNALS, Watch

TIMEOUT = 120.0
Command = Callable[[], int]


@dataclass(frozen=True)
class Death:
    """How and when a process ends.

    Attributes:
        kind: ``kill``, ``power``, ``term``, ``int``, ``twice``, ``full`` or ``stop``, as :class:`Watch` has them.
        operation: number of the file operation at which it strikes; None for a moment in time.
        moment: ``before``, ``halfway`` or ``after`` the operation.
        seconds: after the start, when there is no operation.
        draws: seed of what a power cut loses.
    """

    kind: str
    operation: int | None = None
    moment: str = "before"
    seconds: float = 0.0
    draws: str = ""

    def __str__(self) -> str:
        if self.operation is None:
            return f"{self.kind} after {self.seconds:.3f} s"
        return f"{self.kind} {self.moment} operation {self.operation}"

    def allows(self, code: int) -> bool:
        """Whether a process may end so: by the signal, with the code of an interruption or of a full disk, or done."""
        ends = {
            "kill": (-signal.SIGKILL,),
            "power": (-signal.SIGKILL,),
            "term": (-signal.SIGTERM, 130),
            "int": (130,),
            "twice": (130,),
            "full": (2,),
        }
        return code == 0 or code in ends[self.kind]


def after(changed: Command | None, command: Command) -> Command:
    """The command behind what changes this process first."""
    return command if changed is None else lambda: changed() or command()


class Ended(NamedTuple):
    """How a process ended: exit code (minus the signal's number), what it printed, seconds it took, what it noted."""

    code: int
    output: str
    seconds: float
    notes: dict[str, Any]


def run(command: Command, folder: Path, death: Death | None = None) -> Ended:
    """Run ``command`` in a child process, in ``folder``, and wait for its end.

    Args:
        command: what to run; its result is the exit code.
        folder: the child's working folder; its file operations are watched.
        death: what ends it before its time.
    """
    pid, reading = start(command, folder, death)
    if death is None or death.operation is not None:
        return wait(pid, reading, folder)

    def strike() -> None:
        for number in SIGNALS.get(death.kind, (signal.SIGKILL,)):
            os.kill(pid, number)

    return wait(pid, reading, folder, strike, death.seconds)


def start(command: Command, folder: Path, death: Death | None = None, at: float = 0.0) -> tuple[int, int]:
    """Start a child process, which waits for a moment of the monotonic clock; its number, and what it prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        code = _live(command, folder, death, writing, at)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _live(command: Command, folder: Path, death: Death | None, writing: int, at: float) -> int:
    for standard in (1, 2):
        os.dup2(writing, standard)
    os.close(writing)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)
    os.environ["CONTRAFACT_DEBUG"] = "1"  # a fault of our own is to be seen whole
    os.environ["CONTRAFACT_TESTING"] = "1"  # the scenarios' presets are for tests
    time.sleep(max(0.0, at - time.monotonic()))
    _stop_clocks()
    if death is None or death.operation is None:
        watch = Watch(folder)
    else:
        stash = beside(folder, "stash")
        shutil.rmtree(stash, ignore_errors=True)
        stash.mkdir()
        watch = Watch(folder, death.operation, death.moment, death.kind, stash, death.draws)
    watch.install()
    code = command()
    notes = {"operations": watch.operations, "unseen": watch.unseen, "modules": sorted(sys.modules)}
    beside(folder, f"notes-{os.getpid()}").write_text(json.dumps(notes))
    return code


def beside(folder: Path, what: str) -> Path:
    """A path beside a life's folder, whose file operations are not watched."""
    return folder.with_name(f"{folder.name}.{what}")


def _stop_clocks() -> None:
    """Let no file depend on the time; with clocks that stand still a checkpoint is due at every line of the log."""
    time.monotonic = time.perf_counter = lambda: 1000.0
    time.strftime = lambda layout, *when: "2026-01-01"  # type: ignore[assignment]


def wait(pid: int, reading: int, folder: Path, strike: Callable[[], None] | None = None, seconds: float = 0.0) -> Ended:
    """Wait for a child's end; if it has not come after so many ``seconds``, do something first."""
    begin = time.monotonic()
    output = b""
    while True:
        until = begin + (TIMEOUT if strike is None else seconds)
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        if ready:
            if not (data := os.read(reading, 65536)):
                break
            output += data
        elif strike is not None:
            strike()
            strike = None
        else:
            output += f"\nended by force after {TIMEOUT:.0f} s".encode()
            os.kill(pid, signal.SIGKILL)
            begin = time.monotonic()
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    notes = beside(folder, f"notes-{pid}")
    noted = json.loads(notes.read_text()) if notes.exists() else {}
    notes.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), output.decode(errors="replace"), time.monotonic() - begin, noted)
