"""Running a recipe: every cell once, by one process or several on one folder, scored, beside the published numbers.

A worker takes the first cell that nobody computes and whose needs are finished, until none is left. All that workers
share is the folder: one that is killed frees its cell at once, and another goes on with it from its checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from types import FrameType

import torch

from contrafact.bench.cells import MOST_ATTEMPTS, compute, error_of, is_done, is_left_open, progress_of, record_of
from contrafact.bench.check import asked_rows, check
from contrafact.bench.divided import POOLS
from contrafact.bench.plan import Bench, Cell, plan, spoken
from contrafact.bench.recipe import methods_of
from contrafact.bench.results import collect
from contrafact.core import command
from contrafact.core.allocator import keep_freed_memory
from contrafact.core.claim import AlreadyClaimed
from contrafact.core.files import is_full
from contrafact.core.plugins import admit

_POLL_SECONDS = 0.2
"""Between two looks at what other workers have finished."""
_LOOK_SECONDS = 0.02
"""For each cell that is looked at: a thousand workers on one folder must not drown its file server in questions."""
_TABLE_SECONDS = 10.0
"""Between two tables written while workers are at work."""
_STOP_SECONDS = 60.0
"""What a worker may take to save itself."""

_DISK_FULL = 74
"""Exit code of a worker that cannot write (``EX_IOERR`` of sysexits.h): another would not get further."""


class CellsFailed(ValueError):
    """Cells raised; the others are finished, and in the table."""


def run_bench(bench: Bench, jobs: int = 1, budget: float | None = None, session: str | None = None) -> str:
    """Compute every cell of a recipe that is not finished; ``results.json`` and ``results.md`` follow as they come.

    Args:
        bench: recipe, scale, seeds, folders.
        jobs: worker processes, which share the processor's cores among them.
        budget: seconds after which to stop, with what is under way saved; None for no limit.
        session: a name that calls share of which each is to leave alone what failed for another.

    Returns:
        the table, as markdown.

    Raises:
        ValueError: a name, an option or a source that is refused, before the first cell is computed; or workers die
            and no cell gets further.
        OSError: the disk is full, or the folder cannot be written to.
        CellsFailed: cells raised; all that could be computed without them is.
    """
    cells = check(bench, asked_rows(bench))
    collect(bench)  # where the table cannot be written, say so now
    if jobs == 1 and budget is None:
        work(bench, cells, session, after=_now_and_then(lambda: collect(bench)))
    else:
        _work_together([(bench, cells)], jobs, budget, session or uuid.uuid4().hex, lambda: collect(bench))
    table = collect(bench)
    refuse_failed(bench, cells)
    return table


def run_ahead(benches: Iterable[Bench], jobs: int, budget: float | None, session: str) -> None:
    """Compute the cells of several recipes, one recipe after the other, by workers that are started once for all.

    :func:`run_bench` in the same session then finds them finished, writes each table and says what failed.

    Args:
        benches: recipes; one that is refused is left to :func:`run_bench`, which says why.
        jobs: worker processes.
        budget: seconds after which to stop, with what is under way saved; None for no limit.
        session: the name by which :func:`run_bench` leaves alone what failed here.

    Raises:
        ValueError: workers die and no cell gets further.
        OSError: the disk is full.
    """
    parts = []
    for bench in benches:
        with contextlib.suppress(ValueError):
            parts.append((bench, check(bench, asked_rows(bench))))
    if parts:
        _work_together(parts, jobs, budget, session)


def _now_and_then(write: Callable[[], object]) -> Callable[[], None]:
    """``write``, but not as often as it is called."""
    written = time.monotonic()

    def called() -> None:
        nonlocal written
        if time.monotonic() - written > _TABLE_SECONDS:
            write()
            written = time.monotonic()

    return called


def refuse_failed(bench: Bench, cells: Sequence[Cell], given_up: Mapping[str, str] | None = None) -> None:
    """Say of the cells that raised what the first one said.

    Args:
        bench: recipe and folders.
        cells: what was to be computed.
        given_up: what went wrong with cells outside their computation, by key: their records do not say.

    Raises:
        CellsFailed: there are some.
    """
    given_up = given_up or {}
    failed = {cell: error for cell in cells if (error := error_of(bench, cell, given_up))}
    if failed:
        first, error = next(iter(failed.items()))
        traceback = f"Its traceback is in {bench.cells / first.key / 'cell.json'}"
        if first.key in given_up:
            traceback = "It failed outside its own computation, on whatever machine it was given to"
        raise CellsFailed(
            f"{len(failed)} of {len(cells)} cells of {bench.name} failed (the others are in {bench.out}/results.md); "
            f"the first, row {first.row.name!r} at seed {first.seed}: {error}. "
            f"{traceback}; running the recipe again tries it again"
        )


def work(
    bench: Bench, cells: Sequence[Cell], session: str | None = None, after: Callable[[], object] = lambda: None
) -> None:
    """Compute cells until each is finished, has failed, or waits for one that has; by anybody.

    Args:
        bench: recipe and folders.
        cells: what to compute, the most useful first.
        session: a name that workers who began together share (:func:`~contrafact.bench.cells.compute`).
        after: called behind every cell that was computed here.
    """
    session = session or uuid.uuid4().hex
    finished, lost, said = set[str](), set[str](), set[str]()
    left = list(cells)
    while left:
        before, looks = len(left), 0
        for cell in left:
            if any(need.key in lost for need in cell.needs):
                lost.add(cell.key)
            if cell.key in lost or not all(need.key in finished for need in cell.needs):
                continue
            looks += 1
            try:
                known = record_of(bench, cell)
                is_mine = known is None or (known["state"] != "done" and known["session"] != session)
                if is_mine and cell.key not in said:  # once, however often it is found to be another's
                    said.add(cell.key)
                    _say(bench.name, f"{_spoken(cell)} ({len(left)} cells left)")
                if known is None or is_mine or (known["state"] == "done" and is_left_open(bench, cell)):
                    known = compute(bench, cell, session)
            except AlreadyClaimed:
                continue
            (finished if known["state"] == "done" else lost).add(cell.key)
            if is_mine:
                after()
                break  # a more useful one may have become free
        left = [cell for cell in left if cell.key not in finished and cell.key not in lost]
        if len(left) == before:
            # Others compute what is left, or what it waits for.
            time.sleep(max(_POLL_SECONDS, _LOOK_SECONDS * looks))


def _say(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr)


def _spoken(cell: Cell) -> str:
    """What is done: ``DisCo, seed 0``, ``control of DisCo, seed 0``."""
    what = {"train": "", "score": "scores of ", "read": "encoder for ", "control": "control of ", "judge": "judge for "}
    return f"{what[cell.kind]}{spoken(cell)}"


def _work_together(
    parts: Sequence[tuple[Bench, Sequence[Cell]]],
    jobs: int,
    budget: float | None,
    session: str,
    write: Callable[[], object] = lambda: None,
) -> None:
    """:func:`work` in ``jobs`` processes of their own; one that dies is replaced while cells get further.

    ``write`` is called every now and then. Who is told to end lets the workers save what is under way, and ends them.

    Raises:
        OSError: the disk is full.
        ValueError: workers die and no cell gets further.
    """
    deadline = None if budget is None else time.monotonic() + budget
    context = multiprocessing.get_context("spawn")
    threads = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // jobs))  # no more than the user allows
    name = parts[0][0].name if len(parts) == 1 else "bench"
    asked = [(bench, [cell.key for cell in cells]) for bench, cells in parts]
    number = sum(len(cells) for _, cells in parts)
    deaths, reached = 0, _progress(parts)

    def hire() -> BaseProcess:
        worker = context.Process(target=_work_in_turn, args=(asked, session, threads, command.recorded()))
        with _environment(dict.fromkeys(POOLS, str(threads))):
            worker.start()
        return worker

    workers = list[BaseProcess]()
    wrote = _now_and_then(write)
    # A thread of somebody's program may not say what signals do; there they do what they did.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if is_main else None
    try:
        workers += [hire() for _ in range(min(jobs, number))]
        while any(worker.exitcode != 0 for worker in workers):
            time.sleep(_POLL_SECONDS)
            if deadline is not None and time.monotonic() > deadline:
                _say(name, "the time is up; what is under way is saved, run it again to go on")
                return
            for place, worker in enumerate(workers):
                if worker.exitcode == _DISK_FULL:
                    text = f"no space left on the disk; free some and run the same command again: {_kept(parts)}"
                    raise OSError(errno.ENOSPC, text)
                if worker.exitcode not in (None, 0):
                    progress = _progress(parts)
                    deaths = deaths + 1 if progress == reached else 1
                    reached = progress
                    # Each worker may be at a cell that kills it, until that one counts as failed.
                    if deaths > MOST_ATTEMPTS * len(workers):
                        raise ValueError(
                            f"{name}: {deaths} workers died one after the other (the last with exit "
                            f"{worker.exitcode}), and no cell got further; what they said stands above. Once that is "
                            f"mended, run the same command again: {_kept(parts)}"
                        )
                    _say(name, f"a worker was killed (exit {worker.exitcode}); another begins")
                    workers[place] = hire()
            wrote()
    finally:
        _stop(workers)
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _progress(parts: Sequence[tuple[Bench, Sequence[Cell]]]) -> list[object]:
    return [progress_of(bench, cell) for bench, cells in parts for cell in cells]


def _kept(parts: Sequence[tuple[Bench, Sequence[Cell]]]) -> str:
    """What a command that cannot go on leaves to the next one."""
    cells = {cell.key: is_done(bench, cell) for bench, cells in parts for cell in cells}
    return (
        f"{sum(cells.values())} of {len(cells)} cells are finished and kept, and trainings that were under way go on "
        "from their last checkpoints"
    )


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Variables that processes begun meanwhile have otherwise."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(workers: Iterable[BaseProcess]) -> None:
    """Let workers save what is under way; end those that do not."""
    alive = [worker for worker in workers if worker.is_alive()]
    for worker in alive:
        worker.terminate()
    until = time.monotonic() + _STOP_SECONDS
    for worker in alive:
        worker.join(max(0.0, until - time.monotonic()))
        if worker.is_alive():
            worker.kill()


def _work_in_turn(
    parts: Sequence[tuple[Bench, Sequence[str]]], session: str, threads: int, line: Sequence[str]
) -> None:
    """:func:`work_by_keys` of one recipe after the other; who finds nothing left to do there goes on to the next."""
    for bench, keys in parts:
        try:
            if not work_by_keys(bench, keys, session, threads, line):
                return
        except OSError as error:
            if not is_full(error):
                raise
            _say(bench.name, str(error.strerror) + (f": {error.filename}" if error.filename else ""))
            sys.exit(_DISK_FULL)


def work_by_keys(
    bench: Bench, keys: Sequence[str], session: str, threads: int, line: Sequence[str], seconds: float | None = None
) -> bool:
    """:func:`work` in a process that was started for it.

    Args:
        bench: recipe and folders.
        keys: of the cells.
        session: what the workers that began together share.
        threads: of torch.
        line: the command that asked for it.
        seconds: when to save what is under way and stop.

    Returns:
        whether all is done, rather than stopped.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if seconds is not None:  # training loops save at SIGTERM
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with command.running(line[1:]):
            work(bench, prepared(bench, set(keys), threads), session)
    except KeyboardInterrupt:
        return False  # saved; who stopped us says so
    return True


def prepared(bench: Bench, keys: set[str], threads: int) -> list[Cell]:
    """The cells of these keys, as the recipe's own plan makes them again, in a process that is ready for them.

    Raises:
        ValueError: the plan has other cells here.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    for method in methods_of(bench.recipe):
        admit(method)
    cells = [cell for cell in plan(bench, {row.name for row in bench.recipe.rows}) if cell.key in keys]
    if len(cells) < len(keys):
        raise ValueError(
            f"{len(keys) - len(cells)} of {len(keys)} cells of {bench.name} are others here than where they were "
            "planned: the versions of contrafact, or the files that the recipe names, differ"
        )
    return cells


def run_cell(bench: Bench, key: str) -> dict[str, object]:
    """Compute one cell by its key, and first what it needs.

    Returns:
        its record.

    Raises:
        ValueError: no cell of the recipe has this key.
    """
    wide = replace(bench, rows=())
    cells = plan(wide, {row.name for row in bench.recipe.rows})
    cell = next((cell for cell in cells if cell.key == key), None)
    if cell is None:
        raise ValueError(f"{bench.name} has no cell {key} at these options; --plan lists its {len(cells)} cells")
    wanted = {need.key for need in cell.with_needs()}
    work(bench, [other for other in cells if other.key in wanted])
    record = record_of(bench, cell)
    if record is None:
        raise ValueError(f"cell {key} waits for one that failed; see {bench.cells}")
    return record
