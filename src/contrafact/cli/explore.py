"""A page to play with: all directions as sliders, on a generator that runs inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.core.ranges import Share


@dataclass(frozen=True)
class Options:
    """Play with a run's directions: contrafact explore RUN --export page.html."""

    run: Positional[Path | None] = None
    """Run folder."""
    export: Path | None = None
    """Write one page with the generator inside, which opens in any browser without a server or a network."""
    fp16: bool = False
    """Store the exported page's weights in 16 bits, half as large."""
    runtime: Path | None = None
    """onnxruntime-web's npm package on disk; by default it is fetched once, and kept in the cache folder."""
    latents: Path | None = None
    """File of latents to offer, such as contrafact invert writes; by default the run's latents.safetensors."""
    generator: str | None = None
    """Generator instead of the run's."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    use: Path | None = None
    """File or run folder whose directions to take instead of the run's."""
    truncation: Share | None = None
    """Pulls drawn latents towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""
    device: str = "auto"
    """Where to measure the directions."""


def explore(arguments: Sequence[str]) -> None:
    """Write the page."""
    options = parse(Options, arguments, "explore")
    from contrafact.app.export import export_page
    from contrafact.app.session import Session
    from contrafact.core.claim import hold

    if options.export is None:
        raise ValueError("say where to write the page: --export page.html")
    hold(options.export)
    session = Session.open(
        options.run,
        options.generator,
        options.use,
        latents=options.latents,
        device=options.device,
        truncation=options.truncation,
        changes=changes_of(options.changes),
    )
    page = export_page(session, options.export, fp16=options.fp16, runtime=options.runtime)
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser")
