"""Rerun a table of a paper: our numbers, mean and spread over seeds, beside the published ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from contrafact.cli._parse import parse, print_table
from contrafact.cli._types import Folder
from contrafact.core.ranges import Panels

if TYPE_CHECKING:
    from contrafact.bench.plan import Bench

_KEPT_BUDGET = "25m"
SEEDS, _SMOKE_SEEDS = "5", "1"
_NOTHING = "nothing is finished yet"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Options:
    """Compute every row of a recipe at every seed; finished cells are kept, so a stopped bench goes on where it was."""

    name: Positional[str | None] = None
    """Recipe, such as disco-table4; without one, the recipes are listed. With --suite a method: mine.py:Mine."""
    all: bool = False
    """Every recipe, as far as it can run at the scale; with --suite every catalogued method."""
    suite: str | None = None
    """Put the method through this fixed protocol, such as shapes3d, and rank it among the catalogued, in a page."""
    set: tuple[str, ...] = ()
    """Settings of the method that differ, with --suite: steps=1000 beta=8."""
    called: str | None = None
    """What the leaderboard calls the method, with --suite; by default its class and the settings that differ."""
    scale: Literal["smoke", "small", "paper"] = "small"
    """small is what two cores do; paper is the paper's own settings; smoke shows in seconds that every row runs."""
    seeds: str | None = None
    """Number of seeds, or the seeds themselves with commas: 3,4,5; by default 5, 1 of smoke, or those of the suite."""
    generators: str | None = None
    """Which of the generators that a recipe trains first, as --seeds: each row is computed at every seed on each."""
    rows: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--only"])] = ()
    """Rows to run, by name or a part of it; by default all. Others stay in the table as they are."""
    out: Folder | None = None
    """Folder of the table and its cells; by default runs/bench/NAME-SCALE, with cells that all recipes share in
    runs/bench/cells."""
    jobs: Panels = 1
    """Processes that compute cells side by side."""
    processes: Panels = 1
    """Processes that train a method together, each with its share of a step's images, on a GPU of its own where there
    are GPUs; scores, controls and methods without gradients take one."""
    budget: str | None = None
    """Time after which to stop, such as 90s, 30m, 2h: what is under way is saved, and goes on the next time."""
    keep: Folder | None = None
    """Folder of results to keep with a project: what they hold is not computed again, and every few minutes what is
    finished is written there; with --all every recipe has one seed before any has two. --budget is 25m then."""
    finished: Folder | None = None
    """Folder of results that are finished, such as docs/results, with --keep: what they hold at the same scale and for
    the same kind of device is not computed again either."""
    plan: bool = False
    """Only list the cells: what each is, what it waits for, whether it is finished, how long it may take."""
    table: bool = False
    """Only collect what is finished into the table."""
    pictures: bool = False
    """Draw the table too, as PNG beside it: every run, a curve where the recipe sweeps a setting, ranks of a column."""
    cell: str | None = None
    """Only compute the cell of this name, as --plan lists it, and what it needs."""
    source: Annotated[str | None, tyro.conf.arg(aliases=["--generator"])] = None
    """Generator, or data for rows on images, to use instead of the recipe's; rows that cannot use it are refused."""
    data: str | None = None
    """Images to score on, instead of those the generator was trained on."""
    predictor: str | None = None
    """Who judges edited images (as in evaluate); by default the recipe's, or a predictor is trained on the images."""
    device: str = "auto"
    """Where to train."""
    on: str = "local"
    """Who computes the cells: local, this machine; ray, or ray:ADDRESS for a cluster that runs; slurm. All must see the
    folders under the same names."""
    cpus: Panels = 1
    """Processors of a cell on a cluster; of a training, of each of its --processes."""
    gpus: float = 0.0
    """GPUs of a cell on a cluster, of a training of each of its --processes; a part of one, such as 0.25, with Ray."""
    minutes: Panels = 720
    """Time limit of a Slurm worker; what is under way is saved before, and --jobs of them share the cells."""
    slurm: tuple[str, ...] = ()
    """Further options of Slurm's by their names there: partition=gpu account=lab."""


def bench(arguments: Sequence[str]) -> None:
    """Run a recipe and print its table."""
    options = parse(Options, arguments, "bench")
    from contrafact.bench.recipe import load_recipe, recipe_names

    if options.suite is not None:
        from contrafact.cli._suite import run_suite

        run_suite(options, options.suite)
        return
    if options.set or options.called is not None:
        raise ValueError(
            "--set and --called are of a method that enters a --suite; recipes say their settings themselves"
        )
    if options.name is None and not options.all:
        from contrafact.bench.suite import load_suite, suite_names

        print("recipes:")
        print_table((name, load_recipe(name).title) for name in recipe_names())
        print("suites, for a method of yours (--suite NAME mine.py:Mine):")
        print_table((name, load_suite(name).recipe.title) for name in suite_names())
        return
    if options.name is not None and options.all:
        raise ValueError(f"--all runs every recipe; leave {options.name} out, or --all")
    if sum((options.plan, options.table, options.cell is not None)) > 1:
        raise ValueError("--plan, --table and --cell each do one thing; give one of them")
    if options.cell is not None and options.all:
        raise ValueError("--cell is of one recipe; name it instead of --all")
    budget = budget_of(options)
    if options.keep is not None:
        from contrafact.cli._reproduce import run_reproduction

        run_reproduction(options, options.keep, seconds_of(_KEPT_BUDGET) if budget is None else budget)
        return
    if options.finished is not None:
        raise ValueError("--finished is for what --keep leaves out; give --keep FOLDER too")
    if options.all:
        _run_all(options, budget)
        return
    job = _job(options, str(options.name))
    if options.plan:
        print_plan([job], options.jobs)
    elif options.table:
        _print_collected(job)
        for path in _drawn(options, job):
            print(f"wrote {path}")
    elif options.cell is not None:
        _compute_cell(job, options.cell)
    else:
        table = run_where_asked(options, job, budget)
        print(f"{job.recipe.title}\n\n{table or _NOTHING}")
        if table:  # else nothing was written either
            drawn = "".join(f", {path}" for path in _drawn(options, job))
            forms = ", ".join(f"{job.out}/results.{form}" for form in ("md", "json", "tex", "html"))
            print(f"\nwrote {forms}{drawn}")


def _drawn(options: Options, job: Bench) -> list[Path]:
    """The pictures of the table that is there, where they are asked for."""
    from contrafact.bench.results import RESULTS, stored

    if not options.pictures or not (job.out / RESULTS).exists():
        return []
    from contrafact.bench.pictures import draw

    recipe, cells, _ = stored(job.out / RESULTS, job.recipe)
    return draw(recipe, cells, job.out, job.name)


def _write_page(job: Bench) -> None:
    """The tables that are there as a page."""
    from contrafact.bench.results import RESULTS, stored_grids

    if (job.out / RESULTS).exists():
        from contrafact.report.results import PAGE, write_results

        title, grids, facts = stored_grids(job.out / RESULTS, job.recipe)
        write_results(title, grids, job.out / PAGE, facts)


def run_where_asked(options: Options, job: Bench, budget: float | None, session: str | None = None) -> str:
    """The recipe's table, computed where ``--on`` says; empty while nothing is finished.

    What failed in the session already is left alone here.

    What is finished is also written as a page, whether cells failed or somebody stopped it.
    """
    from contrafact.bench.runner import CellsFailed

    try:
        table = _run(options, job, budget, session)
    except (CellsFailed, KeyboardInterrupt):
        _write_page(job)
        raise
    _write_page(job)
    return table


def _run(options: Options, job: Bench, budget: float | None, session: str | None) -> str:
    where, _, address = options.on.partition(":")
    if where == "local" and not address:
        from contrafact.bench.runner import run_bench

        return run_bench(job, options.jobs, budget, session)
    if where not in ("ray", "slurm"):
        raise ValueError(f"--on takes local, ray, ray:ADDRESS or slurm; got {options.on!r}")
    if budget is not None:
        raise ValueError("--budget is for this machine; on Slurm --minutes limits a worker")
    from contrafact.bench.launch import Cluster, run_on
    from contrafact.cli._parse import changes_of

    others = {name: str(value) for name, value in changes_of(options.slurm).items()}
    cluster = Cluster(where, address, options.jobs, options.cpus, options.gpus, options.minutes, others)
    return run_on(job, cluster)


def _job(options: Options, name: str) -> Bench:
    from contrafact.bench.plan import CELLS, Bench
    from contrafact.bench.recipe import load_recipe
    from contrafact.bench.smoke import smoked
    from contrafact.core.catalog import slug

    top, short = Path("runs", "bench"), slug(Path(name).name)
    recipe, is_smoke = load_recipe(name), options.scale == "smoke"
    return Bench(
        short,
        smoked(recipe) if is_smoke else recipe,
        options.out or top / f"{short}-{options.scale}",
        options.scale,
        seeds_of(options.seeds or (_SMOKE_SEEDS if is_smoke else SEEDS)),
        options.source,
        options.data,
        options.device,
        options.predictor,
        options.rows,
        top / CELLS if options.out is None else None,
        None if options.generators is None else seeds_of(options.generators, "generators"),
        processes=options.processes,
    )


def seeds_of(text: str, option: str = "seeds") -> tuple[int, ...]:
    """``5`` as the seeds 0 to 4, ``3,4`` as 3 and 4, ``7,`` as 7 alone."""
    from contrafact.core.ranges import Seed, check_value

    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isascii() and word.lstrip("-").isdigit() for word in words):
        raise ValueError(f"--{option} takes how many, such as 5, or which, such as 3,4,5; got {text!r}")
    numbers = [int(word) for word in words]
    if "," not in text:
        return tuple(range(check_value(option, numbers[0], Panels)))
    return tuple(dict.fromkeys(check_value(option, number, Seed) for number in numbers))


def budget_of(options: Options) -> float | None:
    """Seconds that the command may take; None for as long as it needs."""
    return None if options.budget is None else seconds_of(options.budget)


def seconds_of(text: str) -> float:
    """``90s``, ``30m``, ``2h``."""
    amount, unit = text[:-1], text[-1:]
    try:
        seconds = float(amount) * _UNITS[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"--budget takes a time, such as 90s, 30m or 2h; got {text!r}")
    return seconds


def _run_all(options: Options, budget: float | None) -> None:
    """Every recipe that can run, with one budget for all."""
    import dataclasses
    import time
    import uuid

    from contrafact.bench.recipe import recipe_names
    from contrafact.bench.runner import run_ahead

    jobs, refused = [], list[tuple[str, str]]()
    for name in recipe_names():
        job = _job(options, name)
        try:
            _refuse_empty(job)
        except ValueError as error:
            refused.append((name, str(error)))
        else:
            jobs.append(job)
    for name, why in refused:
        print(f"left out: {name}: {why}", file=sys.stderr)
    if options.plan:
        print_plan(jobs, options.jobs)
        return
    until = None if budget is None else time.monotonic() + budget
    session, failures = uuid.uuid4().hex, []
    if options.on == "local" and options.jobs > 1 and not options.table:
        run_ahead(jobs, options.jobs, budget, session)
        options = dataclasses.replace(options, jobs=1)
    for job in jobs:
        left = None if until is None else until - time.monotonic()
        if options.table or (left is not None and left <= 0):
            _print_collected(job)
            continue
        try:
            print(f"{job.recipe.title}\n\n{run_where_asked(options, job, left, session) or _NOTHING}\n")
        except ValueError as error:
            failures.append(f"{job.name}: {error}")
            print(f"contrafact: {failures[-1]}", file=sys.stderr)
    if failures:
        raise ValueError(f"{len(failures)} of {len(jobs)} recipes did not run to their end: " + "; ".join(failures))


def _refuse_empty(job: Bench) -> None:
    """Refuse a recipe of which nothing can run at the scale."""
    from contrafact.bench.check import asked_rows, why_nothing
    from contrafact.bench.plan import plan

    asked = asked_rows(job)
    if not plan(job, asked):
        raise ValueError(why_nothing(job, asked))


def _print_collected(job: Bench) -> None:
    from contrafact.bench.results import collect

    table = collect(job)
    _write_page(job)
    print(f"{job.recipe.title}\n\n{table or _NOTHING}\n")


def _compute_cell(job: Bench, key: str) -> None:
    from contrafact.bench.runner import run_cell

    record = run_cell(job, key)
    if record["state"] == "failed":
        raise ValueError(f"cell {key} failed: {record['error']}; its traceback is in {job.cells / key / 'cell.json'}")
    print(f"{job.cells / key}: finished in {record['wall_seconds']:.0f} s")


def print_plan(jobs: Sequence[Bench], workers: int) -> None:
    """Cells by recipe, and how long what is left may take, from cells of the same kind that are finished."""
    from contrafact.bench.check import asked_rows, rows_without_source, why_nothing
    from contrafact.bench.forecast import Line, forecasts, shared_among
    from contrafact.bench.plan import taken

    seen, known = set[str](), dict[str, Path]()
    states, hours, unknown, foreign, every = Counter[str](), 0.0, 0, 0, list[Line]()
    for job, lines in forecasts(jobs):
        print(f"{job.name}: {job.recipe.title}")
        here = taken(job, asked_rows(job))
        known |= here
        for place, number in Counter(here.values()).items():
            print(f"  {number} scores are taken from {place}")
        if not lines and not here:
            print(f"  {why_nothing(job, asked_rows(job))}")
        if lines and (unfed := rows_without_source(job, asked_rows(job))):
            print(f"  without these rows, which need a generator of your own (--source): {'; '.join(unfed)}")
        for line in lines:
            mark = "" if line.key not in seen else " (also above)"
            needs = f"  needs {', '.join(line.needs)}" if line.needs else ""
            time = f", {_spoken(line.seconds)}" if line.seconds is not None and line.state != "done" else ""
            print(f"  {line.key}  {line.what}  [{line.state}{time}]{mark}{needs}")
            if line.key in seen:
                continue
            seen.add(line.key)
            every.append(line)
            states[line.state] += 1
            if line.state != "done":
                hours += (line.seconds or 0.0) / 3600
                unknown += line.seconds is None
                foreign += line.is_elsewhere
    told = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    rest = f"; what is left may take {hours:.1f} h of one process" if hours else ""
    if hours and workers > 1:
        rest += f", {shared_among(every, workers) / 3600:.1f} h of {workers}"
    source = f"; of {foreign} cells by what such took on another machine" if foreign else ""
    more = f"; of {unknown} the time is not known: nothing like them is finished" if unknown else ""
    less = "".join(f"; {number} scores are taken from {place}" for place, number in Counter(known.values()).items())
    print(f"{len(seen)} cells{': ' * bool(told)}{told}{rest}{source}{more}{less}")


def _spoken(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
