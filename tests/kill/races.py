"""Two commands started together in one folder: the end must be as if one had come after the other, or been refused."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kill.compare import contents, damage, differences, leftovers
from tests.kill.process import Command, Death, Ended, after, run, start, wait
from tests.kill.scenarios import EVALUATION, RUN, SCENARIOS, TINY, Scenario, prepare_generator, prepare_run

REFUSED = 2
PATIENCE = 1.0
"""Seconds after which a stopped process goes on, if the other one waits for it."""


@dataclass(frozen=True)
class Pair:
    """Two commands for one folder, which begins as the first one's scenario prepares it."""

    name: str
    first: Scenario
    second: Scenario


def _pairs() -> list[Pair]:
    fits = [
        Scenario(
            f"fit seed {seed}", "", ("fit", "disco", *TINY["disco"], "--seed", seed, "--out", RUN), prepare_generator
        )
        for seed in ("0", "1")
    ]
    names = [
        Scenario(f"name {number}", "", ("name", RUN, number, word), prepare_run, resumes=False)
        for number, word in (("0", "smile"), ("1", "rotate"))
    ]
    plain = EVALUATION[:-1]
    scores = [
        Scenario(f"evaluate {metric}", "", ("evaluate", *plain, "--metrics", metric), prepare_run, resumes=False)
        for metric in ("mig", "modularity")
    ]
    bench, report, invert = SCENARIOS["bench"], SCENARIOS["report"], SCENARIOS["invert"]
    return [
        Pair("fit, two seeds", *fits),
        Pair("name, two directions", *names),
        Pair("evaluate, two metrics", *scores),
        Pair("name and evaluate", names[0], scores[0]),
        Pair("bench, twice", bench, bench),
        Pair("invert, twice", invert, invert),
        Pair("report, twice", report, report),
    ]


PAIRS = {pair.name: pair for pair in _pairs()}


@dataclass(frozen=True)
class Orders:
    """What a pair leaves: files after the first alone, after the second alone, and after both in either order."""

    pair: Pair
    ground: Path
    alone: tuple[dict[str, bytes], dict[str, bytes]]
    both: list[dict[str, bytes]]
    seconds: float
    operations: int


@dataclass
class Race:
    """What became of one race: exit codes, and what was wrong."""

    number: int
    pair: str
    codes: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)


def make_orders(pair: Pair, work: Path) -> Orders:
    """Run a pair one after the other, both ways.

    Raises:
        RuntimeError: a command fails where nothing disturbs it.
    """
    ground = work / f"{pair.name.replace(' ', '-').replace(',', '')}-ground"
    ground.mkdir(parents=True)
    prepared = run(lambda: pair.first.prepare() or 0, ground)
    if prepared.code:
        raise RuntimeError(f"{pair.name} cannot be prepared: {prepared.output}")
    alone, both, seconds, operations = [], [], 0.0, 0
    for turn in ((pair.first, pair.second), (pair.second, pair.first)):
        folder = ground.with_name(f"{ground.name}-turn")
        shutil.copytree(ground, folder)
        first = run(turn[0].command(), folder)
        if first.code:
            raise RuntimeError(f"{turn[0].name} fails undisturbed: {first.output}")
        alone.append(contents(folder))
        operations = operations or len(first.notes["operations"])
        if run(turn[1].command(), folder).code == 0:
            both.append(contents(folder))
        seconds = max(seconds, first.seconds)
        _remove(folder)
    return Orders(pair, ground, (alone[0], alone[1]), both, seconds, operations)


def race(orders: Orders, number: int, seed: int, changed: Command | None = None) -> Race:
    """Start both together, and compare what is left with what one after the other leaves.

    Half of the races start them at nearly the same time; in the others the first stops at one of its file operations,
    until the second has ended or waited for a while.

    Args:
        orders: the pair, one after the other.
        number: the race's number.
        seed: of all races.
        changed: run in both first (a sabotage that must be found).
    """
    rng = random.Random(f"race {seed} {number}")
    result = Race(number, orders.pair.name)
    folder = orders.ground.with_name(f"race-{number}")
    shutil.copytree(orders.ground, folder)
    turn = [orders.pair.first, orders.pair.second]
    commands = [after(changed, scenario.command()) for scenario in turn]
    if rng.random() < 0.5:
        moment = time.monotonic() + 0.03  # both are there by then
        begin = start(commands[0], folder, at=moment)
        other = start(commands[1], folder, at=moment + rng.choice([0.0, rng.uniform(0, orders.seconds)]))
        ended = [wait(*begin, folder), wait(*other, folder)]
    else:
        stop = Death("stop", rng.randint(1, orders.operations), rng.choice(["before", "after"]))
        begin = start(commands[0], folder, stop)
        os.waitid(os.P_PID, begin[0], os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        other = start(commands[1], folder)
        go_on = functools.partial(os.kill, begin[0], signal.SIGCONT)
        second = wait(*other, folder, go_on, PATIENCE)
        go_on()
        ended = [wait(*begin, folder), second]
    codes = result.codes = (ended[0].code, ended[1].code)
    result.problems += _refusals(ended, (begin[0], other[0]))
    allowed = {
        (0, 0): orders.both,
        (0, REFUSED): [orders.alone[0]],
        (REFUSED, 0): [orders.alone[1]],
    }.get(codes, [])
    found = contents(folder)
    if not allowed:
        result.problems.append(f"the exit codes are {codes}")
    elif all(differences(files, found) for files in allowed):
        result.problems += min((differences(files, found) for files in allowed), key=len)
    result.problems += damage(folder) + leftovers(folder)
    _remove(folder)
    return result


def _refusals(ended: Sequence[Ended], pids: tuple[int, int]) -> list[str]:
    """What is wrong with how a process was refused: it is told by whom, or that it came too late."""
    problems = []
    for one, other in zip(ended, reversed(pids), strict=True):
        told = f"pid {other} " in one.output or "already holds a run" in one.output
        if one.code not in (0, REFUSED) or (one.code == REFUSED and not told) or "Traceback" in one.output:
            problems.append(f"exit code {one.code}: {one.output.strip()[-800:]}")
    return problems


def table(races: Sequence[Race]) -> str:
    """Pair by outcome: both done, one refused, and how many are wrong."""
    rows = [["pair", "both done", "one refused", "races", "differing"], ["---", "---:", "---:", "---:", "---:"]]
    for name in [*dict.fromkeys(race.pair for race in races), "all"]:
        of = [race for race in races if name in (race.pair, "all")]
        done = sum(race.codes == (0, 0) for race in of)
        refused = sum(sorted(race.codes) == [0, REFUSED] for race in of)
        rows.append([name, str(done), str(refused), str(len(of)), str(sum(bool(race.problems) for race in of))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _remove(folder: Path) -> None:
    for path in (folder, folder.with_name(f"{folder.name}.stash")):
        shutil.rmtree(path, ignore_errors=True)
