"""Play with a run or a generator in the browser: every direction a slider, your photographs, a film to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.ranges import Port, Share, Steps

if TYPE_CHECKING:
    from contrafact.app.session import Session


@dataclass(frozen=True)
class Options:
    """Serve a page with a run's directions as sliders, for this machine alone; or write it to one file (--export)."""

    run: Positional[Folder | None] = None
    """Run folder; or a generator's name or file, which alone is shown along its latent axes."""
    generator: str | None = None
    """Generator instead of the run's: a name, a checkpoint or a run folder; alone, its latent axes are the sliders."""
    use: FileOrFolder | None = None
    """File or run folder whose directions to take instead of the run's; GANSpace's, SeFa's, InterFaceGAN's … too."""
    latents: Path | None = None
    """File of latents to begin from, or another program's; by default the run's latents.safetensors."""
    compare: tuple[Folder, ...] = ()
    """Runs to compare with, on generators of the same latents."""
    out: Folder | None = None
    """Folder that what is saved goes to; by default RUN/explored."""
    port: Port = 0
    """Port to listen on; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs --expose-to-network."""
    expose_to_network: bool = False
    """Let other machines in: whoever learns the address uses the generator and writes into the run's folder."""
    browser: bool = True
    """Open the page in the browser."""
    steps: Steps = 400
    """Steps of the search for a photograph's latent."""
    export: Path | None = None
    """Instead of serving, write the page with the generator inside to this .html file, which needs no server."""
    fp16: bool = False
    """With --export: weights of half the size."""
    webgpu: bool = False
    """With --export: use the graphics processor where the browser has one that is faster; 4 MB more."""
    runtime: Path | None = None
    """With --export: onnxruntime-web's package as a .tgz file, for a machine without network."""
    truncation: Share | None = None
    """Pulls drawn latents towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    device: str = "auto"
    """Where to make the images."""


def explore(arguments: Sequence[str]) -> None:
    """Serve the page, or write it."""
    options = parse(Options, arguments, "explore")
    from contrafact.app.listen import check_host
    from contrafact.app.session import Session

    if options.export is None and (options.fp16 or options.webgpu or options.runtime is not None):
        raise ValueError("--fp16, --webgpu and --runtime are of --export; add it, or leave them out")
    check_host(options.host, options.expose_to_network)
    run, generator = run_or_generator(options.run, options.generator)
    session = Session.open(
        run,
        generator,
        options.use,
        latents=options.latents,
        compare=options.compare,
        device=options.device,
        truncation=options.truncation,
        changes=changes_of(options.changes),
    )
    if options.export is not None:
        from contrafact.app.export import export_page
        from contrafact.core.claim import hold

        hold(options.export)
        page = export_page(session, options.export, fp16=options.fp16, webgpu=options.webgpu, runtime=options.runtime)
        print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser")
        return
    _serve(session, options)


def run_or_generator(run: Path | None, generator: str | None) -> tuple[Path | None, str | None]:
    """The run and the generator that are meant where one word may be either.

    >>> run_or_generator(Path("shapes3d"), None)
    (None, 'shapes3d')
    """
    from contrafact.generators.checkpoints import generator_names

    if run is None or generator is not None or run.is_dir():
        return run, generator
    is_generator = run.is_file() or ":" in str(run) or str(run) in generator_names()
    return (None, str(run)) if is_generator else (run, None)


def _serve(session: Session, options: Options) -> None:
    from contrafact.app.desk import Desk
    from contrafact.app.keep import Keeper
    from contrafact.app.listen import open_browser, serve
    from contrafact.editing.inversion import InversionSettings

    desk = Desk(session, Keeper(session, options.out), InversionSettings(steps=options.steps))

    def ready(address: str) -> None:
        print(f"the page is at\n  {address}\nCtrl-C ends it", flush=True)
        if options.browser:
            open_browser(address)

    serve(desk, options.host, options.port, options.expose_to_network, ready)
    print("the page has ended")
