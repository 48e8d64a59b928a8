import shutil

import numpy as np
import pytest

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from tests.report.tiny_runs import Rooms, TinyCodes, TinyDirections, TinyEncoder, score

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def rooms():
    return Rooms()


def _run(folder):
    return Run(folder, device="cpu", precision="float32", log_every=2, progress=False)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny run"
    generator = Analytic("sprite", size=16, dead_dims=1)
    generator.name = "analytic <sprite>"
    TinyDirections().fit(generator, _run(folder))
    matrix = np.arange(15).reshape(5, 3).tolist()
    (folder / "scores.jsonl").write_text(
        score("mig", matrix=matrix, score=0.25)
        + score("dci", disentanglement=0.5, completeness=0.25, matrix=matrix)
        + score("mig", of="control", score=0.125)
        + score("mig", of="control", score=0.375)
    )
    return folder


@pytest.fixture(scope="session")
def finished(finished_folder):
    return load_run(finished_folder)


@pytest.fixture(scope="session")
def finished_codes(tmp_path_factory, rooms):
    folder = tmp_path_factory.mktemp("runs") / "codes"
    TinyCodes().fit(rooms, _run(folder))
    return load_run(folder)


@pytest.fixture(scope="session")
def finished_encoder(tmp_path_factory, rooms):
    folder = tmp_path_factory.mktemp("runs") / "encoder"
    TinyEncoder().fit(rooms, _run(folder))
    return load_run(folder)


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("chromium is missing: `make test` installs it, or run apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield running
        running.close()
