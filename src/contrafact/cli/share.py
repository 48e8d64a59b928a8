"""Make a folder or a repository of the Hugging Face Hub of a run, with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import Positional

from contrafact.cli._parse import parse, print_table
from contrafact.cli._types import Folder


@dataclass(frozen=True)
class Options:
    """Write a run as it may be passed on: weights, a card with picture and scores, the lines that load it."""

    run: Positional[Folder]
    """Run folder."""
    to: str
    """Folder to write, or hf://ORG/REPO[@BRANCH] to upload to (pip install 'contrafact[hub]', hf auth login)."""
    license: str = "unknown"
    """License of the weights, by its short name on the Hub: mit, apache-2.0, cc-by-4.0."""
    private: bool = False
    """Make a new repository private."""
    dry_run: bool = False
    """Say what would be uploaded, and upload nothing."""


def share(arguments: Sequence[str]) -> None:
    """Write or upload, and print what and how to load it."""
    options = parse(Options, arguments, "share")
    from contrafact.core.hub import is_hub
    from contrafact.core.method import load_run
    from contrafact.report.share import UNKNOWN_LICENSE, share_run, upload_run

    if not is_hub(options.to) and (options.private or options.dry_run):
        raise ValueError("--private and --dry-run are of an upload: --to hf://ORG/REPO")
    run = load_run(options.run)
    if is_hub(options.to):
        shared = upload_run(run, options.to, options.license, options.private, options.dry_run)
    else:
        shared = share_run(run, options.to, options.license)
    print_table((name, f"{size:,} bytes") for name, size in shared.files.items())
    print(f"{'nothing uploaded; would be at' if options.dry_run else 'shared as'} {shared.address}")
    if run.is_on_own_generator:
        print("without the generator, which is a module of your own: say in the card where it is to be had")
    if options.license == UNKNOWN_LICENSE:
        print("license unknown: say which with --license, so that others may use it")
    print("next:\n" + "\n".join(f"  {line}" for line in shared.lines))
