"""The page inside a notebook, from a server that runs as long as the notebook does, or until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from contrafact.app.desk import Desk
from contrafact.app.keep import Keeper
from contrafact.app.listen import start
from contrafact.app.session import Session
from contrafact.core.method import FinishedRun
from contrafact.report.figures import latent_axes
from contrafact.report.subject import Subject

_HEIGHT = 820


class Explorer:
    """A page that a notebook shows in a frame.

    Args:
        frame: attributes of the frame that say what it shows.
        address: of the live page, None for one without a server.
        stop: ends the server.
    """

    def __init__(self, frame: str, address: str | None = None, stop: Callable[[], None] = lambda: None) -> None:
        self.address, self.stop = address, stop
        self._frame = frame

    def __repr__(self) -> str:
        where = "in this cell" if self.address is None else f"at {self.address}; .stop() ends it"
        return f"Explorer({where})"

    def _repr_html_(self) -> str:
        return f'<iframe title="contrafact" {self._frame} width="100%" height="{_HEIGHT}" style="border:0"></iframe>'


def explore(run: FinishedRun, live: bool = True) -> Explorer:
    """The page of a run, for a notebook.

    Args:
        run: with a generator; its directions are the sliders, or else the generator's latent axes.
        live: serve it on this machine. A notebook whose kernel runs on another machine than the browser, such as
            Colab's, cannot reach that: there the generator goes into the page itself.

    Raises:
        ValueError: a run without generator, or packages that are missing.
    """
    found = run.has("directions")
    directions = run.directions if found else latent_axes(run.generator)
    encoder = run.encoder if run.has("encoder") else None
    kind = "direction" if found else "code"
    session = Session(Subject(run.generator, directions, encoder, run.folder, kind), {"run": run.folder})
    session.know()
    if not live:
        from contrafact.app.export import export_page

        with TemporaryDirectory(prefix="contrafact-") as folder:
            text = export_page(session, Path(folder, "page.html")).read_text("utf-8")
        return Explorer(f'srcdoc="{escape(text)}"')
    stop, address = start(Desk(session, Keeper(session)), framed=True)
    return Explorer(f'src="{escape(address)}"', address, stop)
