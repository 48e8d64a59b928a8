"""A training inside a cell that several processes of one machine share, as torchrun starts them.

The process that computes the cell claims it, starts them and waits; of them the first writes the run. A step's images
are divided (:meth:`~contrafact.core.method.Method.share`), so that the cell is the one that a single process would
compute, but for its draws. They save and stop when the one that started them is told to, or is gone.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from contrafact.bench.plan import RUN, Bench, Cell
from contrafact.bench.usage import Usage, Used
from contrafact.core import command
from contrafact.core.claim import AlreadyClaimed
from contrafact.core.files import is_full, read_json, write_json
from contrafact.core.record import RESULT
from contrafact.core.run import Run, find_device

if TYPE_CHECKING:
    from contrafact.core.method import FinishedRun

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What pools of threads read when they are loaded, torch's and those that NumPy and SciPy bring: processes that work
side by side else wait for each other's."""
_JOB = "job.pickle"
_SAVE_SECONDS = 60.0
"""What the processes may take to save themselves."""
_EXCHANGE = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
"""In what a process says whose partner is gone."""


class _Job(NamedTuple):
    """What every process is told; it comes from the process that starts them, in a folder of that one's own."""

    bench: Bench
    key: str
    threads: int
    line: list[str]


def processes_of(bench: Bench, cell: Cell) -> int:
    """How many train a cell: one where its method does not descend along gradients."""
    is_divided = cell.kind == "train" and bool(cell.options["method"].shared_settings())
    return bench.processes if is_divided else 1


def run_of(bench: Bench, cell: Cell) -> Run:
    """The run of a training, begun or to go on with, by whatever number of processes it was begun."""
    folder, change = bench.cells / cell.key / RUN, ("processes", "joint_batch")
    return Run(folder, seed=cell.seed, device=bench.device, resume=True, change=change, joint_batch=True)


def finished(bench: Bench, cell: Cell) -> FinishedRun | None:
    """The run of a training whose process ended before it wrote the cell's record; None while there is none."""
    from contrafact.core.method import load_run

    folder = bench.cells / cell.key / RUN
    return load_run(folder) if (folder / RESULT).exists() else None


def train_divided(bench: Bench, cell: Cell, processes: int) -> list[Used]:
    """Train a cell's method by several processes of this machine.

    Args:
        bench: recipe and folders.
        cell: a training, which this process has claimed.
        processes: how many.

    Returns:
        what each of them used.

    Raises:
        ValueError: fewer GPUs than processes.
        AlreadyClaimed: somebody else works on the run.
        RuntimeError: one of them raised, or was killed; the message says which.
        OSError: the disk of one is full.
        KeyboardInterrupt: this process was told to stop; they are saved.
    """
    _refuse_too_few(bench, processes)
    threads = max(1, torch.get_num_threads() // processes)
    with TemporaryDirectory(prefix="contrafact-") as name:
        folder = Path(name)
        job = _Job(bench, cell.key, threads, command.recorded())
        (folder / _JOB).write_bytes(pickle.dumps(job))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        environment = {**os.environ, **dict.fromkeys(POOLS, str(threads))}
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which tells the others once.
        launcher = subprocess.Popen(
            [*torchrun, "-m", __spec__.name, name], stdin=subprocess.PIPE, env=environment, start_new_session=True
        )
        try:
            launcher.wait()
        finally:
            _stop(launcher)
        said = {rank: _said_by(folder, rank) for rank in range(processes)}
    _raise_what_they_said(said)
    return [Used(words["processor_seconds"], words["peak_memory"]) for words in said.values() if words is not None]


def _refuse_too_few(bench: Bench, processes: int) -> None:
    if find_device(bench.device).type == "cuda" and torch.cuda.device_count() < processes:
        raise ValueError(
            f"{processes} processes train on a GPU each, and this machine has {torch.cuda.device_count()}; ask for "
            "fewer with --processes, or for --device cpu"
        )


def _stop(launcher: subprocess.Popen[bytes]) -> None:
    """Let the processes save what is under way; end them if they do not."""
    assert launcher.stdin is not None
    launcher.stdin.close()
    for end in (launcher.terminate, launcher.kill):
        with suppress(subprocess.TimeoutExpired):
            launcher.wait(_SAVE_SECONDS)
            return
        end()
    launcher.wait()


def _said_by(folder: Path, rank: int) -> dict[str, Any] | None:
    path = folder / f"{rank}.json"
    return read_json(path) if path.exists() else None


def _raise_what_they_said(said: Mapping[int, Mapping[str, Any] | None]) -> None:
    """Raise what went wrong first: that the others lost their partner then, or were stopped, says nothing."""
    words = {rank: told for rank, told in said.items() if told is not None}
    if refused := next((told["claimed"] for told in words.values() if "claimed" in told), None):
        raise AlreadyClaimed(refused)
    errors = {rank: told for rank, told in words.items() if "error" in told}
    own = next((rank for rank, told in errors.items() if not told["lost"]), None)
    if own is not None:
        text = f"process {own} of {len(said)}: {errors[own]['error']}"
        # A full disk is no fault of the cell: the tables stop for it.
        error = OSError(errno.ENOSPC, text) if errors[own]["full"] else RuntimeError(text)
        error.add_note(errors[own]["traceback"])
        raise error
    killed = [str(rank) for rank in said if rank not in words]
    if killed:
        raise RuntimeError(
            f"process {' and '.join(killed)} of {len(said)} was killed; was there enough memory? The next start goes "
            "on from its checkpoint"
        )
    if errors:
        rank = next(iter(errors))
        raise RuntimeError(f"process {rank} of {len(said)} lost the others: {errors[rank]['error']}")
    if any("stopped" in told for told in words.values()):
        raise KeyboardInterrupt


def main(folder: Path) -> int:
    """One of the processes, as torchrun starts it; what it ends with is written into ``folder``."""
    from contrafact.bench.cells import source_of_cell
    from contrafact.bench.runner import prepared

    job: _Job = pickle.loads((folder / _JOB).read_bytes())
    rank = os.environ["RANK"]
    _stop_with_the_one_that_started_us()
    usage = Usage(torch.device("cpu"))
    said: dict[str, Any] = {}
    try:
        with command.running(job.line[1:]):
            (cell,) = prepared(job.bench, {job.key}, job.threads)
            cell.options["method"].fit(source_of_cell(cell), run_of(job.bench, cell))
    except AlreadyClaimed as error:
        said["claimed"] = str(error)
    except KeyboardInterrupt:
        said["stopped"] = True
    except Exception as error:
        is_lost = isinstance(error, torch.distributed.DistError) or any(w in str(error).lower() for w in _EXCHANGE)
        said |= {"error": str(error), "traceback": traceback.format_exc(), "lost": is_lost, "full": is_full(error)}
    used = usage.so_far()
    write_json(folder / f"{rank}.json", {**said, **{key: used[key] for key in ("processor_seconds", "peak_memory")}})
    return 1 if "error" in said else 0


def _stop_with_the_one_that_started_us() -> None:
    """When it closes the pipe that is our input, or is killed, do as at SIGTERM: a training saves itself and ends."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
