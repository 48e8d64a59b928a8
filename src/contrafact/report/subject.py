"""What a command works on: a run, or a generator and directions brought together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrafact.core.directions import Directions
    from contrafact.core.encoder import Encoder
    from contrafact.core.generator import Generator


@dataclass(frozen=True)
class Subject:
    """A generator, directions that fit it, and the encoder that came with them.

    Attributes:
        folder: the run's, None where there is no run.
        kind: ``direction``, or ``code`` where the generator's latent axes stand in for directions.
    """

    generator: Generator
    directions: Directions
    encoder: Encoder | None
    folder: Path | None
    kind: str


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
        generator: name or file of a generator instead of the run's.
        use: run folder or file whose directions are taken instead of the run's.
        device: where to put both.
        truncation: of the generator instead of its own.
        changes: arguments of the generator that shall differ.

    Raises:
        ValueError: neither a run nor a generator, no such run or file, or directions that do not fit the generator.
    """
    from contrafact.core.direction_files import check_fit, load_directions
    from contrafact.core.method import load_run
    from contrafact.core.run import find_device
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
    found = use is not None or (finished is not None and finished.has("directions"))
    if use is not None:
        directions = load_directions(use)
    elif finished is not None and found:
        directions = finished.directions
    else:
        directions = latent_axes(made)
    check_fit(directions, made)
    home = find_device(device)
    encoder = finished.encoder if finished is not None and generator is None and finished.has("encoder") else None
    folder = None if finished is None else finished.folder
    kind = "direction" if found else "code"
    return Subject(made.to(home).truncated(truncation), directions.to(home), encoder, folder, kind)
