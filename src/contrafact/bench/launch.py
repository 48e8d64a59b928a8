"""Computing a recipe's cells on a cluster: workers that share a folder, started by Slurm or by Ray.

Nothing here decides who computes what; that is the folder's doing (:mod:`contrafact.bench.runner`). Slurm starts
workers; Ray gets a task for each cell whose needs are finished, so that each asks for its own processors and GPUs.
Of a training that several processes share, each has as many.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from contrafact.bench.cells import compute, is_done, record_of
from contrafact.bench.check import asked_rows, check
from contrafact.bench.divided import processes_of
from contrafact.bench.plan import RUN, Bench, Cell
from contrafact.bench.results import collect
from contrafact.bench.runner import prepared, refuse_failed, work_by_keys
from contrafact.core import command
from contrafact.core.claim import AlreadyClaimed, free_from_gone_machines

_RETRIES = 3
_POLL_SECONDS = 0.5
_TABLE_SECONDS = 10.0
_FIRST_WAIT_SECONDS, _MOST_WAIT_SECONDS = 1.0, 30.0
"""Before a cell that somebody else holds is asked for again; twice as long each time."""


@dataclass(frozen=True)
class Cluster:
    """Where cells are computed and what each may use.

    Attributes:
        kind: ``ray`` or ``slurm``.
        address: of a Ray cluster that runs (``auto``, ``host:6379``), or the submitit executor (``local`` for processes
            of this machine); empty for the usual one.
        workers: most cells at once.
        cpus: processors of a cell; of a training, of each of its processes.
        gpus: GPUs of a cell, or a part of one; of a training, of each of its processes. A bench that computes on
            processors alone asks for none.
        minutes: time limit of a Slurm job.
        options: further options of a Slurm job by their names there, such as ``partition``.
    """

    kind: str
    address: str = ""
    workers: int = 1
    cpus: int = 1
    gpus: float = 0.0
    minutes: int = 24 * 60
    options: Mapping[str, str] = field(default_factory=dict)

    def needs(self, processes: int) -> tuple[int, float]:
        """Processors and GPUs of what so many processes compute together.

        Raises:
            ValueError: a part of a GPU for each of several processes, which must have one each.

        >>> Cluster("ray", cpus=4, gpus=1).needs(2)
        (8, 2)
        """
        if processes > 1 and self.gpus % 1:
            raise ValueError(
                f"each of {processes} processes trains on a GPU of its own, so --gpus must be a whole number; got "
                f"{self.gpus:g}"
            )
        return self.cpus * processes, self.gpus * processes


def run_on(bench: Bench, cluster: Cluster) -> str:
    """Compute a recipe's cells on a cluster that sees the bench's folders under the same names.

    Returns:
        the table as far as it is finished, as markdown: with Ray when all is done, with Slurm at once.

    Raises:
        ValueError: what :func:`~contrafact.bench.runner.run_bench` refuses, or a package that is not installed.
        CellsFailed: cells raised, or Ray gave their tasks up.
    """
    if bench.device.startswith("cpu"):
        cluster = replace(cluster, gpus=0.0)  # else every kind computes on it: scores do not train, but encode and draw
    if cluster.kind == "slurm" and cluster.gpus % 1:
        raise ValueError(f"Slurm gives whole GPUs; --gpus must be a whole number there, got {cluster.gpus:g}")
    cluster.needs(bench.processes)
    cells = check(bench, asked_rows(bench))
    collect(bench)  # where the table cannot be written, say so now
    if cluster.kind == "slurm":
        _submit(bench, cells, cluster)
        return collect(bench)
    given_up = _compute_by_ray(bench, cells, cluster)
    table = collect(bench, given_up)
    refuse_failed(bench, cells, given_up)
    return table


def _submit(bench: Bench, cells: Sequence[Cell], cluster: Cluster) -> None:
    """Hand workers to Slurm and leave; each computes until nothing is left or its time is nearly up."""
    try:
        import submitit
    except ImportError as error:
        raise ValueError("--on slurm needs submitit: pip install 'contrafact[slurm]'") from error
    logs = bench.out / "slurm"
    executor = submitit.AutoExecutor(folder=logs, cluster=cluster.address or "slurm")
    cpus, gpus = cluster.needs(max((processes_of(bench, cell) for cell in cells), default=1))
    shared = {"timeout_min": cluster.minutes, "cpus_per_task": cpus, "gpus_per_node": int(gpus)}
    executor.update_parameters(
        name=f"contrafact-{bench.name}", **shared, **{f"slurm_{name}": value for name, value in cluster.options.items()}
    )
    keys, session, seconds = [cell.key for cell in cells], uuid.uuid4().hex, 60.0 * cluster.minutes
    line = command.recorded()
    with executor.batch():
        submitted = [
            executor.submit(work_by_keys, bench, keys, session, cpus, line, 0.95 * seconds)
            for _ in range(min(cluster.workers, len(cells)))
        ]
    ids = ", ".join(str(job.job_id) for job in submitted)
    print(f"{bench.name}: submitted {ids}; their output is in {logs}; --table collects what is done", file=sys.stderr)


def _compute_by_ray(bench: Bench, cells: Sequence[Cell], cluster: Cluster) -> dict[str, str]:
    """A task for each cell, as soon as its needs are finished; one whose worker or node dies is given to another.

    Returns:
        why Ray gave a cell's task up, by the cell's key: its record says nothing of that.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("--on ray needs ray: pip install 'contrafact[ray]'") from error
    mine = not ray.is_initialized()
    if mine:
        ray.init(address=cluster.address or None, log_to_driver=False, include_dashboard=False, logging_level="warning")
    remote = ray.remote(max_retries=_RETRIES)(compute_by_key)
    session, line, here = uuid.uuid4().hex, command.recorded(), str(Path.cwd())
    finished = {cell.key for cell in cells if is_done(bench, cell)}
    lost, given_up, held = set[str](), dict[str, str](), dict[str, _Hold]()
    tasks: dict[Any, Cell] = {}
    written = time.monotonic()
    try:
        while True:
            finished |= {cell.key for cell in cells if cell.key in held and is_done(bench, cell)}
            held = {key: hold for key, hold in held.items() if key not in finished}
            given = finished | lost | {cell.key for cell in tasks.values()}
            for cell in _ready(cells, given, finished, held)[: cluster.workers - len(tasks)]:
                cpus, gpus = cluster.needs(processes_of(bench, cell))
                task = remote.options(num_cpus=cpus, num_gpus=gpus)
                tasks[task.remote(bench, cell.key, session, cpus, line, here)] = cell
            if not tasks and not held:
                return given_up
            if not tasks:
                time.sleep(_POLL_SECONDS)
            done, _ = ray.wait(list(tasks), timeout=_POLL_SECONDS) if tasks else ([], [])
            for task in done:
                cell = tasks.pop(task)
                state, cause = _end_of(ray, task, bench, cell)
                if cause:
                    given_up[cell.key] = cause
                if state != "claimed" or cell.key not in held:  # once, however often it is found to be another's
                    left = len(cells) - len(finished)
                    print(f"{bench.name}: {cell.key} {cause or state}; {left} cells to go", file=sys.stderr)
                before = held.pop(cell.key, None)
                if state == "claimed":  # by another driver, or by a machine that is gone
                    alive = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
                    if not _free(bench, cell, alive):
                        held[cell.key] = _Hold.after(before)
                else:
                    (finished if state == "done" else lost).add(cell.key)
            if time.monotonic() - written > _TABLE_SECONDS:
                collect(bench, given_up)
                written = time.monotonic()
    finally:
        for task in tasks:
            ray.cancel(task)
        if mine:
            ray.shutdown()


class _Hold(NamedTuple):
    """A cell that somebody else holds: when to ask for it again, and how long that is from when it was asked."""

    until: float
    seconds: float

    @classmethod
    def after(cls, before: _Hold | None) -> _Hold:
        """Twice as long as the last one."""
        seconds = _FIRST_WAIT_SECONDS if before is None else min(2 * before.seconds, _MOST_WAIT_SECONDS)
        return cls(time.monotonic() + seconds, seconds)


def _ready(
    cells: Sequence[Cell], given: Collection[str], finished: Collection[str], held: Mapping[str, _Hold]
) -> list[Cell]:
    """What may be given away, the most useful first; what others hold last, and only when it is time to ask again."""
    now = time.monotonic()
    ready = [cell for cell in cells if cell.key not in given and all(need.key in finished for need in cell.needs)]
    free = [cell for cell in ready if cell.key not in held]
    due = [cell for cell in ready if cell.key in held and held[cell.key].until <= now]
    return free + sorted(due, key=lambda cell: held[cell.key].until)


def _end_of(ray: Any, task: Any, bench: Bench, cell: Cell) -> tuple[str, str]:
    """What became of a task, and why Ray gave it up: it raised outside the cell's computation, or lost its worker."""
    try:
        return str(ray.get(task)), ""
    except ray.exceptions.RayError as error:
        if is_done(bench, cell):
            return "done", ""
        # A task's traceback ends with the cause; what Ray itself says begins with it, and explains.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return "failed", lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]


def _free(bench: Bench, cell: Cell, alive: set[str]) -> bool:
    """Take a cell, and the run that it works on, from a machine that is no longer there; whether that held it."""
    places = {bench.cells / cell.key, bench.cells / cell.trained.key / RUN}
    return sum(free_from_gone_machines(place, alive) for place in places) > 0


def compute_by_key(bench: Bench, key: str, session: str, threads: int, line: Sequence[str], folder: str) -> str:
    """One cell, in a process that somebody else started.

    Args:
        bench: recipe and folders, below ``folder``.
        key: the cell's.
        session: what the workers that began together share.
        threads: of torch.
        line: the command that asked for it.
        folder: where that command ran.

    Returns:
        ``done``, ``failed`` or, where another process computes it, ``claimed``.
    """
    os.chdir(folder)
    (cell,) = prepared(bench, {key}, threads)
    known = record_of(bench, cell)
    if known is not None and known["state"] == "failed" and known["session"] == session:
        return "failed"
    try:
        with command.running(line[1:]):
            return str(compute(bench, cell, session)["state"])
    except AlreadyClaimed:
        return "claimed"
