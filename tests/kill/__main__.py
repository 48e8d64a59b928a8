"""Live many lives and print what differs: ``python -m tests.kill --lives 500 --jobs 2 --seed 0``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.kill.lives import CYCLE, KINDS, Life, Reference, live, make_reference
from tests.kill.process import Command
from tests.kill.races import PAIRS, make_orders, race
from tests.kill.races import table as race_table
from tests.kill.sabotage import SABOTAGE
from tests.kill.scenarios import SCENARIOS


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when no life differs, 1 when one does."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--lives", type=int, default=500, help="how many")
    parser.add_argument("--jobs", type=int, default=1, help="lives at the same time")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--races", type=int, default=0, help="also start two commands together, so many times")
    parser.add_argument("--pairs", nargs="+", default=[], help="names of pairs to race, or parts of them")
    parser.add_argument("--scenarios", nargs="+", default=[], help="names, or parts of them; by default all")
    parser.add_argument("--only", type=int, nargs="+", default=[], help="numbers of lives to live again")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGE), help="break something first: lives must differ then")
    parser.add_argument("--keep", action="store_true", help="leave the folders of lives that differ")
    options = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"  # a process that has started threads cannot be forked
    chosen = [s for s in SCENARIOS.values() if not options.scenarios or any(p in s.name for p in options.scenarios)]
    if not chosen:
        parser.error(f"no scenario has {options.scenarios} in its name; there are: {', '.join(SCENARIOS)}")
    numbers = options.only or range(options.lives)
    changed = SABOTAGE[options.sabotage] if options.sabotage else None
    memory = Path("/dev/shm")  # an fsync costs nothing there, and it is the order of operations that counts
    work = Path(tempfile.mkdtemp(prefix="kill-", dir=memory if os.access(memory, os.W_OK) else None))
    begin = time.monotonic()
    try:
        needed = sorted({number % len(chosen) for number in numbers})
        references = {place: make_reference(chosen[place], work, changed) for place in needed}
        print(f"{len(references)} undisturbed runs in {time.monotonic() - begin:.0f} s", file=sys.stderr)
        tasks = [(references[n % len(chosen)], kind_of(n, len(chosen), options.seed), n) for n in numbers]
        lives = Lives(tasks, options.seed, changed, options.keep).all(options.jobs)
        taken = [p for p in PAIRS.values() if not options.pairs or any(part in p.name for part in options.pairs)]
        taken = taken[: options.races]
        orders = [make_orders(pair, work) for pair in taken]
        races = [race(orders[number % len(orders)], number, options.seed, changed) for number in range(options.races)]
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(table(lives))
    for life in lives:
        if life.problems:
            print(f"\nlife {life.number}, {life.scenario}: {'; '.join(life.deaths)}")
            print("\n".join(f"  {problem}" for problem in life.problems))
    differing, deaths = sum(bool(life.problems) for life in lives), sum(len(life.deaths) for life in lives)
    took = f"{deaths} deaths, seed {options.seed}, {time.monotonic() - begin:.0f} s"
    print(f"\n{differing} of {len(lives)} lives differ ({took})")
    wrong = [race for race in races if race.problems]
    if races:
        print(f"\n{race_table(races)}\n")
    for one in wrong:
        print(f"race {one.number}, {one.pair}: exit codes {one.codes}")
        print("\n".join(f"  {problem}" for problem in one.problems))
    if races:
        print(f"\n{len(wrong)} of {len(races)} races differ")
    return int(differing > 0 or bool(wrong))


def kind_of(number: int, scenarios: int, seed: int) -> str:
    """The kind of death a life begins with: every scenario meets every kind, in turn, each beginning elsewhere."""
    return CYCLE[(number // scenarios + 3 * (number % scenarios) + seed) % len(CYCLE)]


class Lives:
    """What forked workers share: they are given numbers, since a command cannot be sent to them."""

    tasks: list[tuple[Reference, str, int]]
    seed: int
    changed: Command | None
    keep: bool

    def __init__(self, tasks: list[tuple[Reference, str, int]], seed: int, changed: Command | None, keep: bool) -> None:
        self.tasks, self.seed, self.changed, self.keep = tasks, seed, changed, keep

    def one(self, place: int) -> Life:
        reference, kind, number = self.tasks[place]
        return live(reference, kind, number, self.seed, self.changed, self.keep)

    def all(self, jobs: int) -> list[Life]:
        """Every life, in order; more than one job forks as many workers."""
        if jobs == 1:
            return [self._told(self.one(place)) for place in range(len(self.tasks))]
        global _shared
        _shared = self
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            return [self._told(life) for life in pool.imap(_one, range(len(self.tasks)))]

    @staticmethod
    def _told(life: Life) -> Life:
        if life.problems:
            print(
                f"life {life.number}, {life.scenario}, differs: {life.problems[0][:300]}", file=sys.stderr, flush=True
            )
        return life


_shared: Lives


def _one(place: int) -> Life:
    return _shared.one(place)


def table(lives: Sequence[Life]) -> str:
    """Scenario by kind of death: how many lives began with it, and how many of them differ."""
    names, kinds = list(dict.fromkeys(life.scenario for life in lives)), list(KINDS)
    rows = [["scenario", *kinds, "lives", "deaths", "differing"]]
    for name in [*[n for n in SCENARIOS if n in names], "all"]:
        of = [life for life in lives if name in (life.scenario, "all")]
        cells = [[life for life in of if life.kind == kind] for kind in kinds]
        counts = [f"{len(c)}" + (f" ({d} differ)" if (d := sum(bool(x.problems) for x in c)) else "") for c in cells]
        deaths, differing = sum(len(life.deaths) for life in of), sum(bool(life.problems) for life in of)
        rows.append([name, *counts, str(len(of)), str(deaths), str(differing)])
    rows.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
