"""A page's side of the socket, in a test."""

import io
import itertools
import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image
from websockets.sync.client import connect

from contrafact.app.desk import Desk
from contrafact.app.keep import Keeper
from contrafact.app.listen import serving
from contrafact.app.session import Session
from contrafact.app.wire import packed, unpacked
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.editing.inversion import InversionSettings
from contrafact.report.subject import Subject

QUICK = InversionSettings(steps=20, starts=1, samples=16)


class Talk:
    """One open page."""

    def __init__(self, socket):
        self.socket, self.numbers = socket, itertools.count(1)
        self.facts = self.receive()[0]["facts"]

    def send(self, what_for, body=None, **said):
        number = next(self.numbers)
        message = {"id": number, "type": what_for, **said}
        self.socket.send(json.dumps(message) if body is None else packed(message, body))
        return number

    def receive(self, seconds=30):
        message = self.socket.recv(timeout=seconds)
        return (json.loads(message), b"") if isinstance(message, str) else unpacked(message)

    def answer(self, number, seconds=30):
        """What comes back under a number, progress left out."""
        while True:
            said, body = self.receive(seconds)
            if said["id"] == number and said["type"] != "progress" and said.get("final", True):
                return said, body

    def ask(self, what_for, body=None, **said):
        return self.answer(self.send(what_for, body, **said))[0]

    def picture(self, state, **said):
        facts, body = self.answer(self.send("render", slot=said.pop("slot", "main"), state=state, **said))
        return facts, np.asarray(Image.open(io.BytesIO(body))) if body else None


@contextmanager
def talking(address, **options):
    """A page connected to a server's address."""
    parts = urlsplit(address)
    with connect(f"ws://{parts.netloc}/socket?{parts.query}", max_size=None, **options) as socket:
        yield Talk(socket)


@contextmanager
def served(session, folder=None, framed=False):
    """A server of a session; yields its desk and its address."""
    desk = Desk(session, Keeper(session, folder), QUICK)
    with serving(desk, framed) as address:
        yield desk, address


def fetch(address, **headers):
    """Status, headers and body of a GET."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Slow(Generator):
    """Takes ``seconds`` for an image, once they are set; perhaps with a quick way to a small one, or a quick layer."""

    def __init__(self, small=True, layered=False):
        super().__init__()
        self.latent_dim = self.prior_dim = 3
        self.layer_names = ("first",) if layered else ()
        self.feature_margin = 2
        self.image_shape, self.seconds, self.small = (3, 32, 32), 0.0, small
        self.small_seconds, self.small_sides = 0.0, []

    def forward(self, latent):
        time.sleep(self.seconds * len(latent))
        return latent.sigmoid()[:, :, None, None].expand(-1, -1, 32, 32)

    def features(self, latent, layer):
        """Colours, a quarter of them each, beside what is no colour, with a margin of two pixels."""
        colours = latent.sigmoid()[:, :, None, None].expand(-1, -1, 20, 20) / 4
        return torch.cat((colours, torch.ones_like(colours[:, :1])), dim=1)

    def preview(self, latent, side):
        if not self.small:
            return None
        self.small_sides.append(side)
        time.sleep(self.small_seconds)
        return latent.sigmoid()[:, :, None, None].expand(-1, -1, 16, 16)


def slow_session(seconds, small=True, layered=False):
    """A session on :class:`Slow`, measured before it became slow."""
    generator = Slow(small, layered)
    directions = GlobalDirections.of(torch.eye(3)).requires_grad_(False)
    session = Session(Subject(generator, directions, None, None, "direction"))
    assert len(session.survey.directions) == 3
    generator.seconds = seconds
    return session
