"""Computing a cell in its folder, once: whoever comes first claims it, and writes down what came out or went wrong.

A cell's folder holds ``cell.json``: what it is, how it was computed and its numbers, or the error. That of a training
also holds its run, in which the control and the regressed encoder lie.
"""

from __future__ import annotations

import functools
import json
import shlex
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contrafact.bench.divided import finished, processes_of, run_of, train_divided
from contrafact.bench.plan import RUN, Bench, Cell, places_of
from contrafact.bench.recipe import LOG, Column
from contrafact.bench.usage import Usage, Used
from contrafact.core import command, own_generator
from contrafact.core.claim import CLAIM, AlreadyClaimed, claim
from contrafact.core.dataset import ImageDataset
from contrafact.core.files import is_full, read_json, sync_folder, write_json
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun, load_run
from contrafact.core.run import CHECKPOINT, Run, environment, find_device
from contrafact.data.load import load_dataset
from contrafact.evaluation.classes import IMAGE_METRICS
from contrafact.evaluation.control import fit_control, fit_regression
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.result import info_of
from contrafact.evaluation.run import CONTROL, JUDGED, LEAKAGE, REGRESSION, Who, evaluate_run
from contrafact.evaluation.sampling import dataset_of
from contrafact.evaluation.scores import read_scores
from contrafact.evaluation.translation import TRANSLATIONS
from contrafact.generators.checkpoints import load_generator
from contrafact.methods import CATALOG
from contrafact.nn.factor_codes import residual_dim_of

RECORD = "cell.json"
BEGUN = "begun.json"
MOST_ATTEMPTS = 3
"""A cell whose process was killed so often, and got no further, is not tried again: it may be what kills them."""

Result = dict[str, Any]


def record_of(bench: Bench, cell: Cell) -> dict[str, Any] | None:
    """What came out of a cell; None while nobody has finished it."""
    path = bench.cells / cell.key / RECORD
    if not path.exists():
        return None
    record = read_json(path)
    if not isinstance(record, dict) or record.get("key") != cell.key or record.get("state") not in ("done", "failed"):
        raise ValueError(f"{path} is no record of this cell; delete it to compute the cell again")
    return record


def is_done(bench: Bench, cell: Cell) -> bool:
    """Whether the cell's numbers are there."""
    record = record_of(bench, cell)
    return record is not None and record["state"] == "done"


def error_of(bench: Bench, cell: Cell, given_up: Mapping[str, str]) -> str:
    """What went wrong with a cell; empty where nothing has.

    Args:
        bench: recipe and folders.
        cell: which.
        given_up: what went wrong outside of cells' computation, by key: their records do not say.
    """
    record = record_of(bench, cell)
    if record is not None and record["state"] == "done":
        return ""
    if record is None or cell.key in given_up:
        return given_up.get(cell.key, "")
    return str(record["error"]) or "it raised without a word"


def is_left_open(bench: Bench, cell: Cell) -> bool:
    """Whether a finished cell's folder still says that it is under way: a power cut took the last deletions back."""
    folders = (bench.cells / cell.key, bench.cells / cell.key / RUN)
    return any((folder / name).exists() for folder in folders for name in (BEGUN, CLAIM))


def compute(bench: Bench, cell: Cell, session: str = "") -> dict[str, Any]:
    """The cell's record, computed unless it is finished; one that failed is tried again.

    An exception is written down, and does not leave: other cells go on. An interruption and a full disk leave, and the
    cell goes on from its checkpoint the next time.

    Args:
        bench: recipe and folders.
        cell: what to compute.
        session: a name that workers who began together share: what failed for one of them fails for all.

    Raises:
        AlreadyClaimed: another process computes it, or works on its run.
        OSError: the folder cannot be written to, or the disk is full.
    """
    folder = bench.cells / cell.key
    with claim(folder):
        record = record_of(bench, cell)
        if record is not None and record["state"] == "done":
            _leave(folder, 0)
            if (folder / RUN / CLAIM).exists():
                with claim(folder / RUN):
                    pass
            return record
        attempts = _begin(folder)
        usage = Usage(find_device(bench.device))
        facts = {
            "key": cell.key,
            "kind": cell.kind,
            "recipe": bench.name,
            "scale": bench.scale,
            "row": cell.row.name,
            "method": cell.method,
            "seed": cell.seed,
            "generator": cell.generator,
            "session": session,
            "config": cell.facts,
            "command": shlex.join(command.recorded()),
            "environment": environment(usage.device),
        }
        outcome: dict[str, Any]
        try:
            if attempts > MOST_ATTEMPTS:
                raise RuntimeError(
                    f"its process was killed {MOST_ATTEMPTS} times and got no further; was there enough memory?"
                )
            result = _COMPUTE[cell.kind](bench, cell)
            for used in result.pop("used", ()):
                usage.add(used)
            outcome = {"state": "done", "result": result}
        except AlreadyClaimed:  # the run, by somebody who works on it alone, or by a machine that is gone
            _leave(folder, attempts - 1)
            raise
        except Exception as error:
            if is_full(error):
                _leave(folder, attempts - 1)
                raise
            outcome = {"state": "failed", "error": str(error), "traceback": traceback.format_exc()}
        except KeyboardInterrupt:
            _leave(folder, attempts - 1)
            raise
        record = {**facts, **outcome, **usage.so_far()}
        if (bench.cells / cell.trained.key / RUN).is_dir():
            sync_folder(bench.cells / cell.trained.key / RUN)  # deleted checkpoints too, before this is called done
        write_json(folder / RECORD, json.loads(json.dumps(record, default=str)))
        _leave(folder, 0)
        return record


def _begin(folder: Path) -> int:
    """Note that the cell is begun; how often it has been, without an end and without getting further.

    Where machines come and go, a long training is killed many times, and still ends if it has a newer checkpoint each
    time.
    """
    reached = _reached(folder)
    try:
        before = read_json(folder / BEGUN)
        attempts = int(before["attempts"]) + 1 if before.get("reached") == reached else 1
    except (ValueError, KeyError, TypeError, AttributeError):
        attempts = 1
    since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(folder / BEGUN, {"attempts": attempts, "reached": reached, "since": since})
    return attempts


def _reached(folder: Path) -> str | None:
    """What tells a training's checkpoint from an older one; None while there is none."""
    return _version(folder / RUN / CHECKPOINT)


def _version(path: Path) -> str | None:
    """What tells a file from an older one; only ever compared, so that no clock need be right."""
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def progress_of(bench: Bench, cell: Cell) -> tuple[str | None, str | None]:
    """What changes when a cell has ended, or its training has got further."""
    folder = bench.cells / cell.key
    return _version(folder / RECORD), _reached(folder)


def _leave(folder: Path, attempts: int) -> None:
    if attempts:
        write_json(folder / BEGUN, {"attempts": attempts, "reached": _reached(folder)})
    else:
        (folder / BEGUN).unlink(missing_ok=True)


@functools.lru_cache(maxsize=2)
def _source(kind: str, name: str, options: str) -> Generator | ImageDataset:
    """Generator or data, kept for the next cell on the same."""
    read = json.loads(options)
    return load_generator(name, read) if kind == "generator" else load_dataset(name, **read)


def source_of_cell(cell: Cell) -> Any:
    """What a training learns from."""
    kind = CATALOG.get(cell.method).source
    return _source(kind, cell.options["source"], json.dumps(cell.options["options"]))


def _run_of(bench: Bench, cell: Cell) -> FinishedRun:
    """The run of a training, on a generator of somebody's own where it was made on one."""
    trained = cell.trained
    run = load_run(bench.cells / trained.key / RUN)
    if not run.is_on_own_generator:
        return run
    generator = source_of_cell(trained)
    return load_run(run.folder, generator) if own_generator.is_it(generator, run.config["source"]) else run


def _train(bench: Bench, cell: Cell) -> Result:
    processes, used = processes_of(bench, cell), list[Used]()
    run = finished(bench, cell)
    if run is None and processes > 1:
        used = train_divided(bench, cell, processes)
        run = finished(bench, cell)
        assert run is not None, "each of them said that it had finished"
    elif run is None:
        run = cell.options["method"].fit(source_of_cell(cell), run_of(bench, cell))
    return {"seconds": run.result["seconds"], "processes": run.config.get("processes", 1), "used": used}


def _read(bench: Bench, cell: Cell) -> Result:
    run = _run_of(bench, cell)
    if run.has("encoder"):
        return {}
    settings = cell.options["regression"]
    read = fit_regression(run, run.directions, REGRESSION, settings, device=bench.device, generator=run.generator)
    return {"seconds": read.result["seconds"]}


def _control(bench: Bench, cell: Cell) -> Result:
    control = fit_control(_run_of(bench, cell), cell.options["regression"], device=bench.device)
    return {"seconds": control.result["seconds"]}


def _judge(bench: Bench, cell: Cell) -> Result:
    run = _run_of(bench, cell.needs[0])
    images = dataset_of(run) if bench.data is None else load_dataset(bench.data)
    if images is None:
        raise ValueError(
            f"a column of {bench.name} needs somebody who sees attributes in images, and the generator does not say "
            "what images it was trained on; name them with --data, or a predictor with --predictor"
        )
    trained = cell.options["method"].fit(images, Run(bench.cells / cell.key / RUN, device=bench.device, resume=True))
    return {"seconds": trained.result["seconds"]}


def _score(bench: Bench, cell: Cell) -> Result:
    """The row's scores in every column that it has a number in."""
    run = _run_of(bench, cell)
    who: Who = "control" if cell.row.method == CONTROL else "run"
    elsewhere = iter(need for need in cell.needs[1:] if need.kind == "train")
    values: dict[str, float] = {}
    for (generator, _), columns in places_of(bench.recipe).items():
        if generator is None:
            values |= _measure(bench, cell, columns, run, who, _images(bench, run))
        elif (place := next(elsewhere, None)) is not None:
            values |= _measure(bench, cell, columns, _run_of(bench, place), who, None)
    trained = load_run(run.folder / CONTROL) if who == "control" else run
    return {
        "scores": values,
        "seconds": trained.result["seconds"],
        "source": _name_of_source(run, cell.trained),
        "device": (trained.config.get("environment") or {}).get("device", ""),
        "processes": trained.config.get("processes", 1),
    }


def _images(bench: Bench, run: FinishedRun) -> ImageDataset | None:
    """The images to score on, at the side of the run's own; None for those that the run says."""
    if bench.data is None:
        return None
    dataset = load_dataset(bench.data)
    is_fit = dataset.image_shape[1:] == tuple(run.config["source"]["image_shape"][1:])
    return dataset if is_fit else dataset_of(run, bench.data)


def _measure(
    bench: Bench, cell: Cell, columns: Mapping[str, Column], run: FinishedRun, who: Who, images: ImageDataset | None
) -> dict[str, float]:
    """The columns' numbers."""
    recipe = bench.recipe
    asked = dict.fromkeys(column.metric for column in columns.values() if column.metric != LOG)
    metrics = tuple(m for m in asked if run.has("generator") or m not in (*IMAGE_METRICS, *TRANSLATIONS))
    if not run.has("directions"):  # a row of codes alone, beside others that have both
        metrics = tuple(m for m in metrics if info_of(parse_target(m).metric).kind != "directions")
    if run.has("encoder") and not residual_dim_of(run.encoder):  # nothing is kept that could have leaked
        metrics = tuple(m for m in metrics if m != LEAKAGE)
    scores: dict[str, Any] = {}
    if metrics:
        judges = (bench.cells / need.key / RUN for need in cell.needs if need.kind == "judge")
        judge = (bench.judge or str(next(judges))) if set(metrics) & set(JUDGED) else None
        num_train, device = cell.row.num_images or recipe.num_train, find_device(bench.device)
        evaluate_run(
            run, images, metrics, num_train, recipe.num_test, 0, who, device, judge, num_latents=recipe.num_latents
        )
        scores |= {line["metric"]: line for line in read_scores(run.folder) if line["of"] == who}
    trained = load_run(run.folder / CONTROL) if who == "control" else run
    if trained.log:  # an untrained control has none
        scores[LOG] = {"result": {}, "scores": trained.log[-1]}
    known = {title: column for title, column in columns.items() if column.metric in scores}
    return {title: number(scores[column.metric], column.scalar) for title, column in known.items()}


def number(line: Mapping[str, Mapping[str, Any]], path: str) -> float:
    """A scalar by its name, or an entry of one of the result's arrays by name and places: ``matrix.0.1``."""
    name, *places = path.split(".")
    # A scalar may bear the name of the array it is the mean of.
    value = line["result"][name] if places or name not in line["scores"] else line["scores"][name]
    for place in places:
        value = value[int(place)]
    return float(value)


def _name_of_source(run: FinishedRun, trained: Cell) -> str:
    """What a run learned from: the data's name, or the generator's with the beginning of its weights' fingerprint."""
    source = run.config["source"]
    weights = str(source.get("weights", ""))[:8]
    if trained.generator is not None:
        origin = trained.origin
        return f"{origin.method}-on-{origin.facts['source']['name']} (seed {origin.seed}, {weights})"
    return f"{source['name']} ({weights})" if weights else str(source["name"])


_COMPUTE: dict[str, Callable[[Bench, Cell], Result]] = {
    "train": _train,
    "read": _read,
    "control": _control,
    "judge": _judge,
    "score": _score,
}
