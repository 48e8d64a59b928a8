"""The run folder and what every training loop shares: device, seed, progress, log, checkpoint, resume, NaN guard.

A run folder holds ``config.json`` (what was asked), ``labels.csv`` (annotations it may use, if any),
``log.jsonl`` (what happened), ``checkpoint.pt`` (until finished),
``encoder|directions|generator.safetensors`` and ``result.json`` (what came out), then ``scores.jsonl``, ``figures/``
and ``report.html``.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core import command, going_on
from contrafact.core.artefact import warn_of_unbuildable
from contrafact.core.averaging import backward_and_average
from contrafact.core.checkpoint import load_state, save_state
from contrafact.core.claim import AlreadyClaimed, claim
from contrafact.core.device import Precision, find_precision
from contrafact.core.device import environment as environment
from contrafact.core.device import find_device as find_device
from contrafact.core.files import append_text, read_json_lines, sync_file, write_json, write_text
from contrafact.core.foreign import check_fields
from contrafact.core.processes import Processes
from contrafact.core.progress import Progress
from contrafact.core.ranges import Count, Seed, Steps, Weight, check_value
from contrafact.core.record import CHECKPOINT as CHECKPOINT  # who asks for a run's files asks here
from contrafact.core.record import CONFIG as CONFIG
from contrafact.core.record import LABELS as LABELS
from contrafact.core.record import LOG as LOG
from contrafact.core.record import RESULT as RESULT
from contrafact.core.record import SCORES as SCORES
from contrafact.core.record import Record, begin_from_weights


class Savable(Protocol):
    """Anything that writes itself to a folder and says what it wrote."""

    def save(self, folder: Path) -> list[str]:
        """Write to ``folder``; names of what was written."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C (or SIGTERM) arrived: the run saved itself; the message says how to go on."""


class Run:
    """One run folder and the machinery a training loop needs.

    Args:
        folder: run folder; made if missing.
        seed: seed of every random stream of the run.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``bfloat16`` runs convolutions and products in bfloat16 where that is safe (weights and losses stay
            float32), ``float32`` does not, ``auto`` uses bfloat16 where the hardware computes in it.
        resume: go on from the folder's checkpoint instead of refusing a folder that holds a run.
        save_every: seconds between checkpoints; 0 saves at every ``log_every`` steps.
        log_every: steps averaged in one line of the log; checkpoints fall on multiples of it.
        progress: show a progress bar on stderr.
        tensorboard: also write scalars for TensorBoard into the folder.
        keep_checkpoint: keep the last checkpoint of the finished run, so that it can train on with more steps.
        change: names of hyperparameters, ``precision`` or ``processes`` that may differ from what a resumed run was
            started with.
        joint_batch: of several processes, each takes its share of a step's images, so that a step sees as many as one
            process would take; else each takes all that the settings say.
        begin_from: folder of a finished run whose weights to begin with, where names and shapes fit.

    Raises:
        ValueError: an argument out of range, or a device this machine does not have.

    >>> import contrafact as cf
    >>> run = cf.Run("runs/own", seed=3, device="cpu", progress=False)
    >>> with run.seeded_init("network"):
    ...     network = nn.Linear(2, 1)
    >>> optimizer, rng = torch.optim.Adam(network.parameters()), run.rng("points")
    >>> state = {"network": network, "optimizer": optimizer, "points": rng}  # all that the loop changes
    >>> with run.claimed():
    ...     run.start({"method": "own"})
    ...     for step in run.steps(40, state):
    ...         with run.autocast():
    ...             loss = network(torch.randn(8, 2, generator=rng)).square().mean()
    ...         optimizer.zero_grad()
    ...         run.backward(loss, network.parameters())
    ...         optimizer.step()
    ...         run.log(loss=run.average(loss))
    >>> [line["step"] for line in read_log("runs/own/log.jsonl")]  # a line for every 20 steps
    [20, 40]
    >>> [int(cf.Run(f"runs/{seed}", seed=seed).numpy_rng("order").integers(100)) for seed in (3, 3, 4)]
    [61, 61, 94]
    >>> run.rank, run.world_size, run.is_main  # one process of one
    (0, 1, True)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "auto",
        resume: bool = False,
        save_every: float = 60.0,
        log_every: int = 20,
        progress: bool = True,
        tensorboard: bool = False,
        keep_checkpoint: bool = False,
        change: Sequence[str] = (),
        begin_from: str | Path | None = None,
        joint_batch: bool = False,
    ) -> None:
        if not str(folder).strip():
            raise ValueError("the run folder's name is empty; give one, such as --out runs/first")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; a run needs a folder")
        self.seed, self.resume = check_value("seed", seed, Seed), resume
        self.save_every = check_value("save_every", save_every, Weight)
        self.log_every = check_value("log_every", log_every, Count)
        self.device = find_device(device)
        self.precision = find_precision(precision, self.device)
        self._show_progress, self._tensorboard, self._keep_checkpoint = progress, tensorboard, keep_checkpoint
        if change and not resume:
            raise ValueError("--change is for a run that goes on; give --resume too, or the options themselves")
        self._begin_from = None if begin_from is None else Path(begin_from)
        self._has_begun = False
        self.joint_batch = joint_batch
        self._record = Record(self.folder, tuple(name.replace("-", "_") for name in change), self._begin_from)
        self.last_line: dict[str, float] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._processes: Processes | None = None
        self._stop_signal: int | None = None

    # -- identity -------------------------------------------------------------------------------------------------

    @property
    def processes(self) -> Processes:
        """The processes training together: one unless started by torchrun."""
        if self._processes is None:
            self._processes = Processes(self.device)
            self.device = self._processes.device
        return self._processes

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.processes.index

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self.processes.count

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.processes.is_main

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Within the block no other process writes to the folder; of several that train together, one claims it.

        Raises:
            AlreadyClaimed: another process holds it; the message says which.
        """
        with ExitStack() as stack:
            refusal: ValueError | OSError | None = None
            if self.is_main:
                try:
                    stack.enter_context(claim(self.folder))
                except (AlreadyClaimed, OSError) as error:
                    refusal = error
            if self.world_size > 1:  # the others must not wait for one that is refused
                said = self.processes.first_of(None if refusal is None else str(refusal))
                refusal = AlreadyClaimed(said) if said is not None and refusal is None else refusal
            if refusal is not None:
                raise refusal
            yield

    def start(
        self, config: Mapping[str, Any], grows: str | None = None, older: Mapping[str, Any] | None = None
    ) -> None:
        """Begin: write ``config.json``, or, when resuming, check that it holds the same configuration.

        Args:
            config: everything the result depends on, JSON-ready.
            grows: the hyperparameter that may be larger than it was, to train on: how many steps the last stage has.
            older: values of hyperparameters that runs of older versions do not name.

        Raises:
            ValueError: the folder holds a run and ``resume`` is off, it holds one with another configuration, or it is
                finished and what is asked for would need a checkpoint that was not kept.
        """
        full = {**config, "seed": self.seed, "precision": self.precision, "processes": self.world_size}
        if self.joint_batch and self.world_size > 1:
            full["joint_batch"] = True
        self._record.start(full, environment(self.device), self.resume, grows, self.processes, older or {})

    # -- randomness and precision ---------------------------------------------------------------------------------

    def rng(self, name: str, shared: bool = False) -> torch.Generator:
        """A random stream of its own: depends on the run's seed, ``name`` and (unless ``shared``) the process.

        Streams live on the CPU, so that a seed means the same draws on every device.
        """
        rank = 0 if shared else self.rank
        entropy = np.random.SeedSequence([self.seed, rank, *name.encode()]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(entropy >> np.uint64(1)))

    def numpy_rng(self, name: str, shared: bool = False) -> np.random.Generator:
        """As :meth:`rng`, for numpy (datasets draw with it)."""
        rank = 0 if shared else self.rank
        return np.random.default_rng([self.seed, rank, *name.encode()])

    @contextmanager
    def seeded_init(self, name: str) -> Iterator[None]:
        """Within the block torch's global generator is seeded from the run, so that modules made there are the same
        in every process and every repetition; afterwards it is as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.rng(name, shared=True).initial_seed())
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision for a forward pass: bfloat16 where safe, nothing in float32 runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    # -- several processes ----------------------------------------------------------------------------------------

    def backward(self, loss: Tensor, parameters: Iterable[nn.Parameter]) -> None:
        """``loss.backward()``, after which the parameters' gradients are the mean over the processes.

        With several, gradients are exchanged while those of earlier layers are still computed. Gradients of other
        parameters stay this process's own.
        """
        if self.world_size == 1:
            loss.backward()
        else:
            backward_and_average(loss, parameters, self.processes)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean gradient over the processes of gradients that are there already; :meth:`backward` does both at once.

        >>> layer = torch.nn.Linear(2, 1)
        >>> layer(torch.ones(3, 2)).sum().backward()
        >>> Run("runs/own").average_gradients(layer.parameters())
        >>> layer.weight.grad.tolist()  # one process: as they were
        [[3.0, 3.0]]
        """
        if self.world_size == 1:
            return
        with_gradient = [p for p in parameters if p.requires_grad]
        flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in with_gradient])
        mean = self.processes.mean(flat)
        for p, gradient in zip(with_gradient, mean.split([p.numel() for p in with_gradient]), strict=True):
            p.grad = gradient.view_as(p).clone()

    def average(self, value: Tensor) -> Tensor:
        """Mean of a tensor over the processes, for what they must agree on besides gradients."""
        if self.world_size == 1:
            return value
        return self.processes.mean(value)

    # -- the loop -------------------------------------------------------------------------------------------------

    def steps(self, total: int, state: Mapping[str, Any], what: str = "training") -> Iterator[int]:
        """Step numbers from the checkpoint's (0 when starting) to ``total - 1``, with everything a loop shares.

        Draws the progress bar, flushes the log, saves checkpoints, and on Ctrl-C or SIGTERM saves and raises.

        Args:
            total: steps of a whole run.
            state: everything the loop changes, by name: modules, optimisers, schedulers, random generators. A resumed
                run continues bit by bit as if it had not stopped.
            what: label of the progress bar.

        Raises:
            RunInterrupted: after saving, on Ctrl-C or SIGTERM.
            FloatingPointError: a logged value became NaN or infinite; the last good checkpoint stays.
        """
        check_value("steps", total, Steps)
        warn_of_unbuildable(state.values())
        checkpoint = self.folder / CHECKPOINT
        fresh, first = going_on.rates_of(state), 0
        if self.resume and checkpoint.exists():
            processes = (self.rank, self.world_size, "processes" in self._record.consents)
            first = load_state(checkpoint, state, *processes, checksum_required=self._record.has_checksums)
        elif self._begin_from is not None:
            begin_from_weights(state, self._begin_from, self.is_main)
        self._has_begun = True
        if self._record.note_changes(first, self.is_main):
            going_on.put_rates(state, fresh)
        self._truncate_log(first)
        last_save = time.monotonic()
        writer = self._tensorboard_writer()
        with self._catch_signals(), self.progress(what, total, first) as bar:
            for step in range(first, total):
                yield step
                bar.advance()
                done = step + 1
                if done % self.log_every and done != total:
                    continue
                line = self.last_line = self._flush_log(done)
                bar.show(line)
                if writer is not None:
                    for key, value in line.items():
                        writer.add_scalar(key, value, done)
                stop, save = self._agree(self._stop_signal is not None, time.monotonic() - last_save >= self.save_every)
                if (stop or save) if done != total else self._keep_checkpoint:
                    sync_file(self.folder / LOG)  # a checkpoint never knows of more steps than the log
                    save_state(checkpoint, state, done, self.processes)
                    last_save = time.monotonic()
                if stop and done != total:
                    raise RunInterrupted(f"stopped after step {done} of {total}; {command.how_to_go_on()}")

    def progress(self, what: str, total: int, first: int = 0) -> Progress:
        """A progress bar for work outside :meth:`steps`, where this run shows any.

        >>> with Run("runs/own", progress=False).progress("sampling", 512) as bar:
        ...     bar.advance(128)
        """
        return Progress(what, total, first, self._show_progress and self.is_main)

    def log(self, **scalars: Tensor | float) -> None:
        """Note scalars of this step; lines of the log are means over ``log_every`` steps."""
        self._pending.append({k: torch.as_tensor(v).detach().float() for k, v in scalars.items()})

    def finish(self, artefacts: Savable, seconds: float) -> None:
        """Write the artefacts, mark the run finished, and drop its checkpoint unless it is to be kept."""
        if self._begin_from is not None and not self._has_begun:
            (self.folder / CONFIG).unlink(missing_ok=True)
            raise ValueError("this method does not train in steps, so it cannot begin from weights; leave out --from")
        if self.is_main:
            sync_file(self.folder / LOG)  # a finished run knows of all its steps, as a checkpoint does of its own
            written = artefacts.save(self.folder)
            kept = [CHECKPOINT] if self._keep_checkpoint and (self.folder / CHECKPOINT).exists() else []
            facts = {"artefacts": written, "seconds": round(seconds, 1), **({"keeps": kept} if kept else {})}
            write_json(self.folder / RESULT, facts)
            if not kept:
                (self.folder / CHECKPOINT).unlink(missing_ok=True)
        self.processes.wait()

    def _flush_log(self, done: int) -> dict[str, float]:
        # Values stay on the device until here: one read per line, not one per step.
        keys = dict.fromkeys(key for scalars in self._pending for key in scalars)
        line = {}
        for key in keys:
            values = torch.stack([scalars[key] for scalars in self._pending if key in scalars])
            line[key] = float(values.mean())
        self._pending.clear()
        bad = [key for key, value in line.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(f"{', '.join(bad)} became NaN or infinite before step {done}; {self._remedy()}")
        if line and self.is_main:
            append_text(self.folder / LOG, json.dumps({"step": done, **line}) + "\n")
        return line

    def _remedy(self) -> str:
        """What to do about a loss that is no number."""
        rates = [name for name in self._record.hyperparameters if name.endswith("rate")]
        rate = next((name for name in rates if "learning_rate" in name), (*rates, "learning_rate")[0])
        if not (self.folder / CHECKPOINT).exists():
            option = rate.replace("_", "-")
            return f"nothing was saved yet: start again with a lower --{option}, or with --precision float32"
        if command.name() not in ("", "fit"):
            return "the last checkpoint is intact, but the same settings are likely to end there again"
        return (
            f"the last checkpoint is intact: go on from it with --resume --change {rate}=LOWER, or with --resume "
            "--change precision=float32"
        )

    def _truncate_log(self, step: int) -> None:
        path = self.folder / LOG
        if self.is_main and path.exists():
            kept = [line for line in read_log(path) if line["step"] <= step]
            write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def _agree(self, *flags: bool) -> list[bool]:
        """Each flag, true if it is true in any process: all must save and stop at the same step."""
        if self.world_size == 1:
            return list(flags)
        votes = self.processes.total(torch.tensor([float(f) for f in flags]))
        return [bool(v > 0) for v in votes]

    @contextmanager
    def _catch_signals(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            if self._stop_signal is not None:  # the second Ctrl-C means it: stop without saving
                raise KeyboardInterrupt
            self._stop_signal = number
            print("\nstopping: saving the run first (again to stop at once)", file=sys.stderr)

        previous = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                previous[number] = signal.signal(number, note)
        except ValueError:
            previous = {}  # not the main thread: signals are somebody else's business
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._stop_signal = None

    def _tensorboard_writer(self) -> Any:
        if not (self._tensorboard and self.is_main):
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError(
                "--tensorboard needs the tensorboard package: pip install 'contrafact[tensorboard]'"
            ) from error
        return SummaryWriter(str(self.folder))


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Lines of a ``log.jsonl``; a last line cut short by a crash is left out.

    Raises:
        ValueError: a line other than the last is damaged, or one holds anything but numbers and the ``step``.
    """
    lines = []
    for number, line in read_json_lines(path, "the log is damaged", last_may_be_cut=True):
        where = f"{path}, line {number}"
        keys = line if isinstance(line, dict) else {}
        lines.append(check_fields(line, dict.fromkeys(("step", *keys), int | float), where, "the log is damaged"))
    return lines
