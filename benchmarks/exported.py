"""The exported page in Chromium: its size, how soon it is ready, how long a slider's move takes to reach the canvas.

    python benchmarks/exported.py [RUN ...]

By default a run of GANSpace on each of two shipped generators. Needs the extras ``onnx`` and ``dev``, and Chromium.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.cli import main as contrafact

REPEATS, MOVES = 3, 60
# From the slider's event to the canvas that shows its state; the next move begins when the last one is seen.
MEASURE = """async (moves) => {
  const slider = document.querySelector("#sliders input[type=range]");
  const canvas = document.getElementById("main");
  const times = [];
  for (let i = 0; i < moves; i++) {
    const seen = new Promise((resolve) => {
      const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
      observer.observe(canvas, { attributes: true, attributeFilter: ["data-shows"] });
    });
    slider.value = 0.25 + 0.01 * (i % 200);
    const started = performance.now();
    slider.dispatchEvent(new Event("input"));
    await seen;
    times.push(performance.now() - started);
    await new Promise(requestAnimationFrame);
  }
  return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        if not runs:
            for name in ("shapes3d", "fashion-mnist"):
                runs.append(Path(folder) / name)
                if contrafact(["fit", "ganspace", "--generator", name, "--out", str(runs[-1])]):
                    raise SystemExit(f"ganspace on {name} failed")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for run in runs:
            started = time.perf_counter()
            file = export_page(Session.open(run), Path(folder) / f"{run.name}.html")
            print(f"{run.name}: {file.stat().st_size / 1e6:.1f} MB, written in {time.perf_counter() - started:.0f} s")
            for _ in range(REPEATS):
                measure(browser, file)


def measure(browser, file: Path) -> None:
    page = browser.new_page()
    started = time.perf_counter()
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("#main[data-shows]")
    ready = time.perf_counter() - started
    times = page.evaluate(MEASURE, MOVES)
    page.close()
    median, best = statistics.median(times), min(times)
    print(f"  ready in {ready:.2f} s; slider to pixel: median {median:.1f} ms, best {best:.1f} ms")


if __name__ == "__main__":
    main()
