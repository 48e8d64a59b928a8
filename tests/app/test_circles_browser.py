"""Circles among the sliders, in both engines: half a turn either way, in radians, and on at the other side."""

import numpy as np
import pytest
import torch

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.app.state import Drawn, State
from contrafact.core.pictures import to_bytes
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.report.subject import Subject
from tests.app.talking import served
from tests.app.test_export_browser import go, shown

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    generator = StyleGAN2(8, 12, 8, channels=[6, 4], mapping_layers=2).freeze()
    axes = generator.latent_scale() * torch.linalg.qr(torch.randn(12, 3)).Q.T
    directions = WhitenedDirections.of(axes, groups=[[0, 1], [2]], names=["hue", "light"], layers=(1, 4), num_layers=4)
    return Session(Subject(generator, directions.requires_grad_(False), None, None, "direction"))


@pytest.fixture(scope="module", params=["served", pytest.param("exported", marks=pytest.mark.slow)])
def page(request, session, browser, tmp_path_factory):
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    if request.param == "served":
        with served(session) as (_, address):
            page.goto(address)
            yield page
            page.close()
    else:
        request.getfixturevalue("runtime")
        page.goto(export_page(session, tmp_path_factory.mktemp("page") / "page.html").as_uri())
        yield page
        page.close()
    assert problems == []


def test_a_circle_turns_on_at_the_other_side(page, session):
    page.wait_for_selector("#main[data-shows='seed=0']")
    hue = ".slider[data-number='0']"
    assert [page.locator(f".slider[data-number='{n}'] .circle").count() for n in (0, 1)] == [1, 0]
    assert float(page.get_attribute(f"{hue} input[type=range]", "max")) == pytest.approx(np.pi)
    page.fill(f"{hue} .value", "7")
    page.keyboard.press("Enter")
    page.wait_for_selector("#main[data-shows='seed=0&move=0%3A0.717']")  # 7 − 2π
    page.fill(f"{hue} .value", "3.1")
    page.focus(f"{hue} input[type=range]")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("#main[data-shows='seed=0&move=0%3A-2.183']")  # 4.1 − 2π
    assert page.get_attribute(f"{hue} input[type=range]", "aria-valuetext") == "−2.18 rad"


@pytest.mark.parametrize("steps", [((0, 2.5),), ((0, -1.0), (1, 1.5))])
def test_pixels_of_a_turn_are_the_generator_s(page, session, steps):
    go(page, "seed=3&move=" + "%2C".join(f"{number}%3A{magnitude:g}" for number, magnitude in steps))
    expected = to_bytes(session.render([State(Drawn(3), steps)]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    turned = to_bytes(
        session.render([State(Drawn(3), tuple((n, m - np.copysign(2 * np.pi, m) if n == 0 else m) for n, m in steps))])
    )[0]
    assert np.abs(turned.astype(int) - expected).max() <= 1
