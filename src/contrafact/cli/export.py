"""Write chosen directions of a run to one file, to use with its generator anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import parse
from contrafact.cli._types import Folder
from contrafact.core.command import quoted


@dataclass(frozen=True)
class Options:
    """Write directions of a run, with their names, to a file of their own."""

    run: Positional[Folder]
    """Run folder."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the directions; by default all."""
    out: Path = Path("directions.safetensors")
    """File to write."""


def export(arguments: Sequence[str]) -> None:
    """Write the file."""
    options = parse(Options, arguments, "export")
    from contrafact.core.direction_files import export_directions
    from contrafact.core.method import load_run

    run = load_run(options.run)
    written = export_directions(run, options.out, options.directions)
    print(f"wrote {options.out}: {', '.join(written.names)}")
    generator = run.generator_options() or ["--generator", str(options.run)]
    print(f"next:\n  contrafact traverse {quoted(*generator, '--use', options.out, '--out', 'pictures')}")
