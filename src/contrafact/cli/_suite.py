"""``contrafact bench METHOD --suite NAME``: a method through a fixed protocol, and the page it is ranked on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contrafact.cli._parse import changes_of
from contrafact.cli.bench import Options, budget_of, print_plan, run_where_asked, seeds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contrafact.bench.recipe import Row
    from contrafact.bench.suite import Suite

_NEIGHBOURS = 2
"""Rows printed before and behind the method that was entered; the page has all."""
_FIXED = ("source", "data", "predictor", "generators", "cell")


def run_suite(options: Options, name: str) -> None:
    """Compute what was asked for, print where it stands, write the page."""
    from contrafact.bench.suite import bench_of, enter, load_suite, start_from_shipped
    from contrafact.core.catalog import slug
    from contrafact.methods import CATALOG

    _refuse_changes(options)
    suite = load_suite(name)
    short = slug(Path(name).stem) if name.endswith(".py") else slug(name)
    top = Path("runs", "bench")
    out = options.out or top / f"suite-{short}"
    store = top / "cells" if options.out is None else out / "cells"
    seeds = suite.seeds if options.seeds is None else seeds_of(options.seeds)
    row: Row | None = None
    if options.name is not None:
        row = enter(suite, CATALOG.admit(options.name), changes_of(options.set), options.called or "")
    job = bench_of(suite, row, out, seeds=seeds, device=options.device, rows=options.rows, store=store)
    if options.plan:
        print_plan([job], options.jobs)
        return
    if options.all:
        start_from_shipped(job, name)
    if (row is not None or options.all) and not options.table:
        run_where_asked(options, job, budget_of(options))
    elif row is not None or options.all:
        from contrafact.bench.results import collect

        collect(job)
    _show(suite, name, out)


def _refuse_changes(options: Options) -> None:
    if options.name is not None and options.all:
        raise ValueError(f"--all computes the catalogued methods again; leave {options.name} out, or --all")
    if options.name is None and (options.set or options.called is not None):
        raise ValueError("--set and --called are of a method; name it: contrafact bench mine.py:Mine --suite NAME")
    given = [f"--{field}" for field in _FIXED if getattr(options, field) is not None]
    given += ["--scale"] if options.scale != "small" else []
    given += ["--processes"] if options.processes > 1 else []
    if given:
        raise ValueError(f"a suite's protocol is the same for everybody; leave out {' and '.join(given)}")
    if given := [f"--{field}" for field in ("keep", "finished") if getattr(options, field) is not None]:
        raise ValueError(f"the scores of a suite are in its folder, --out; leave out {' and '.join(given)}")


def _show(suite: Suite, name: str, out: Path) -> None:
    """Print the standings around what was entered, and write the page."""
    from contrafact.bench.suite import standings
    from contrafact.report.leaderboard import PAGE, write_leaderboard

    found = standings(suite, name, out)
    if not found.entries:
        print("nothing is finished yet")
        return
    page = write_leaderboard(found, out / PAGE, _facts(suite, name), f"contrafact bench mine.py:Mine --suite {name}")
    print(f"{found.title}\n\n{found.markdown(_NEIGHBOURS)}\n\nwrote {page}; all {len(found.entries)} methods are in it")


def _facts(suite: Suite, name: str) -> Mapping[str, str]:
    from contrafact.bench.suite import protocol, shipped

    facts = dict(protocol(suite))
    results = shipped(name)
    if results:
        environment = results["environment"]
        facts["catalogued methods"] = (
            f"computed {results['date']} with contrafact {environment['contrafact']}, torch {environment['torch']}, on "
            f"{environment['device']}, one thread"
        )
    return facts
