"""What a command works on: a run, or a generator and directions brought together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrafact.core.directions import Directions
    from contrafact.core.encoder import Encoder
    from contrafact.core.generator import Generator
    from contrafact.core.method import FinishedRun


@dataclass(frozen=True)
class Subject:
    """A generator, directions that fit it, and the encoder that came with them.

    Attributes:
        folder: the run's, None where there is no run.
        kind: ``direction``, or ``code`` where the generator's latent axes stand in for directions.
        is_one_run: whether generator and directions are those of the run in ``folder``.
    """

    generator: Generator
    directions: Directions
    encoder: Encoder | None
    folder: Path | None
    kind: str
    is_one_run: bool = False


def find_subject(
    run: Path | None,
    generator: str | None = None,
    use: Path | None = None,
    device: str = "auto",
    truncation: float | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Subject:
    """The run's generator and directions, either of them replaced where another is named.

    Args:
        run: run folder.
        generator: name or file of a generator instead of the run's; or the run's own, where the run does not hold it.
        use: run folder or file whose directions are taken instead of the run's; another program's file too.
        device: where to put both.
        truncation: of the generator instead of its own.
        changes: arguments of the generator that shall differ.

    Raises:
        ValueError: neither a run nor a generator, no such run or file, or directions that do not fit the generator.
    """
    from contrafact.core.direction_files import check_fit
    from contrafact.core.method import load_run
    from contrafact.core.run import find_device
    from contrafact.editing.directions import load_directions
    from contrafact.generators.checkpoints import changed, load_generator
    from contrafact.report.figures import latent_axes

    if run is None and generator is None:
        raise ValueError("name a run folder, or a generator with --generator and directions with --use")
    finished = None if run is None else load_run(run)
    if generator is not None:
        made = load_generator(generator, changes)
    else:
        assert finished is not None
        made = changed(finished.generator, changes or {})
    is_its_own = generator is None or (finished is not None and _is_generator_of(finished, made))
    found = use is not None or (finished is not None and finished.has("directions"))
    if use is not None:
        directions = load_directions(use, made)
    elif finished is not None and found:
        directions = finished.directions
    else:
        directions = latent_axes(made)
    check_fit(directions, made)
    home = find_device(device)
    encoder = finished.encoder if finished is not None and is_its_own and finished.has("encoder") else None
    folder = None if finished is None else finished.folder
    kind = "direction" if found else "code"
    is_one_run = finished is not None and is_its_own and use is None
    return Subject(made.to(home).truncated(truncation), directions.to(home), encoder, folder, kind, is_one_run)


def _is_generator_of(run: FinishedRun, generator: Generator) -> bool:
    from contrafact.core.own_generator import is_it

    return run.is_on_own_generator and is_it(generator, run.config["source"])


def find_runs(
    folders: Sequence[Path], generators: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> list[FinishedRun]:
    """Finished runs, those on a module of somebody's own with the one of ``generators`` that they were made on.

    Args:
        folders: the runs'.
        generators: names of generators that the folders do not hold.
        changes: arguments of these generators that shall differ.

    Raises:
        ValueError: no run there, a generator that is of none of them, or ``changes`` of nothing.
    """
    from contrafact.core.method import load_run
    from contrafact.core.own_generator import check
    from contrafact.generators.checkpoints import load_generator

    if changes and not generators:
        raise ValueError("--set is of the generator that --generator names; leave it out")
    made = {name: load_generator(name, changes) for name in generators}
    runs, used = [], set()
    for folder in folders:
        run = load_run(folder)
        if made and run.is_on_own_generator:
            name = next((name for name, generator in made.items() if _is_generator_of(run, generator)), None)
            if name is None:
                name = generators[0]
                check(made[name], run.config["source"], run.folder)
            used.add(name)
            run = load_run(folder, made[name])
        runs.append(run)
    if idle := [name for name in generators if name not in used]:
        where = ", ".join(map(str, folders))
        raise ValueError(
            f"--generator {idle[0]} is of use only to a run on a module of your own, made on that module; {where} "
            "needs none, so leave it out (contrafact traverse and edit draw a run's directions on other generators)"
        )
    return runs


def find_run(folder: Path, generator: str | None, changes: Mapping[str, Any] | None = None) -> FinishedRun:
    """:func:`find_runs`, of one run."""
    return find_runs([folder], [] if generator is None else [generator], changes)[0]
