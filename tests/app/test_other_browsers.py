"""The page in Firefox and in WebKit, with both engines: the same pixels, sliders, names and links."""

import json
import time

import numpy as np
import pytest
import torch

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.app.state import Drawn, State
from contrafact.core.pictures import to_bytes
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.nn.encoders import ConvEncoder
from contrafact.report.subject import Subject
from tests.app import other_browsers
from tests.app.talking import served

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PIXELS = """(() => { const c = document.getElementById("main");
  return [c.width, [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]]; })()"""


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    generator = StyleGAN2(8, 12, 8, channels=[6, 4], mapping_layers=2).freeze()
    axes = generator.latent_scale() * torch.linalg.qr(torch.randn(12, 3)).Q.T
    directions = WhitenedDirections.of(axes, groups=[[0, 1], [2]], names=["hue", "light"], layers=(1, 4), num_layers=4)
    encoder = ConvEncoder(generator.image_shape, 5, 0.1).requires_grad_(False).eval()
    return Session(Subject(generator, directions.requires_grad_(False), encoder, None, "direction"))


@pytest.fixture(scope="module")
def file(session, runtime, tmp_path_factory):
    return export_page(session, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def browser(request, tmp_path_factory):
    try:
        with getattr(other_browsers, request.param)(tmp_path_factory.mktemp(request.param)) as opened:
            yield opened
    except other_browsers.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["served", "exported"])
def page(request, browser, session):
    go, evaluate = browser
    if request.param == "exported":
        go(request.getfixturevalue("file").as_uri())
        yield evaluate
        return
    with served(session) as (_, address):
        go(address)
        yield evaluate
        go("about:blank")


def shows(evaluate, wanted):
    for _ in range(600):
        found = evaluate("document.getElementById('main')?.dataset.shows ?? null")
        if found == wanted:
            return
        time.sleep(0.1)
    raise AssertionError(f"{found!r} is shown, not {wanted!r}: {evaluate('document.body.innerText')}")


def test_the_page_works(page, session):
    shows(page, "seed=0")
    for name, state in (
        ("seed=0", State(Drawn(0))),
        ("seed=7&move=0%3A-2.5%2C1%3A1.5", State(Drawn(7), ((0, -2.5), (1, 1.5)))),
    ):
        page(f"void (location.hash = {json.dumps(name)})")
        shows(page, name)
        width, values = page(PIXELS)
        found = np.array(values).reshape(-1, width, 4)[..., :3]
        assert np.abs(found - to_bytes(session.render([state]))[0].astype(int)).max() <= 1
    read = page("[...document.querySelectorAll('#codes output')].map((output) => output.textContent)")
    codes = session.codes(session.render([state]))[0].numpy()
    np.testing.assert_allclose([float(text.replace("−", "-")) for text in read], codes, atol=0.02, rtol=0.02)

    # A slider that is dragged, ten moves at once; then a key.
    page("""void (() => { const s = document.querySelector(".slider[data-number='1'] input[type=range]");
      for (let i = 1; i <= 10; i++) { s.value = i / 4; s.dispatchEvent(new Event("input")); }
      s.dispatchEvent(new Event("change"));
      s.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); })()""")
    shows(page, "seed=7&move=0%3A-2.5%2C1%3A2.6")
    assert page("location.hash").startswith("#seed=7&move=")
    assert page("document.getElementById('message').hidden") is True
    assert page("document.documentElement.scrollWidth <= innerWidth") is True
