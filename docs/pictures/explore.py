"""Record docs/pictures/explore.gif: the exported page of ``shapes3d-64``, a hand on its sliders.

    python docs/pictures/explore.py

needs the extras ``onnx`` and ``dev`` (playwright), and Chromium. The directions in rooms.safetensors are eight of
``contrafact fit joint_diagonal --generator shapes3d-64 --preset quick``, named by hand.
"""

import io
import math
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.core.pictures import save_gif

WINDOW = {"width": 1100, "height": 720}
SHOWN = 0.66
STEPS = 6
ROOMS = Path(__file__).with_name("rooms.safetensors")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = export_page(Session.open(generator="shapes3d-64", use=ROOMS), Path(folder) / "page.html")
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
    """The page while a hue turns once around, others of its sliders move, then another sample, then what changes."""

    def move(name, *to):
        slider = page.locator(f"#sliders input[type=range][aria-label='{name}']")
        for place in to:
            slider.evaluate("(s, to) => { s.value = to; s.dispatchEvent(new Event('input')); }", place)
            page.wait_for_timeout(400)
            yield shot(page)
        slider.evaluate("s => s.dispatchEvent(new Event('change'))")

    def ramp(first, last, steps=STEPS):
        return [first + (last - first) * step / steps for step in range(1, steps + 1)]

    yield shot(page)
    yield from move("wall hue", *ramp(0, math.pi), *ramp(-math.pi, 0)[1:])
    yield from move("floor hue", *ramp(0, -2.2))
    yield from move("camera", *ramp(0, -1.9))
    page.click("#views [data-view=both]")
    page.wait_for_timeout(400)
    yield shot(page)
    yield from move("size", *ramp(0, 1.8))
    yield from move("shape", *ramp(0, 2.5))
    page.click("#views [data-view=change]")
    page.wait_for_timeout(400)
    yield shot(page)
    page.click("#views [data-view=edited]")
    for _ in range(3):
        page.click("#seed-more")
        page.wait_for_timeout(500)
        yield shot(page)


def shot(page):
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
