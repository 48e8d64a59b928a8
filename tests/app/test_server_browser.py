"""The served page in a real browser: its pixels, renaming, photographs, and a connection that drops."""

import io
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from contrafact.app.session import Session
from contrafact.app.state import Drawn, Photo, State
from contrafact.core.direction_files import load_directions
from contrafact.core.method import load_run
from contrafact.core.pictures import to_bytes
from tests.app.talking import served, slow_session
from tests.app.test_export_browser import go, shown
from tests.conftest import TINY_DISCO, quiet

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(vae_folder, tmp_path_factory):
    from contrafact.methods.disco import DisCo

    made = tmp_path_factory.mktemp("served") / "run"
    DisCo.of(**TINY_DISCO).fit(load_run(vae_folder).generator, quiet(made))
    return made


@pytest.fixture(scope="module")
def rival(vae_folder, tmp_path_factory):
    from contrafact.methods.ganspace import GANSpace

    made = tmp_path_factory.mktemp("served") / "rival"
    GANSpace.of(num_directions=3).fit(load_run(vae_folder).generator, quiet(made))
    return made


@pytest.fixture(scope="module")
def session(folder, rival):
    return Session.open(folder, compare=[rival])


@pytest.fixture(scope="module")
def sockets():
    """The page's websockets, as Playwright stands between their two ends."""
    return []


@pytest.fixture(scope="module")
def server(session):
    with served(session) as desk_and_address:
        yield desk_and_address


@pytest.fixture
def desk(server):
    return server[0]


@pytest.fixture(scope="module")
def opened(browser, server, sockets):
    address = server[1]
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    def between(socket):
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/socket*", between)
    page.goto(address)
    page.wait_for_selector("#main[data-shows='seed=0']")
    yield page
    page.close()
    assert problems == []
    origin = address.partition("?")[0]
    assert [url for url in requests if not url.startswith((origin, "data:", "blob:"))] == []


@pytest.fixture
def page(opened):
    go(opened, "seed=0")
    return opened


def expected(session, *state):
    return to_bytes(session.render([State(*state)]))[0].astype(int)


@pytest.mark.parametrize("seed", [0, 5, 123_456])
@pytest.mark.parametrize(
    "steps", [(), ((0, 1.5),), ((1, -2.0),), ((0, 0.5), (3, 2.25)), ((1, 1.0), (2, -1.0), (3, 3.0))]
)
def test_pixels_are_the_generator_s(page, session, seed, steps):
    moved = "%2C".join(f"{number}%3A{magnitude:g}" for number, magnitude in steps)
    go(page, f"seed={seed}{f'&move={moved}' if moved else ''}")
    assert np.abs(shown(page) - expected(session, Drawn(seed), steps)).max() <= 1


def test_a_new_name_is_in_the_run(page, folder):
    page.click(".slider[data-number='1'] .name")
    page.keyboard.type("turn <b>")
    page.keyboard.press("Enter")
    page.wait_for_selector(".slider[data-number='1'] .name:text('turn <b>')")
    assert load_directions(folder).names[1] == "turn <b>"
    page.click(".slider[data-number='2'] .name")
    page.keyboard.type("turn <b>")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message:text('already')")
    assert load_directions(folder).names[2] == "direction 2"


def drop(page, name, image):
    picture = io.BytesIO()
    image.save(picture, "PNG")
    page.evaluate(
        """([name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
          for (const type of ["dragenter", "dragover", "drop"]) {
            document.getElementById("stage").dispatchEvent(
              new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
          }
        }""",
        [name, list(picture.getvalue())],
    )


def test_a_dropped_photograph_is_inverted(page, session):
    drop(page, "me.png", Image.fromarray(expected(session, Drawn(9)).astype(np.uint8)))
    page.wait_for_selector("#main[data-shows='photo=me']")
    assert page.is_hidden("#inversion")
    assert np.abs(shown(page) - expected(session, Photo("me"))).max() <= 1
    page.click("#keep button[aria-label='Copy Command']")
    page.wait_for_selector("#keep code:text('--latents')")


def test_what_is_no_photograph_is_refused_and_the_page_goes_on(page):
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    page.wait_for_selector("#message.serious:text('notes.txt'), #message.serious:text('picture')")
    go(page, "seed=2")


def test_a_photograph_too_large_to_send_is_said_and_the_page_goes_on(page, sockets):
    before = len(sockets)
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(33 * 2 ** 20)], "huge.png", { type: "image/png" }));
          document.getElementById("stage").dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    page.wait_for_selector("#message.serious:text('huge.png has 33 MiB; a photograph may have at most 32')")
    go(page, "seed=3")
    assert len(sockets) == before, "the connection was not lost"


def test_a_search_can_be_stopped(page, desk):
    with desk._inverting:  # as while somebody else's photograph is searched
        drop(page, "other.png", Image.new("RGB", (40, 40), (200, 20, 40)))
        page.click("#inversion-stop")
        page.wait_for_selector("#inversion", state="hidden")
    assert page.is_hidden("#message")
    assert page.get_attribute("#main", "data-shows") == "seed=0"


def test_ten_quick_moves_end_in_the_last(page, session):
    page.eval_on_selector(
        ".slider[data-number='0'] input[type=range]",
        "s => { for (let i = 1; i <= 10; i++) { s.value = i / 4; s.dispatchEvent(new Event('input')); } "
        "s.dispatchEvent(new Event('change')); }",
    )
    page.wait_for_selector("#main[data-shows='seed=0&move=0%3A2.5']")
    assert np.abs(shown(page) - expected(session, Drawn(0), ((0, 2.5),))).max() <= 1


def test_a_dropped_connection_is_said_and_comes_back_with_the_state(page, session, sockets):
    before = len(sockets)
    sockets[-1].close(code=1012)
    page.wait_for_selector("#message.serious:text('away')")
    page.eval_on_selector(
        ".slider[data-number='0'] input[type=range]",
        "s => { s.value = 1.25; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }",
    )
    page.wait_for_selector("#main[data-shows='seed=0&move=0%3A1.25']")
    assert len(sockets) > before
    assert page.is_hidden("#message")
    assert np.abs(shown(page) - expected(session, Drawn(0), ((0, 1.25),))).max() <= 1


def test_a_code_that_is_dragged_is_searched(page):
    reading = page.locator("#codes output").first
    before = float(reading.inner_text().replace("−", "-"))
    page.locator("#codes .search").first.evaluate(
        "s => { s.value = Number(s.value) < (Number(s.min) + Number(s.max)) / 2 ? s.max : s.min; "
        "s.dispatchEvent(new Event('change')); }"
    )
    page.wait_for_selector("#main[data-shows^='latent=']")
    assert float(reading.inner_text().replace("−", "-")) != before


def test_another_run_on_the_same_noise(page, session, rival):
    from playwright.sync_api import expect

    go(page, "seed=4")
    page.select_option("#run", index=1)
    page.wait_for_selector(f"#main[data-shows='seed=4&run={rival.name}']")
    expect(page.locator("#sliders .slider")).to_have_count(3)
    names = load_directions(rival).names
    assert sorted(page.locator("#sliders .name").all_text_contents()) == sorted(names)
    page.select_option("#run", index=0)
    page.wait_for_selector("#main[data-shows='seed=4']")
    expect(page.locator("#sliders .slider")).to_have_count(4)
    assert "turn <b>" in page.locator("#sliders .name").all_text_contents()


def test_two_pages_see_one_name(browser, session, folder):
    with served(session) as (_, address):
        pages = [browser.new_page() for _ in range(2)]
        for one in pages:
            one.goto(address)
            one.wait_for_selector("#main[data-shows]")
        pages[0].click(".slider[data-number='3'] .name")
        pages[0].keyboard.type("lift")
        pages[0].keyboard.press("Enter")
        pages[1].wait_for_selector(".slider[data-number='3'] .name:text('lift')")
        for one in pages:
            one.close()


@contextmanager
def held_back(session):
    """A server whose whole pictures wait for an event."""
    with served(session) as (_, address):
        go_on, real = threading.Event(), session.images

        def images(moved):
            assert go_on.wait(120)
            return real(moved)

        session.images = images
        yield address, go_on


def test_a_slow_picture_is_announced_on_the_canvas(browser):
    """Nothing small to show meanwhile: the old picture stays, and the page says that it is not yet the new one."""
    with held_back(slow_session(0.2, small=False)) as (address, go_on):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#computing:text('Computing')")
        go_on.set()
        page.wait_for_selector("#main[data-shows='seed=0']")
        page.wait_for_selector("#computing", state="hidden")
        go_on.clear()
        page.click("#seed-more")
        page.wait_for_selector("#computing:text('Computing')")
        assert page.get_attribute("#main", "data-shows") == "seed=0"
        go_on.set()
        page.wait_for_selector("#main[data-shows='seed=1']")
        page.wait_for_selector("#computing", state="hidden")
        page.close()


def test_a_small_picture_that_comes_first_is_said_to_be_one(browser):
    with held_back(slow_session(0.2)) as (address, go_on):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#computing:text('Small at first')")
        assert page.eval_on_selector("#main", "c => c.width") == 16
        go_on.set()
        page.wait_for_selector("#main[data-shows='seed=0']")
        page.wait_for_selector("#computing", state="hidden")
        assert page.eval_on_selector("#main", "c => c.width") == 32
        page.close()
