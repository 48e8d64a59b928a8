"""A user study on a server: a page for each participant at an address of its own, and the answers in its CSV."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrafact.app.door import HEADERS, Door, Guarded
from contrafact.core.direction_files import claim_file
from contrafact.core.files import read_json, write_text
from contrafact.core.foreign import check_fields
from contrafact.report.study import ANSWERS, KEY, QUESTIONS, study_page

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MOST_TEXT = 2**20


class Answers:
    """The participants of a study, and where their answers go.

    Args:
        folder: the study, as :func:`~contrafact.report.study.make_study` wrote it.

    Attributes:
        tokens: what each participant's address ends with, by their name: nobody finds another's page.

    Raises:
        ValueError: no study there, or one that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, where, remedy = folder, folder / KEY, "make the study again with `contrafact study make`"
        key = check_fields(read_json(where), {"participants": dict}, where, remedy)
        self._seen: dict[str, dict[str, Any]] = {}
        for name, said in key["participants"].items():
            found = check_fields(said, {"questions": list, "pictures": dict}, f"{where}: {name!r}", remedy)
            names = [name, *found["pictures"]]
            if any(Path(part).name != part for part in names) or not set(found["questions"]) <= set(QUESTIONS):
                raise ValueError(f"{where}: {name!r} names no files and questions of a study; {remedy}")
            self._seen[name] = found
        self.tokens = {name: secrets.token_urlsafe(24) for name in self._seen}

    def participant(self, token: str) -> str | None:
        """Whose token it is; None if it is nobody's."""
        return next((name for name, own in self.tokens.items() if secrets.compare_digest(own, token)), None)

    def page(self, name: str) -> str:
        """What a participant answers on."""
        return study_page(name, list(self._seen[name]["pictures"]), self._seen[name]["questions"], served=True)

    def picture(self, name: str, picture: str) -> Path | None:
        """A file of a participant's; None if it is none of their pictures, or gone."""
        path = self.folder / name / picture
        return path if picture in self._seen[name]["pictures"] and path.is_file() else None

    def keep(self, name: str, text: str) -> None:
        """Write a participant's answers to their CSV, over those they gave before.

        Args:
            name: the participant's.
            text: the whole table, as their page makes it.

        Raises:
            ValueError: another table than theirs.
        """
        pictures, questions = self._seen[name]["pictures"], self._seen[name]["questions"]
        rows = [line.split(",") for line in text.splitlines()]
        as_asked = [row[0] for row in rows] == ["picture", *pictures] and rows[0] == ["picture", *questions]
        if not as_asked or any(len(row) != len(rows[0]) or not set(row[1:]) <= {*ANSWERS, ""} for row in rows[1:]):
            raise ValueError(f"these are no answers of {name}: expected their pictures, each with {', '.join(ANSWERS)}")
        if not (self.folder / name).is_dir():
            raise ValueError(f"the folder of {name} is gone from the study, so the answers cannot be kept")
        path = self.folder / name / f"{name}.csv"
        with claim_file(path):
            write_text(path, "\n".join(",".join(row) for row in rows) + "\n")


def study_application(answers: Answers, door: Door) -> Starlette:
    """The web application of a study.

    Args:
        answers: the participants and their answers.
        door: who may come in; a participant's own token is asked for here.

    Raises:
        ValueError: starlette is not installed; the message says how to get it.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse
        from starlette.routing import Route
    except ImportError as error:
        raise ValueError("a study's pages need a few packages more: pip install 'contrafact[explore]'") from error

    def refused(text: str, status: int) -> Response:
        return PlainTextResponse(text, status, HEADERS)

    def named(request: Request) -> str | None:
        return answers.participant(request.path_params["token"])

    async def show(request: Request) -> Response:
        if (name := named(request)) is None:
            return refused("this address is nobody's in the study", 403)
        nonce = secrets.token_urlsafe(16)
        text = answers.page(name)
        for tag in ("script", "style"):
            text = text.replace(f"<{tag}>", f'<{tag} nonce="{nonce}">')
        rules = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, headers={**HEADERS, "Content-Security-Policy": rules})

    async def picture(request: Request) -> Response:
        name = named(request)
        path = None if name is None else answers.picture(name, request.path_params["picture"])
        return refused("no such picture", 404) if path is None else FileResponse(path, headers=HEADERS)

    async def keep(request: Request) -> Response:
        if (name := named(request)) is None:
            return refused("this address is nobody's in the study", 403)
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MOST_TEXT:
                return refused("these are no answers: too long", 413)
        try:
            answers.keep(name, content.decode())
        except UnicodeDecodeError:
            return refused("these are no answers: no text", 400)
        except ValueError as error:
            return refused(str(error), 400)
        except OSError as error:
            return refused(f"the answers could not be kept: {error.strerror or error}", 507)
        return PlainTextResponse("kept", headers=HEADERS)

    app = Starlette(
        routes=[
            Route("/study/{token}/", show),
            Route("/study/{token}/answers", keep, methods=["POST"]),
            Route("/study/{token}/{picture}", picture),
        ]
    )
    app.add_middleware(Guarded, door=door)
    return app
