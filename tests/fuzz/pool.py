"""Reading files in child processes that may die, hang, swell or be taken over, and saying which did what.

A worker is forked from a process that has imported everything and read one good file of each kind, so a dead one costs
milliseconds. It reads file after file; what kills it belongs to the first one it gave no answer for.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tests.fuzz.files import Corpus, lay_out
from tests.fuzz.targets import Target
from tests.fuzz.witness import Witness

GOOD = ("value", "refusal")
BAD = ("witness", "signal", "slow", "memory", "traceback", "nameless", "believed")
"""How a read ends: code ran, the process died, over the time, over the memory, an exception that is no plain
``ValueError``, a ``ValueError`` that does not say which file, a file taken at its word that must be refused."""

_MAKING_SECONDS = 60.0
_FILE_BYTES = 512 * 2**20
_BATCH = 25
_MIB = 2**20
_OWN_FAULT = 86
"""Exit status of a worker whose own code failed, not the reader's."""


@dataclass(frozen=True)
class Limits:
    """What one read may take: ``seconds`` of processor time, ``memory`` MiB beyond what the worker had."""

    seconds: float = 10.0
    memory: int = 2048


@dataclass(frozen=True)
class Result:
    """How the read of one file ended.

    Attributes:
        reader: the target's name.
        seed: which of its files.
        outcome: one of ``GOOD`` or ``BAD``.
        detail: the exception, the signal, what the witness saw.
        recipe: how the file was made.
        seconds: processor time of the read.
    """

    reader: str
    seed: int
    outcome: str
    detail: str = ""
    recipe: str = ""
    seconds: float = 0.0


class Pool:
    """``jobs`` workers that read the files of ``targets``.

    Args:
        targets: readers by name.
        corpus: good files by reader, already written.
        jobs: number of workers.
        limits: of one read.
    """

    def __init__(self, targets: Mapping[str, Target], corpus: Corpus, jobs: int, limits: Limits) -> None:
        self._targets, self._corpus, self._limits = targets, corpus, limits
        self._workers = [_Worker(targets, corpus, limits) for _ in range(jobs)]

    def read(self, cases: Iterable[tuple[str, int]]) -> Iterator[Result]:
        """Results of ``(reader, seed)``, in no particular order."""
        queue = iter(cases)
        try:
            for worker in self._workers:
                worker.give(queue)
            while waiting := {worker.answers.fileno(): worker for worker in self._workers if worker.pending}:
                ready, _, _ = select.select(list(waiting), [], [], 0.5)
                for worker in waiting.values():
                    if worker.answers.fileno() in ready:
                        yield from worker.take()
                    elif worker.is_stuck():
                        yield worker.bury("slow", "no answer in time")
                    if not worker.pending:
                        worker.give(queue)
        finally:
            for worker in self._workers:
                worker.stop()


class _Worker:
    def __init__(self, targets: Mapping[str, Target], corpus: Corpus, limits: Limits) -> None:
        self._targets, self._corpus, self._limits = targets, corpus, limits
        self.pending: list[tuple[str, int]] = []
        self._scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._fork()

    def _fork(self) -> None:
        asked, ask = os.pipe()
        answered, answer = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(ask)
            os.close(answered)
            complaints = os.fdopen(os.dup(2), "w")
            status = _OWN_FAULT
            try:
                _work(
                    os.fdopen(asked), os.fdopen(answer, "w"), self._targets, self._corpus, self._scratch, self._limits
                )
                status = 0
            except BaseException:
                traceback.print_exc(file=complaints)
                complaints.flush()
            finally:
                os._exit(status)
        os.close(asked)
        os.close(answer)
        self._questions, self.answers = os.fdopen(ask, "w"), os.fdopen(answered, "rb", buffering=0)
        self._unread, self._since = b"", time.monotonic()

    def give(self, queue: Iterator[tuple[str, int]]) -> None:
        self.pending = [case for _, case in zip(range(_BATCH), queue, strict=False)]
        self._ask()

    def _ask(self) -> None:
        self._since = time.monotonic()
        if self.pending:
            with contextlib.suppress(BrokenPipeError):  # it died between two files; the answers' end tells
                self._questions.write("".join(f"{name}\t{seed}\n" for name, seed in self.pending))
                self._questions.flush()

    def take(self) -> Iterator[Result]:
        content = os.read(self.answers.fileno(), 1 << 16)
        if not content:
            yield self.bury(*self._cause())
            return
        *lines, self._unread = (self._unread + content).split(b"\n")
        for line in lines:
            self.pending.pop(0)
            self._since = time.monotonic()
            yield Result(**json.loads(line))

    def is_stuck(self) -> bool:
        # Twice the time: waiting may be what the file does, being waited for by others is not its fault.
        return time.monotonic() - self._since > 2 * self._limits.seconds + 1

    def _cause(self) -> tuple[str, str]:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return ("slow" if number == signal.SIGXCPU else "signal"), signal.Signals(number).name
        if os.waitstatus_to_exitcode(status) == _OWN_FAULT:
            raise RuntimeError(f"the harness failed at {self.pending[0]}; the worker's traceback is above")
        return "signal", f"exit {os.waitstatus_to_exitcode(status)}"

    def bury(self, outcome: str, detail: str) -> Result:
        """The culprit's result; a new worker takes what it left."""
        self.stop()
        self._scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
        (name, seed), self.pending = self.pending[0], self.pending[1:]
        self._fork()
        self._ask()
        return Result(name, seed, outcome, detail)

    def stop(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        for pipe in (self._questions, self.answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _work(
    questions: IO[str], answers: IO[str], targets: Mapping[str, Target], corpus: Corpus, scratch: Path, limits: Limits
) -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    warnings.simplefilter("ignore")
    os.environ["CONTRAFACT_CACHE"] = str(scratch / "cache")
    os.environ["CONTRAFACT_DATA"] = str(scratch)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # nothing here has to outlive the power
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    # Room to spare above what is judged: an allocation that fails is then a giant's, not the straw's.
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + (limits.memory + 1024) * _MIB, -1))
    gc.freeze()
    witness = Witness(scratch)
    for question in questions:
        name, seed = question.rstrip("\n").split("\t")
        result = read_one(targets[name], int(seed), corpus, scratch, limits, witness)
        answers.write(json.dumps(asdict(result)) + "\n")
        answers.flush()


def read_one(target: Target, seed: int, corpus: Corpus, scratch: Path, limits: Limits, witness: Witness) -> Result:
    """Make one file, read it, and judge what happened."""
    for folder in ("files", "work", "cache"):
        shutil.rmtree(scratch / folder, ignore_errors=True)
    files, work = scratch / "files", scratch / "work"
    work.mkdir()
    os.chdir(work)
    _allow_processor(_MAKING_SECONDS)
    made = lay_out(target, seed, corpus, files)
    before, marks = _listing(files), _listing(work)
    _forget_peak()
    baseline, begin = _status("VmRSS"), time.process_time()
    _allow_processor(limits.seconds)
    witness.seen.clear()
    witness.armed = True
    try:
        target.read(files)
        outcome, detail = "value", ""
    except BaseException as error:
        outcome, detail = _verdict(error, files)
    finally:
        witness.armed = False
    seconds, grown = time.process_time() - begin, (_status("VmHWM") - baseline) / _MIB
    _allow_processor(_MAKING_SECONDS)
    left = sorted(_listing(work) ^ marks | _listing(files) ^ before)
    if outcome == "value" and made.must_be_refused:
        outcome, detail = "believed", "the file was taken at its word"
    if seconds > limits.seconds:
        outcome, detail = "slow", f"{seconds:.1f} s"
    if grown > limits.memory:
        outcome, detail = "memory", f"{grown:.0f} MiB"
    if witness.seen or left:
        outcome, detail = "witness", "; ".join([*dict.fromkeys(witness.seen), *(f"left {name}" for name in left)])
    if outcome not in GOOD or seconds > 1:
        gc.collect()
    return Result(target.name, seed, outcome, detail[:600], made.recipe, round(seconds, 3))


def _verdict(error: BaseException, files: Path) -> tuple[str, str]:
    text = f"{type(error).__name__}: {error}"
    chain: BaseException | None = error
    while chain is not None:  # an allocation that was tried is one that may succeed on a larger machine
        if (isinstance(chain, MemoryError) and not _is_parser(chain)) or "can't allocate memory" in str(chain):
            return "memory", text
        chain = chain.__cause__ or chain.__context__
    if not isinstance(error, ValueError) or not (
        type(error) is ValueError or type(error).__module__.startswith("contrafact.")
    ):
        return "traceback", text + _where(error)
    names = {str(files), *(path.name for path in files.rglob("*") if path.suffix)}
    if not any(name in str(error) for name in names):
        return "nameless", text + _where(error)
    return "refusal", text


def _is_parser(error: MemoryError) -> bool:
    """Python's own parser calls an expression that is nested too deep for it by this name."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == ast.__file__


def _where(error: BaseException) -> str:
    """The innermost line of the library on the way to the error."""
    found, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if f"{os.sep}contrafact{os.sep}" in name:
            found = f" (at {Path(name).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _listing(folder: Path) -> set[str]:
    with contextlib.suppress(OSError):
        return {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return set()


def _allow_processor(seconds: float) -> None:
    """From now on; the kernel ends the process after that."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _status(field: str) -> int:
    """A line of ``/proc/self/status`` in bytes; 0 where there is no such file, which turns its check off."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def summary(results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """Counts of every outcome by reader."""
    table: dict[str, dict[str, Any]] = {}
    for result in results:
        row = table.setdefault(result.reader, dict.fromkeys((*GOOD, *BAD), 0))
        row[result.outcome] += 1
    return dict(sorted(table.items()))
