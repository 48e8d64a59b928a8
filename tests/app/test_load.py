"""Many pages at once, each moving sliders: everybody is served, the last state wins, memory stays."""

import gc
import io
import random
import threading
import time

import numpy as np
import pytest
from PIL import Image

from contrafact.app.session import Session
from contrafact.app.state import State, parse_state
from contrafact.core.pictures import to_bytes
from tests.app.talking import served, talking

PAGES = 20


class Mover(threading.Thread):
    """A person who drags a slider, never waiting for pictures, and looks at the last one."""

    def __init__(self, address, seconds, number):
        super().__init__(daemon=True)
        self.address, self.seconds, self.random = address, seconds, random.Random(number)
        self.pictures, self.errors, self.last, self.moves, self.final = 0, [], None, 0, None

    def run(self):
        with talking(self.address) as talk:
            end = time.monotonic() + self.seconds
            sent, answered = [], set()
            while time.monotonic() < end:
                magnitudes = {str(self.random.randrange(4)): round(self.random.uniform(-3, 3), 2)}
                self.final = {"latent": {"seed": self.random.randrange(1000)}, "magnitudes": magnitudes}
                sent.append(talk.send("render", slot="main", state=self.final))
                self.moves += 1
                end_of_step = time.monotonic() + 1 / 30
                while (left := end_of_step - time.monotonic()) > 0:
                    try:
                        self.note(*talk.receive(left), answered)
                    except TimeoutError:
                        break
            while len(answered) < len(sent):
                self.note(*talk.receive(60), answered)

    def note(self, facts, body, answered):
        answered.add(facts["id"])
        if facts["type"] == "picture":
            self.pictures += 1
            self.last = np.asarray(Image.open(io.BytesIO(body)))
        elif facts["type"] != "stale":
            self.errors.append(facts)


def moved(session, seconds):
    with served(session) as (desk, address):
        movers = [Mover(address, seconds, number) for number in range(PAGES)]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join(seconds + 120)
        assert not any(mover.is_alive() for mover in movers)
        assert not desk.painter.line._waiting
    return movers


def check(session, movers):
    assert [mover.errors for mover in movers] == [[]] * PAGES
    counts = [mover.pictures for mover in movers]
    assert min(counts) > 0
    assert min(counts) >= 0.5 * np.median(counts), f"not fair: {counts}"
    for mover in movers:
        expected = to_bytes(session.render([parse_state(mover.final)]))[0]
        # Beside other pages' states its numbers differ in the last digits.
        assert np.abs(mover.last.astype(int) - expected.astype(int)).max() <= 1


def test_twenty_pages_move_sliders_for_some_seconds(disco_folder):
    session = Session.open(disco_folder)
    check(session, moved(session, 4))


@pytest.mark.slow
def test_twenty_pages_move_sliders_for_a_minute(disco_folder):
    session = Session.open(disco_folder)
    check(session, moved(session, 60))


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_is_flat_after_a_thousand_moves(disco_folder):
    session = Session.open(disco_folder)
    with served(session) as (desk, address), talking(address) as talk:

        def move(count, first):
            for number in range(first, first + count):
                state = {"latent": {"seed": number}, "magnitudes": {"0": number % 50 / 10}}
                assert talk.picture(state, want=["codes"])[1] is not None

        move(300, 0)
        before = resident()
        move(1000, 300)
        assert resident() - before < 8 * 2**20
        assert not desk.painter.line._waiting
    assert session.render([State()]).shape == (1, 3, 16, 16)
