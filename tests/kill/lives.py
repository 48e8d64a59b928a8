"""One life: a command ended before its time, once or several times, started again, and compared in the end."""

from __future__ import annotations

import importlib
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from contrafact.core.claim import CLAIM
from tests.kill.compare import contents, damage, differences, leftovers
from tests.kill.process import Command, Death, after, run
from tests.kill.scenarios import Scenario

KINDS = {
    "killed at an operation": 3,
    "killed at a moment": 1,
    "power cut": 2,
    "SIGTERM": 1,
    "SIGINT": 1,
    "disk full": 2,
}
"""Kinds of death a life begins with, and how often each is drawn."""
CYCLE = [kind for turn in range(max(KINDS.values())) for kind, times in KINDS.items() if turn < times]
MOST_DEATHS = 4
ANOTHER = 0.4
"""Probability that a life which goes on is ended again."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run of a scenario.

    Attributes:
        scenario: what was run.
        ground: folder with what the command needs, from which every life starts.
        files: what the folder held in the end.
        operations: file operations, in order.
        seconds: how long it took.
    """

    scenario: Scenario
    ground: Path
    files: dict[str, bytes]
    operations: list[str]
    seconds: float


@dataclass
class Life:
    """What became of one life.

    Attributes:
        number: its number, from which with the seed everything is drawn.
        scenario: its scenario's name.
        kind: the kind of death it began with.
        deaths: what ended it, in order.
        problems: what was wrong, empty when nothing differed.
    """

    number: int
    scenario: str
    kind: str
    deaths: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def make_reference(scenario: Scenario, work: Path, changed: Command | None = None) -> Reference:
    """Run a scenario undisturbed, twice: what it imports is imported here, and its files must not differ by chance.

    Args:
        scenario: what to run.
        work: folder to work in.
        changed: run in the child first (a sabotage that must be found).

    Raises:
        RuntimeError: it fails, its files differ between the two, or it writes where the watch does not see it.
    """
    ground = work / f"{scenario.name.replace(' ', '-')}-ground"
    ground.mkdir(parents=True)
    prepared = run(lambda: scenario.prepare() or 0, ground)
    if prepared.code:
        raise RuntimeError(f"{scenario.name} cannot be prepared: {prepared.output}")
    import_all(prepared.notes["modules"])
    runs = []
    for number in range(2):
        folder = ground.with_name(f"{ground.name}-{number}")
        shutil.copytree(ground, folder)
        ended = run(after(changed, scenario.command()), folder)
        if ended.code or not ended.notes:
            raise RuntimeError(f"{scenario.name} fails undisturbed, with code {ended.code}: {ended.output}")
        if ended.notes["unseen"]:
            raise RuntimeError(f"{scenario.name} opens files past the watch: {ended.notes['unseen']}")
        import_all(ended.notes["modules"])
        runs.append((contents(folder), ended))
        _remove(folder)
    if unequal := differences(runs[0][0], runs[1][0]):
        raise RuntimeError(f"{scenario.name} run twice undisturbed differs: {'; '.join(unequal)}")
    files, ended = runs[1]
    return Reference(scenario, ground, files, ended.notes["operations"], ended.seconds)


def live(
    reference: Reference, kind: str, number: int, seed: int, changed: Command | None = None, keep: bool = False
) -> Life:
    """End a scenario's command before its time, start it again until it is done, and compare.

    Args:
        reference: the undisturbed run.
        kind: of the death the life begins with.
        number: the life's number.
        seed: of all lives.
        changed: run in every child first.
        keep: leave the folder of a life that differs.
    """
    rng = random.Random(f"{seed} {number}")
    life = Life(number, reference.scenario.name, kind)
    folder = reference.ground.with_name(f"life-{number}-{os.getpid()}")
    again = False
    while not life.deaths:  # a moment in time may come too late: then the life begins anew
        _remove(folder)
        shutil.copytree(reference.ground, folder)
        again = _die(life, reference, folder, draw_death(kind, reference, rng), again=False, changed=changed)
    while again and len(life.deaths) < MOST_DEATHS and rng.random() < ANOTHER:
        other = rng.choice(CYCLE)
        again = _die(life, reference, folder, draw_death(other, reference, rng), again=True, changed=changed)
    ended = run(after(changed, reference.scenario.command(again=True)), folder)
    if ended.code:
        life.problems.append(f"going on ends with code {ended.code}: {ended.output.strip()[-1500:]}")
    else:
        life.problems += differences(reference.files, contents(folder))
    if not (keep and life.problems):
        _remove(folder)
    return life


def _die(life: Life, reference: Reference, folder: Path, death: Death, again: bool, changed: Command | None) -> bool:
    """Start the command and end it; whether it was ended before it was done."""
    before = leftovers(folder)
    ended = run(after(changed, reference.scenario.command(again)), folder, death)
    early = ended.code != 0
    if early:
        where = "" if death.operation is None else f" (first start: {reference.operations[death.operation - 1]})"
        life.deaths.append(f"{death}{'' if again else where}, code {ended.code}")
        life.problems += [f"after {death}: {line}" for line in damage(folder)]
        if ended.code > 0:  # it had the time to tidy up
            # Between making a claim and knowing of it Ctrl-C leaves one that binds nobody: the next start takes it.
            spared = CLAIM if ended.code == 130 else None
            new = [line for line in leftovers(folder, spared) if line not in before]
            life.problems += [f"after {death}: {line}" for line in new]
    else:
        unequal = differences(reference.files, contents(folder))
        life.problems += [f"{death} ends with code 0, yet {line}" for line in unequal]
    if not death.allows(ended.code) or "Traceback" in ended.output:
        life.problems.append(f"{death} ends with code {ended.code}: {ended.output.strip()[-1500:]}")
        life.deaths = life.deaths or [str(death)]
    return early


def draw_death(kind: str, reference: Reference, rng: random.Random) -> Death:
    """A death of a kind: at an operation of the reference, or at a moment of its time."""
    operation = rng.randint(1, len(reference.operations))
    moment = rng.choice(["before", "halfway", "after"])
    seconds = rng.uniform(0, reference.seconds)
    draws = str(rng.random())
    if kind == "killed at a moment":
        return Death("kill", seconds=seconds)
    if kind in ("SIGTERM", "SIGINT"):
        act = "term" if kind == "SIGTERM" else rng.choice(["int", "int", "twice"])
        return Death(act, operation, moment) if rng.random() < 0.5 else Death(act, seconds=seconds)
    act = {"killed at an operation": "kill", "power cut": "power", "disk full": "full"}[kind]
    return Death(act, operation, moment, draws=draws)


def import_all(names: list[str]) -> None:
    """Import here what a child imported, so that the next one has it from the start."""
    for name in names:
        if not name.startswith(("tests.", "__", "contrafact_recipe")):
            try:
                importlib.import_module(name)
            except ImportError:  # a module made at run time, or one of another name than its file's
                continue


def _remove(folder: Path) -> None:
    for path in (folder, folder.with_name(f"{folder.name}.stash")):
        shutil.rmtree(path, ignore_errors=True)
