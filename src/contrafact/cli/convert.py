"""Turn another program's generator checkpoint into one of contrafact's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse, print_table
from contrafact.core.command import quoted


@dataclass(frozen=True)
class Options:
    """Read a generator without running code from its file, and write weights and a description of them."""

    source: Positional[str]
    """Checkpoint, run folder or name of a generator."""
    target: Positional[Path]
    """File to write, *.safetensors."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""


def convert(arguments: Sequence[str]) -> None:
    """Write the file and print what it holds."""
    options = parse(Options, arguments, "convert")
    from contrafact.generators.checkpoints import convert as convert_checkpoint

    facts = convert_checkpoint(options.source, options.target, changes_of(options.changes))
    print_table(((key, str(value)) for key, value in facts.items() if value not in (None, {}, [])), indent="")
    print(f"wrote {options.target}\nnext:\n  contrafact show generator {quoted(options.target)}")
