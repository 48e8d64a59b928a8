"""``contrafact bench --keep FOLDER``: what is outstanding, a bit at a time, with results that are kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from contrafact.cli.bench import SEEDS, Options, print_plan, seeds_of

if TYPE_CHECKING:
    from contrafact.bench.reproduce import Reproduction

_REFUSED = ("table", "cell", "source", "data", "predictor", "rows", "generators", "out")


def run_reproduction(options: Options, kept: Path, budget: float) -> None:
    """Compute what is outstanding, or with ``--plan`` list it."""
    from contrafact.bench.reproduce import Reproduction, outstanding, reproduce

    if options.on != "local":
        raise ValueError("--keep computes on this machine; leave out --on, and keep what --table collects")
    if options.processes > 1:
        raise ValueError("--keep takes any machine's time, a process at a time; leave out --processes, or --keep")
    if options.scale == "smoke":
        raise ValueError("numbers of the smoke scale mean nothing, so there is nothing to keep; leave out --keep")
    if given := [f"--{field}" for field in _REFUSED if getattr(options, field)]:
        raise ValueError(f"what is kept are recipes as they are, and --keep computes; leave out {' and '.join(given)}")
    names = () if options.name is None else (options.name,)
    seeds, top = seeds_of(options.seeds or SEEDS), Path("runs", "bench")
    asked = Reproduction(
        kept, options.scale, top, seeds, options.jobs, options.device, names, finished=options.finished
    )
    if options.plan:
        _say_left_out(asked)
        print_plan(asked.whole(), options.jobs)
        return
    wrong = reproduce(asked, budget)
    number, hours, unknown = outstanding(asked)
    _say_left_out(asked)
    for error in wrong:
        print(f"contrafact: {error}", file=sys.stderr)
    lies = f"what is finished lies in {kept}" + (f" and {options.finished}" if options.finished else "")
    if number:
        more = f", about {hours:.1f} h of one process" if hours else ""
        more += f", and {unknown} more than that, of which no time is known" if unknown else ""
        print(f"{number} cells are left{more}; {lies}; the same command goes on")
    else:
        print(f"nothing is left; {lies}")
    if wrong:
        raise ValueError(f"{len(wrong)} recipes did not run to their end; what went wrong stands above")


def _say_left_out(asked: Reproduction) -> None:
    """Recipes of which nothing can run, and why."""
    for name, why in asked.left_out():
        print(f"left out: {name}: {why}", file=sys.stderr)
