"""A photograph from a browser: read with the care that any file gets, and the latent that makes it searched."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contrafact.app.keep import Keeper
from contrafact.core.catalog import slug
from contrafact.core.decoding import shown_name
from contrafact.core.progress import watched
from contrafact.editing.inversion import InversionSettings, invert_photographs

_EVERY_SECONDS = 0.1


def invert_upload(
    keeper: Keeper,
    name: str,
    content: bytes,
    progress: Callable[[int, int], None],
    settings: InversionSettings | None = None,
) -> str:
    """Search the latent of a picture and remember it; returns the name it got.

    A picture of another size is scaled and cut as ``--fit crop`` does.

    Args:
        keeper: of the session whose generator is searched.
        name: of the file, for the latent's name; no path is made of it.
        content: the file's bytes.
        progress: called with steps done and in all, some times a second; what it raises ends the search.
        settings: how to search.

    Raises:
        ValueError: no picture, or one that cannot be used.
    """
    keeper.check_run()  # or the search would be for nothing
    called = Path(name.replace("\\", "/")).stem
    last = 0.0

    def watch(what: str, done: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _EVERY_SECONDS or done == total:
            last = now
            progress(done, total)

    session = keeper.session
    with tempfile.TemporaryDirectory(prefix="contrafact-") as folder:
        picture = Path(folder, slug(called)[:40] or "picture")
        picture.write_bytes(content)
        try:
            with watched(watch):
                stored, _ = invert_photographs(session.generator, [picture], "crop", session.encoder, settings)
        except ValueError as error:  # the folder is ours and of no use to anybody
            raise ValueError(str(error).replace(str(picture), shown_name(called))) from error
    return keeper.photograph(called, stored)
