"""Record docs/pictures/explore.gif: the exported page of a run, a hand on its sliders.

    python docs/pictures/explore.py runs/demo

needs the extras ``onnx`` and ``dev`` (playwright), and Chromium.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.core.pictures import save_gif

WINDOW = {"width": 1100, "height": 720}
SHOWN = 0.72
STEPS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = export_page(Session.open(Path(sys.argv[1])), Path(folder) / "page.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{page_file.resolve().as_uri()}#seed=3")
        page.wait_for_selector("#main[data-shows]")
        frames = list(played(page))
        browser.close()
    size = tuple(round(SHOWN * side) for side in WINDOW.values())
    small = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    save_gif(small, Path(__file__).with_suffix(".gif"), milliseconds=110, pause=900)


def played(page):
    """The page while its first sliders are moved there and back, then another sample, then what changes."""
    sliders = page.locator("#sliders input[type=range]:visible")

    def move(number, to):
        for step in range(1, STEPS + 1):
            sliders.nth(number).evaluate(
                "(s, to) => { s.value = to; s.dispatchEvent(new Event('input')); }", to * step / STEPS
            )
            page.wait_for_timeout(250)
            yield shot(page)

    yield shot(page)
    yield from move(0, 2.0)
    yield from move(1, -1.6)
    page.click("#views [data-view=both]")
    page.wait_for_timeout(300)
    yield shot(page)
    yield from move(2, 2.0)
    page.click("#views [data-view=change]")
    page.wait_for_timeout(300)
    yield shot(page)
    page.click("#views [data-view=edited]")
    for _ in range(3):
        page.click("#seed-more")
        page.wait_for_timeout(400)
        yield shot(page)


def shot(page):
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
