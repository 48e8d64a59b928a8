"""Generators as people have them, 64 pixels wide, in both engines: their pixels, and the size of their page."""

import numpy as np
import pytest
import torch

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.app.state import Drawn, State
from contrafact.core.directions import GlobalDirections
from contrafact.core.pictures import to_bytes
from contrafact.generators.checkpoints import load_generator
from contrafact.report.subject import Subject
from tests.app.talking import served
from tests.app.test_export_browser import STEPS, go, shown

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module", params=[("shapes3d-64", 8e6), ("faces", 24e6)], ids=lambda case: case[0])
def session(request):
    name, most = request.param
    try:
        generator = load_generator(name)
    except ValueError as error:
        pytest.skip(str(error))
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, generator.latent_dim, generator=rng)
    directions = GlobalDirections.of(vectors, generator.latent_scale()).requires_grad_(False)
    return Session(Subject(generator, directions, None, None, "direction")), most


@pytest.mark.parametrize("engine", ["served", "exported"])
def test_pixels_are_the_generator_s(engine, session, browser, runtime, tmp_path):
    session, most = session
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))

    def check(address):
        page.goto(address)
        page.wait_for_selector("#main[data-shows='seed=0']", timeout=90_000)
        for seed in (0, 3, 57):
            for moved, steps in STEPS:
                go(page, f"seed={seed}{moved}")
                expected = to_bytes(session.render([State(Drawn(seed), steps)]))[0].astype(int)
                assert np.abs(shown(page) - expected).max() <= 1, (seed, moved)

    if engine == "served":
        with served(session) as (_, address):
            check(address)
    else:
        file = export_page(session, tmp_path / "page.html")
        assert file.stat().st_size < most
        check(file.as_uri())
    page.close()
    assert problems == []


def test_a_worker_that_has_gone_is_missed_and_another_takes_its_place(browser, runtime, tmp_path):
    """A browser that ends a worker says nothing; the page waits, and starts another one."""
    from contrafact.generators.stylegan2 import StyleGAN2

    torch.manual_seed(0)
    generator = StyleGAN2(8, 12, 8, channels=[6, 4], mapping_layers=2).freeze()
    directions = GlobalDirections.of(torch.randn(2, 12)).requires_grad_(False)
    session = Session(Subject(generator, directions, None, None, "direction"))
    page = browser.new_page()
    page.goto(export_page(session, tmp_path / "page.html").as_uri())
    page.wait_for_selector("#main[data-shows='seed=0']")
    page.workers[0].evaluate("self.close()")
    page.evaluate("location.hash = 'seed=4&move=1%3A2'")
    page.wait_for_selector("#computing:text('Computing')")
    page.wait_for_selector("#main[data-shows='seed=4&move=1%3A2']", timeout=90_000)
    expected = to_bytes(session.render([State(Drawn(4), ((1, 2.0),))]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    page.close()
