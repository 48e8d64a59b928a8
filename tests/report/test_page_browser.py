"""The report in a real browser: it draws, plays and switches theme, and no error reaches the console."""

import numpy as np
import pytest

from contrafact.core.pictures import to_bytes
from contrafact.report.figures import sweep_run
from contrafact.report.page import _detail, write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(finished, rooms, tmp_path_factory):
    return write_report(finished, rooms, samples=2, frames=5, out=tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def page(browser, report):
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    problems, requests = [], []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(report.as_uri())
    opened.wait_for_selector("#explorer[data-ready]")
    yield opened
    opened.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def canvas_pixels(page, selector):
    width, values = page.eval_on_selector(
        selector,
        "c => [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]",
    )
    return np.array(values).reshape(-1, width, 4)[..., :3]


def move_slider(page, step):
    page.eval_on_selector(
        "#explorer input[type=range]",
        "(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input')); }",
        step,
    )


def test_slider_directions_and_samples_choose_the_frame(page, finished):
    last = 4 * _detail(finished, 2, 5)[1]
    pixels = to_bytes(sweep_run(finished, 2, last + 1, 2.5).frames).astype(int)
    page.click(".choices button:nth-child(3)")
    page.wait_for_selector("#explorer[data-ready='2']")
    page.click(".small button:nth-child(2)")
    for step in (0, 3, last):
        move_slider(page, step)
        shown = canvas_pixels(page, ".large")
        distances = np.abs(shown - pixels.reshape(-1, *shown.shape)).mean(axis=(1, 2, 3))
        assert distances.min() < 6
        nearest = np.unravel_index(distances.argmin(), pixels.shape[:3])
        assert nearest[:2] == (2, 1)
        assert abs(nearest[2] - step) <= 1  # neighbouring frames may look alike once compressed
    assert page.inner_text("#explorer output") == "+2.5 σ"
    np.testing.assert_array_equal(canvas_pixels(page, ".small button:nth-child(2) canvas"), shown)


def test_difference_is_grey_where_nothing_changes(page):
    page.check("#difference")
    assert (canvas_pixels(page, ".large") == 128).all()  # the slider stands in the middle
    move_slider(page, 0)
    shown = canvas_pixels(page, ".large")
    assert np.abs(shown - 128).max() > 20


def test_play_moves_and_pauses(page):
    from playwright.sync_api import expect

    page.click("#play")
    # expect() asks again and again from outside; the page's own policy forbids evaluating strings inside it.
    expect(page.locator("#explorer input[type=range]")).not_to_have_value("4")
    assert "Pause" in page.inner_text("#play")
    page.click("#play")
    assert "Play" in page.inner_text("#play")
    stopped = page.eval_on_selector("#explorer input[type=range]", "slider => slider.value")
    page.wait_for_timeout(400)
    assert page.eval_on_selector("#explorer input[type=range]", "slider => slider.value") == stopped


def test_keyboard_moves_the_slider(page):
    page.focus("#explorer input[type=range]")
    before = page.inner_text("#explorer output")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#explorer output") != before


def luminance(page, element, attribute):
    """WCAG relative luminance of a computed colour."""
    colour = page.eval_on_selector(element, f"e => getComputedStyle(e).{attribute}")
    values = np.array([float(v) for v in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_have_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    ground = luminance(page, "body", "backgroundColor")
    assert (ground > 0.5) == (scheme == "light")
    for element in ("body", "nav a", ".soft, .notes", "figcaption"):
        text = luminance(page, element, "color")
        assert (max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5, element
    ink = page.eval_on_selector(".chart svg text", "e => getComputedStyle(e).fill")
    assert ink == page.eval_on_selector("body", "e => getComputedStyle(e).color")


def test_toggle_switches_the_theme_and_back(page):
    light = luminance(page, "body", "backgroundColor")
    page.click("#theme")
    assert luminance(page, "body", "backgroundColor") < 0.1 < light
    page.click("#theme")
    assert luminance(page, "body", "backgroundColor") == light


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_page_fits_its_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.eval_on_selector(".large", "c => c.getBoundingClientRect().width") <= width - 40


def test_folded_directions_open(page):
    strip = page.locator("details img")
    assert not strip.is_visible()
    page.click("summary")
    assert strip.is_visible()
