"""The live page's server, over a real socket of this machine."""

import io
import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from contrafact.app.listen import address_of, bind, check_host
from contrafact.app.session import Session
from contrafact.app.state import State, encode_values, parse_state
from contrafact.core.artefact import save_artefact
from contrafact.core.direction_files import load_directions
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import sample_latents
from contrafact.core.method import load_run
from contrafact.core.pictures import to_bytes
from contrafact.editing.latents import edit, load_latents
from contrafact.report.subject import Subject
from tests.app.talking import fetch, served, slow_session, talking
from tests.report.tiny_runs import Stripes

MOVED = {"latent": {"seed": 7}, "magnitudes": {"0": 1.5, "2": -1.0}}


@pytest.fixture
def session(disco_folder):
    return Session.open(disco_folder)


@pytest.fixture
def page(session):
    with served(session) as (_, address), talking(address) as talk:
        yield talk


def striped(**changes):
    generator = Stripes(3, (3, 4, 6))
    directions = GlobalDirections.of(torch.eye(3)[:2]).requires_grad_(False)
    return Session(Subject(generator, directions, None, None, "direction"), **changes)


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{}, MOVED, {"latent": {"seed": 3}, "truncation": 0.5}])
def test_a_picture_is_the_generators_to_the_byte(page, disco_folder, state):
    run = load_run(disco_folder)
    generator = run.generator.truncated(state.get("truncation"))
    seed = state.get("latent", {"seed": 0})["seed"]
    latent = sample_latents(generator, 1, torch.Generator().manual_seed(seed))
    steps = [(int(n), m) for n, m in state.get("magnitudes", {}).items()]
    expected = to_bytes(generator(edit(generator, run.directions, latent, steps) if steps else latent))[0]
    facts, pixels = page.picture(state)
    assert np.array_equal(pixels, expected)
    assert (facts["width"], facts["height"], facts["format"], facts["final"]) == (16, 16, "webp", True)


def test_codes_are_the_encoders(page, session):
    facts, pixels = page.picture(MOVED, want=["codes"])
    image = session.render([parse_state(MOVED)])
    assert facts["codes"] == pytest.approx(session.codes(image)[0].tolist(), abs=1e-5)
    assert pixels is not None


def test_a_small_picture_is_the_average_of_the_large(page, session):
    facts, pixels = page.picture(MOVED, side=4)
    image = session.render([parse_state(MOVED)])
    expected = to_bytes(image.unflatten(2, (4, 4)).unflatten(4, (4, 4)).mean(dim=(3, 5)))[0]
    assert pixels.shape == (4, 4, 3)
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1
    assert facts["width"] == 4


def test_a_direction_beyond_its_limit_comes_with_a_warning(page):
    limit = max(found["limit"] for found in page.facts["directions"])
    facts, _ = page.picture({"magnitudes": {"0": limit + 0.5}})
    assert "where images leave the data" in facts["warnings"][0]
    assert page.picture({"magnitudes": {"0": 0.1}})[0]["warnings"] == []


def test_of_ten_rapid_moves_the_last_is_drawn():
    session = slow_session(0.1, small=False)
    with served(session) as (_, address), talking(address) as talk:
        states = [{"magnitudes": {"0": round(0.1 * k, 1)}} for k in range(1, 11)]
        numbers = [talk.send("render", slot="main", state=state) for state in states]
        said = {}
        while numbers[-1] not in said:
            facts, body = talk.receive()
            said[facts["id"]] = (facts["type"], body)
        kinds = [said[number][0] for number in numbers]
        assert kinds[-1] == "picture"
        assert kinds.count("stale") >= 6
        expected = to_bytes(session.render([parse_state(states[-1])]))[0]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(said[numbers[-1]][1]))), expected)


def test_a_slow_picture_is_preceded_by_a_small_one():
    with served(slow_session(0.2)) as (_, address), talking(address) as talk:
        number = talk.send("render", slot="main", state={})
        (first, small), (last, large) = (talk.receive() for _ in range(2))
        assert (first["id"], first["final"], last["id"], last["final"]) == (number, False, number, True)
        assert [Image.open(io.BytesIO(body)).size for body in (small, large)] == [(16, 16), (32, 32)]
        assert first["seconds"] < 0.1 < last["seconds"]


def test_a_small_picture_that_takes_long_is_made_smaller():
    session = slow_session(0.2)
    with served(session) as (_, address), talking(address) as talk:
        session.generator.small_sides.clear()
        session.generator.small_seconds = 0.18
        for seed in range(4):
            talk.picture({"latent": {"seed": seed}})
    assert session.generator.small_sides == [64, 32, 16, 16]


def test_the_first_small_picture_is_one_that_comes_in_time():
    session = slow_session(0.2)
    session.generator.small_seconds = 0.18
    with served(session) as (_, address), talking(address) as talk:
        session.generator.small_sides.clear()
        talk.picture({})
    assert session.generator.small_sides == [16]


def test_a_small_picture_is_enough_where_that_was_asked_for():
    with served(slow_session(0.2)) as (_, address), talking(address) as talk:
        facts, pixels = talk.picture({}, side=16)
        assert facts["seconds"] < 0.1
        assert pixels.shape == (16, 16, 3)


def test_a_slow_generator_of_no_small_pictures_shows_what_its_layers_tell(monkeypatch):
    monkeypatch.setattr("contrafact.app.session._LEARNING_SECONDS", 0.0)
    session = slow_session(0.2, small=False, layered=True)
    with served(session) as (_, address), talking(address) as talk:
        number = talk.send("render", slot="main", state=MOVED)
        (first, small), (last, large) = (talk.receive() for _ in range(2))
        assert (first["id"], first["final"], last["id"], last["final"]) == (number, False, number, True)
        small, large = (np.asarray(Image.open(io.BytesIO(body))).astype(int) for body in (small, large))
        assert (small.shape, large.shape) == ((16, 16, 3), (32, 32, 3))
        assert np.abs(small - large[::2, ::2]).max() <= 4  # the ridge
        # A guess is not enough, however small the picture that was asked for.
        assert talk.picture(MOVED, side=16)[0]["seconds"] > 0.1


def test_what_waits_together_is_drawn_together(session):
    sizes, real = [], session.images
    started, go = threading.Event(), threading.Event()

    def images(moved):
        sizes.append(len(moved))
        started.set()
        assert go.wait(20)
        return real(moved)

    with served(session) as (_, address), talking(address) as one, talking(address) as two:
        session.images = images
        first = one.send("render", slot="main", state={})
        assert started.wait(20)
        numbers = [one.send("render", slot=slot, state=MOVED) for slot in ("before", "plane")]
        other = two.send("render", slot="main", state=MOVED)
        two.send("again", state={"latent": {"seed": 1}})  # its answer comes when the render before it is in line
        two.receive()
        one.send("facts")
        one.receive()
        go.set()
        assert one.answer(first)[0]["type"] == one.answer(numbers[1])[0]["type"] == "picture"
        assert two.answer(other)[0]["type"] == "picture"
    assert sizes == [1, 3]


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_a_name_is_written_to_the_run_and_told_to_every_page(session, disco_folder):
    with served(session) as (_, address), talking(address) as one, talking(address) as two:
        assert one.ask("rename", number=2, name=" שלום <b> ")["name"] == "שלום <b>"
        told = two.receive()[0]
        assert (told["type"], told["number"], told["name"]) == ("renamed", 2, "שלום <b>")
        assert load_directions(disco_folder).names[2] == "שלום <b>"
        assert "number" in one.ask("rename", number=1, name="7")["message"]
        assert "called" in one.ask("rename", number=1, name="שלום <b>")["message"]
        with talking(address) as three:
            assert {found["name"] for found in three.facts["directions"]} >= {"שלום <b>"}


def test_axes_of_a_generator_have_no_file_to_be_named_in():
    with served(Session.open(generator="analytic")) as (_, address), talking(address) as talk:
        assert "rename" not in talk.facts["can"]
        assert "save them first" in talk.ask("rename", number=0, name="x")["message"]


def test_a_photograph_is_inverted_and_remembered(session, disco_folder):
    photograph = to_bytes(session.render([State()]))[0]
    stream = io.BytesIO()
    Image.fromarray(photograph).resize((24, 20)).save(stream, format="PNG")
    with served(session) as (_, address), talking(address) as one, talking(address) as two:
        number = one.send("invert", stream.getvalue(), name="../../etc/ann.png")
        kinds = []
        while (said := one.receive()[0])["id"] != number or said["type"] == "progress":
            kinds.append(said["type"])
        assert said["photo"] == "ann"
        assert "progress" in kinds
        assert two.receive()[0]["photos"] == ["ann"]
        again = one.answer(one.send("invert", stream.getvalue(), name="ann.png"))[0]
        assert again["photo"] == "ann 2"
        assert one.picture({"latent": {"photo": "ann"}, "magnitudes": {"1": 1}})[1] is not None
    stored = load_latents(disco_folder / "latents.safetensors")
    assert stored.names == ["ann", "ann 2"]
    assert stored.targets.shape == (2, 3, 16, 16)
    assert len(stored.facts["psnr"]) == 2
    assert not list(disco_folder.glob(".*"))


def test_what_is_no_picture_is_refused_by_its_name(page):
    said = page.answer(page.send("invert", b"GIF89a, or so it says", name="cat.gif"))[0]
    assert said["type"] == "error"
    assert "cat" in said["message"]
    assert "contrafact-" not in said["message"], "no path of a temporary folder"
    assert page.picture({})[1] is not None


def test_a_search_for_a_photograph_is_cancelled(session):
    with served(session) as (desk, address), talking(address) as talk:
        stream = io.BytesIO()
        Image.fromarray(to_bytes(session.render([State()]))[0]).save(stream, format="PNG")
        desk.settings = None  # as long as usual
        number = talk.send("invert", stream.getvalue(), name="ann.png")
        while talk.receive()[0]["type"] != "progress":
            pass
        talk.send("cancel", of=number)
        assert talk.answer(number)[0]["type"] == "cancelled"
        assert talk.ask("facts")["facts"]["photos"] == []


def test_chosen_and_renamed_directions_are_saved(page, disco_folder, session):
    said = page.ask("save", what="directions", numbers=[3, 1], names={"3": "smile"})
    assert said["file"] == str(disco_folder / "explored" / "directions-1.safetensors")
    saved = load_directions(said["file"])
    assert saved.names == ["smile", session.directions.names[1]]
    latent = torch.zeros(1, 6)
    # What is saved is of unit length already and made so once more when used: the last bit may differ.
    assert torch.allclose(saved(latent, 0, 1.0), session.directions(latent, 3, 1.0), rtol=1e-6)
    assert page.ask("save", what="directions", numbers=[0])["name"] == "directions-2.safetensors"
    assert "at least one" in page.ask("save", what="directions", numbers=[])["message"]
    assert "99" in page.ask("save", what="directions", numbers=[99])["message"]
    assert "what is" in page.ask("save", what="../x")["message"]


def test_saved_files_are_fetched_with_the_token_and_no_others(session, disco_folder):
    with served(session) as (_, address), talking(address) as talk:
        name = talk.ask("save", what="png", state=MOVED)["name"]
        base, _, query = address.partition("?")
        status, headers, body = fetch(f"{base}saved/{name}?{query}")
        assert status == 200
        assert name in headers["content-disposition"]
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(body))), to_bytes(session.render([parse_state(MOVED)]))[0]
        )
        assert fetch(f"{base}saved/{name}")[0] == 403
        for path in ("config.json", "..%2Fconfig.json", "..%2f..%2fetc%2fpasswd"):
            assert fetch(f"{base}saved/{path}?{query}")[0] == 404


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_film_has_a_frame_for_each_state(page, kind):
    if kind == "mp4":
        pytest.importorskip("av")
    states = [{"magnitudes": {"0": m}} for m in (-2, -1, 0, 1, 2)]
    facts, body = page.answer(page.send("film", states=states, kind=kind, fps=10))
    assert facts["format"] == kind
    if kind == "gif":
        picture = Image.open(io.BytesIO(body))
        assert (picture.n_frames, picture.size) == (5, (256, 256))
    else:
        assert body[4:8] == b"ftyp"
    assert "frames" in page.ask("film", states=[], kind="gif")["message"]
    assert "gif or an mp4" in page.ask("film", states=[{}], kind="avi")["message"]


def test_a_code_is_dragged_to_the_nearest_latent(page, session):
    start = page.picture(MOVED, want=["codes"])[0]["codes"]
    spread = page.facts["codes"][1]
    wanted = start[1] + 0.3 * (spread["high"] - spread["low"])
    found = page.ask("search", state=MOVED, code=1, value=wanted)
    after = page.picture({**MOVED, "latent": found["latent"]}, want=["codes"])[0]["codes"]
    assert after[1] == pytest.approx(wanted, abs=0.02 * abs(wanted - start[1]))
    assert found["value"] == pytest.approx(after[1], abs=1e-4)
    assert 0 < found["distance"] < 4
    assert page.ask("search", state=MOVED, code=1, value=wanted)["latent"] == found["latent"]
    assert "no code 5" in page.ask("search", state=MOVED, code=5, value=0)["message"]


# -- who may come in --------------------------------------------------------------------------------------------------


@pytest.fixture
def address():
    with served(striped()) as (_, address):
        yield address


def test_the_page_has_a_policy_and_loads_only_its_own_modules(address):
    status, headers, body = fetch(address)
    assert status == 200
    rules = headers["content-security-policy"]
    nonce = rules.partition("'nonce-")[2].partition("'")[0]
    assert f'nonce="{nonce}"'.encode() in body
    assert "default-src 'none'" in rules
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in rules
    assert headers["referrer-policy"] == "no-referrer"
    assert fetch(address)[1]["content-security-policy"] != rules, "a nonce is for one page"
    base = address.partition("?")[0]
    status, headers, body = fetch(f"{base}static/page.css")
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    for name in ("session.py", "page.html", "..%2Fcore%2Frun.py", "none.js"):
        assert fetch(f"{base}static/{name}")[0] == 404


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        (lambda url: url + "x", {}),
        (lambda url: url.partition("?")[0], {}),
        (lambda url: url, {"Host": "evil.example:8080"}),
        (lambda url: url, {"Origin": "http://evil.example"}),
        (lambda url: url, {"Origin": "null"}),
    ],
    ids=["wrong token", "no token", "rebound name", "another page", "a sandboxed frame"],
)
def test_strangers_are_shown_the_door(address, change, headers):
    assert fetch(change(address), **headers)[0] == 403
    parts = urlsplit(change(address))
    host, origin = headers.get("Host", parts.netloc), headers.get("Origin")
    with socket.create_connection((parts.hostname, parts.port)) as plain, pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://{host}/socket?{parts.query}", origin=origin, sock=plain)


def test_the_pages_own_origin_may_connect(address):
    parts = urlsplit(address)
    with connect(f"ws://{parts.netloc}/socket?{parts.query}", origin=f"http://{parts.netloc}") as opened:
        assert "facts" in opened.recv()
    assert fetch(address, Host=f"localhost:{parts.port}")[0] == 200


def test_other_machines_come_only_where_somebody_says_so():
    with pytest.raises(ValueError, match="--expose-to-network") as refused:
        check_host("0.0.0.0", False)
    assert "not encrypted" in str(refused.value)
    assert check_host("0.0.0.0", True) == "0.0.0.0"
    assert check_host("::1", False) == "::1"
    assert address_of("0.0.0.0", 80) == "http://localhost:80"


def test_a_taken_port_is_said():
    with bind("127.0.0.1", 0) as taken, pytest.raises(ValueError, match="choose another --port"):
        bind("127.0.0.1", taken.getsockname()[1])


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("hello", "not valid JSON"),
        ("[1]", "an object with id and type"),
        ('{"type": "render"}', "whole number as its id"),
        ('{"id": 1, "type": "delete"}', "no message of type 'delete'; known: render"),
        ('{"id": 1, "type": "render", "state": 3}', "a state is an object"),
        ('{"id": 1, "type": "render", "state": {}, "side": 0}', "side"),
        ('{"id": 1, "type": "render", "state": {}, "slot": 5}', "a slot is a text"),
        ('{"id": 1, "type": "render", "state": {"magnitudes": {"0": 1e9}}}', "at most"),
        ('{"id": 1, "type": "facts", "run": "x"}', "no run called 'x'"),
        ('{"id": 1, "type": "invert"}', "send the picture"),
        ("[" * 100_000, "not valid JSON"),
        (b"\xff\xff\xff\xff{}", "header"),
        (b"x", "length of its header"),
    ],
)
def test_nonsense_is_answered_and_the_next_message_too(address, message, words):
    with talking(address) as talk:
        talk.socket.send(message)
        said = talk.receive()[0]
        assert said["type"] == "error"
        assert words in said["message"]
        assert talk.picture({})[1] is not None


def test_an_image_of_nan_is_said_and_costs_no_other(monkeypatch):
    session = striped()
    real = Stripes.forward

    def forward(self, latent):
        return torch.where(latent[:, :1, None, None] > 0, 1, torch.nan) * real(self, latent)

    monkeypatch.setattr(Stripes, "forward", forward)
    seeds = {bool(session.latent_of(parse_state({"latent": {"seed": s}}).latent)[0, 0] > 0): s for s in range(20)}
    with served(session) as (_, address), talking(address) as talk:
        bad, _ = talk.picture({"latent": {"seed": seeds[False]}})
        assert "NaN" in bad["message"]
        assert talk.picture({"latent": {"seed": seeds[True]}})[1] is not None
        assert any("NaN" in note for note in talk.facts["notes"])


def test_a_generator_of_nan_is_measured_and_read_all_the_same(session, monkeypatch):
    real = session.generator.forward

    def forward(latent):
        return torch.where(latent[:, :1, None, None] > 0, 1, torch.nan) * real(latent)

    monkeypatch.setattr(session.generator, "forward", forward)
    facts = session.facts()
    assert "some images hold NaN or infinite values; check the generator" in facts["notes"]
    assert all(found["strength"] > 0 for found in facts["directions"])
    assert all(np.isfinite([code["low"], code["high"]]).all() for code in facts["codes"])


def test_a_name_is_given_while_photographs_are_searched(session):
    with served(session) as (desk, address), talking(address) as talk, talking(address) as other:
        go = threading.Event()
        desk._jobs["invert"] = lambda said, body, report: {"photo": str(go.wait(20))}
        numbers = [talk.send("invert", b"picture") for _ in range(4)]
        assert other.ask("rename", number=0, name="smile")["name"] == "smile"
        go.set()
        assert {talk.answer(number)[0]["photo"] for number in numbers[:1]} == {"True"}


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError(), SystemExit(3), KeyError("x")])
def test_a_thread_that_fails_or_ends_is_not_the_end(monkeypatch, error):
    session = striped()
    with served(session) as (_, address), talking(address) as talk:

        def fail(moved):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(session, "images", fail)
            facts, _ = talk.picture({})
            assert "could not be drawn" in facts["message"]
        assert talk.picture({})[1] is not None


def test_a_full_disk_is_said(page, monkeypatch, disco_folder):
    import errno
    import os

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("contrafact.core.files.os.fsync", full)
        assert "no space left" in page.ask("save", what="latent", state=MOVED)["message"]
        assert "no space left" in page.ask("rename", number=0, name="smile")["message"]
    assert load_directions(disco_folder).names[0] == "direction 0"
    assert page.picture({})[1] is not None
    assert page.ask("save", what="latent", state=MOVED)["type"] == "done"


def test_a_deleted_run_is_said(page, disco_folder):
    import shutil

    shutil.rmtree(disco_folder)
    assert "does not exist" in page.ask("rename", number=0, name="smile")["message"]
    assert "is gone" in page.ask("save", what="png", state=MOVED)["message"]
    number = page.send("invert", b"never read, as it could not be kept", name="me.png")
    assert "is gone" in page.answer(number)[0]["message"]
    assert page.picture(MOVED)[1] is not None
    assert page.ask("facts")["facts"]["title"] == "disco", "another tab opens, too"
    assert not disco_folder.exists()


def test_a_page_that_left_leaves_nothing_behind(session):
    with served(session) as (desk, address):
        with talking(address) as talk:
            talk.picture({})
            talk.send("render", slot="main", state=MOVED)
        deadline = time.monotonic() + 10
        while desk.clients and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not desk.clients
        with talking(address) as talk:
            assert talk.picture(MOVED)[1] is not None


def test_too_many_jobs_of_one_page_are_refused(session):
    with served(session) as (desk, address), talking(address) as talk:
        go = threading.Event()
        desk._jobs["again"] = lambda said, body, report: {"waited": go.wait(20)}
        numbers = [talk.send("again", state={}) for _ in range(5)]
        assert "wait until one is done" in talk.answer(numbers[-1])[0]["message"]
        go.set()
        assert {talk.receive()[0]["id"] for _ in range(4)} == set(numbers[:4])


def test_two_runs_are_looked_at_on_one_page(session, tmp_path, vae_folder):
    folder = tmp_path / "second"
    save_artefact(GlobalDirections.of(torch.eye(6)[:2], names=["up", "away"]), tmp_path / "few.safetensors")
    few = load_directions(tmp_path / "few.safetensors")
    session.add_rival(Session(Subject(session.generator, few, None, folder, "direction"), {"run": folder}))
    with served(session) as (_, address), talking(address) as talk:
        assert talk.facts["runs"] == ["second"]
        assert len(talk.ask("facts", run="second")["facts"]["directions"]) == 2
        latent = session.latent_of(parse_state({"latent": {"seed": 7}}).latent)
        expected = to_bytes(session.generator(edit(session.generator, few, latent, [(1, 2.0)])))[0]
        _, pixels = talk.picture({"latent": {"seed": 7}, "magnitudes": {"1": 2}, "run": "second"})
        assert np.array_equal(pixels, expected)


def test_a_latent_of_its_own_numbers_comes_back(page, session):
    latent = session.latent_of(parse_state({"latent": {"seed": 7}}).latent)
    _, drawn = page.picture({"latent": {"seed": 7}})
    assert np.array_equal(page.picture({"latent": {"values": encode_values(latent)}})[1], drawn)
