"""What a page asks for, taken in: pictures go to the painter, all else to a few threads; answers go back.

Nothing that goes wrong ends the connection: it is said in one sentence, under the number of what was asked.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contrafact.app.again import command_again, python_again
from contrafact.app.client import Client, Left
from contrafact.app.film import film
from contrafact.app.keep import Keeper
from contrafact.app.line import Ask
from contrafact.app.painter import Painter
from contrafact.app.search import search
from contrafact.app.session import Session
from contrafact.app.state import Drawn, encode_values, parse_state
from contrafact.app.upload import invert_upload
from contrafact.app.wire import MOST_UPLOAD, packed, parsed, unpacked
from contrafact.core.foreign import first_line
from contrafact.core.ranges import Side, check_value
from contrafact.editing.inversion import InversionSettings

MOST_JOBS = 4
"""Jobs of one page at a time, pictures not counted; one search for a photograph at a time in all."""
_MOST_SLOT = 40
_THREADS = 4

Message = dict[str, Any]
Report = Callable[[int, int], None]


class Desk:
    """Answers pages that look at a session.

    Args:
        session: what they look at.
        keeper: writes what they keep.
        settings: how the latents of photographs are searched.
    """

    def __init__(self, session: Session, keeper: Keeper, settings: InversionSettings | None = None) -> None:
        self.session, self.keeper, self.settings = session, keeper, settings
        for known in (session, *session.rivals.values()):
            known.facts()  # measured now, with a bar, and not while a page waits
        self.clients: set[Client] = set()
        self.painter = Painter(session, self._painted)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="desk")
        # Apart, so that a name is given while films and searches take their time.
        self._patient = ThreadPoolExecutor(_THREADS, thread_name_prefix="patient")
        self._inverting = threading.Lock()
        self._jobs: dict[str, Callable[[Message, bytes, Report], Message | bytes]] = {
            "rename": self._rename,
            "invert": self._invert,
            "search": self._search,
            "save": self._save,
            "film": self._film,
            "again": self._again,
        }

    def facts(self, run: str | None = None) -> dict[str, Any]:
        """The facts of the session, or of a run compared with it, and what can be done here."""
        session = self.session if run is None else self.session.rivals.get(run, self.session)
        can = ["invert", "save", "film"]
        if self.session.named_in is not None:
            can.append("rename")
        if self.session.encoder is not None:
            can.append("search")
        if importlib.util.find_spec("av") is not None:
            can.append("mp4")
        return {**session.facts(), "runs": list(self.session.rivals), "can": can, "most_upload": MOST_UPLOAD}

    def enter(self, client: Client) -> None:
        """A page has connected: tell it what there is."""
        self.clients.add(client)
        client.say(id=None, type="facts", facts=self.facts())

    def leave(self, client: Client) -> None:
        """A page has gone: forget what it waits for."""
        self.clients.discard(client)
        self.painter.line.leave(client)
        client.cancel()

    def close(self) -> None:
        """End all work."""
        for client in self.clients:
            client.cancel()
        self.painter.close()
        for threads in (self._threads, self._patient):
            threads.shutdown(wait=True, cancel_futures=True)

    def receive(self, client: Client, message: str | bytes) -> None:
        """Take in one message; its answers follow."""
        number: int | None = None
        try:
            said, body = (parsed(message), b"") if isinstance(message, str) else unpacked(message)
            given = said.get("id")
            if isinstance(given, bool) or not isinstance(given, int):
                raise ValueError("a message has a whole number as its id")
            number = given
            self._take(client, number, said, body)
        except ValueError as error:
            client.say(id=number, type="error", message=str(error))

    def _take(self, client: Client, number: int, said: Message, body: bytes) -> None:
        kind = said.get("type")
        if kind == "render":
            self._render(client, number, said)
        elif kind == "cancel":
            of = said.get("of", number)
            if not client.cancel(of) and (waiting := self.painter.line.withdraw(client, of)) is not None:
                client.say(id=waiting.number, type="stale")
        elif kind == "facts":
            run = said.get("run")
            if run is not None and run not in self.session.rivals:
                raise ValueError(f"there is no run called {str(run)[:80]!r} to compare with")
            self._work(
                client, number, lambda said, body, report: {"type": "facts", "facts": self.facts(run)}, said, b""
            )
        elif isinstance(kind, str) and kind in self._jobs:
            self._work(client, number, self._jobs[kind], said, body)
        else:
            known = ", ".join(["render", "cancel", "facts", *self._jobs])
            raise ValueError(f"there is no message of type {str(kind)[:40]!r}; known: {known}")

    def _render(self, client: Client, number: int, said: Message) -> None:
        slot, side, want = said.get("slot", "main"), said.get("side"), said.get("want") or []
        if not isinstance(slot, str) or len(slot) > _MOST_SLOT:
            raise ValueError(f"a slot is a text of at most {_MOST_SLOT} characters")
        if not isinstance(want, list):
            raise ValueError("want is a list, such as ['codes']")
        if side is not None:
            side = check_value("side", side, Side)
        ask = Ask(client, number, slot, parse_state(said.get("state")), side, "codes" in want)
        older = self.painter.ask(ask)
        if older is not None:
            client.say(id=older.number, type="stale")

    def _painted(self, ask: Ask, facts: Message, picture: bytes | None) -> None:
        assert isinstance(ask.reader, Client)
        if picture is None:
            ask.reader.say(**{"id": ask.number, "slot": ask.slot, **facts})
        else:
            ask.reader.show(packed({"id": ask.number, **facts}, picture))

    def _work(
        self,
        client: Client,
        number: int,
        job: Callable[[Message, bytes, Report], Message | bytes],
        said: Message,
        body: bytes,
    ) -> None:
        """Do a job in a thread; its answer, or why there is none, goes to the client."""
        stop = client.begin(number, MOST_JOBS)

        def report(done: int, total: int) -> None:
            if stop.is_set():
                raise Left
            client.say(id=number, type="progress", done=done, total=total)

        def work() -> None:
            try:
                if stop.is_set():
                    raise Left
                answer = job(said, body, report)
                if isinstance(answer, bytes):
                    client.show(packed({"id": number, "type": "film", "format": said.get("kind", "gif")}, answer))
                else:
                    client.say(**{"id": number, "type": "done", **answer})
            except Left:
                client.say(id=number, type="cancelled")
            except OSError as error:
                client.say(id=number, type="error", message=f"{error.strerror or error}")
            except BaseException as error:  # the documented border: whatever it is, the page is told and goes on
                client.say(id=number, type="error", message=_said(error))
            finally:
                client.end(number)

        threads = self._patient if said.get("type") in ("invert", "film") else self._threads
        asyncio.get_running_loop().run_in_executor(threads, work)

    def _tell_all(self, **message: Any) -> None:
        for client in list(self.clients):
            client.say(id=None, **message)

    # -- jobs, each in a thread ---------------------------------------------------------------------------------------

    def _rename(self, said: Message, body: bytes, report: Report) -> Message:
        number, name = _number(said.get("number"), "number"), said.get("name")
        if not isinstance(name, str):
            raise ValueError("a direction's name is a text")
        name = self.keeper.rename(number, name)
        self._tell_all(type="renamed", number=number, name=name)
        return {"number": number, "name": name}

    def _invert(self, said: Message, body: bytes, report: Report) -> Message:
        if not body:
            raise ValueError("send the picture in the same message")
        while not self._inverting.acquire(timeout=0.2):
            report(0, 1)  # somebody else's photograph is searched
        try:
            name = invert_upload(self.keeper, str(said.get("name", "photograph"))[:200], body, report, self.settings)
        finally:
            self._inverting.release()
        self._tell_all(type="photos", photos=self.facts()["photos"])
        return {"photo": name}

    def _search(self, said: Message, body: bytes, report: Report) -> Message:
        value = said.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("value is the number that the code shall be")
        found = search(self.session, parse_state(said.get("state")), _number(said.get("code"), "code"), float(value))
        return {
            "latent": {"values": encode_values(found.latent)},
            "value": found.value,
            "distance": found.distance,
        }

    def _save(self, said: Message, body: bytes, report: Report) -> Message:
        what = said.get("what")
        if what == "directions":
            chosen, names = said.get("numbers"), said.get("names") or {}
            if not isinstance(chosen, list) or not isinstance(names, dict):
                raise ValueError('directions to save are {"numbers": [3, 0], "names": {"3": "smile"}}')
            numbers = [_number(number, "numbers") for number in chosen]
            given = {number: str(names[str(number)]) for number in numbers if str(number) in names}
            path = self.keeper.directions(numbers, given)
        elif what == "latent":
            path = self.keeper.latent(parse_state(said.get("state")), str(said.get("name") or "")[:80])
        elif what == "png":
            path = self.keeper.png(parse_state(said.get("state")))
        else:
            raise ValueError(f"what is directions, latent or png, got {str(what)[:40]!r}")
        return {"file": str(path), "name": path.name}

    def _film(self, said: Message, body: bytes, report: Report) -> bytes:
        states, fps = said.get("states"), said.get("fps", 15)
        if not isinstance(states, list) or isinstance(fps, bool) or not isinstance(fps, int | float):
            raise ValueError("a film has a list of states, and fps frames a second")
        return film(self.session, [parse_state(state) for state in states], said.get("kind", "gif"), fps, report)

    def _again(self, said: Message, body: bytes, report: Report) -> Message:
        state = parse_state(said.get("state"))
        session = self.session.of(state)
        session.moved(state)
        path = None if isinstance(state.latent, Drawn) else str(self.keeper.latent(state))
        return {
            "edit": command_again(session.source, state, path),
            "python": python_again(session.source, state, path, session.kind),
            "latents": path,
        }


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be whole numbers, got {str(value)[:40]!r}")
    return value


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, ValueError) else f"that failed: {first_line(error)}"
