"""No file of code runs because a run's files name it; it runs because somebody does."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

import contrafact as cf
from contrafact.cli import main
from contrafact.core.plugins import admit, find_in_named_files
from contrafact.core.run import Run
from contrafact.data import CATALOG as DATA
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS

CODE = """
from pathlib import Path
Path(__file__).with_name("RAN").touch()
def Evil(*args, **kwargs): ...
"""
AS_TRAINED = ["--size", "16", "--width", "0.1", "--steps", "2", "--batch-size", "8", "--latent-dim", "3"]
COMMANDS = (
    ["report", "run"],
    ["evaluate", "run", "--num-train", "60", "--num-test", "40"],
    ["evaluate", "run", "--num-train", "60", "--num-test", "40", "--control"],
    ["show", "run", "run"],
    ["traverse", "run", "--samples", "1", "--frames", "3"],
    ["encode", "run", "pictures", "--out", "codes.csv"],
    ["compare", "run", "run"],
    ["fit", "vae", "--data", "shapes3d", *AS_TRAINED, "--out", "run", "--resume"],
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("named") / "run"
    images = cf.load_dataset("shapes3d", size=16)
    run = cf.methods.VAE(width=0.1, steps=2, batch_size=8, latent_dim=3).fit(images, Run(folder))
    run.evaluate("mig", num_train=60, num_test=40)
    return folder


def planted(value, text):
    """``value`` with each of its texts replaced in turn, and with each key of its objects."""
    if isinstance(value, str):
        yield text
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: other} for other in planted(part, text))
            yield {**{k: v for k, v in value.items() if k != key}, text: part}
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from ([*value[:number], other, *value[number + 1 :]] for other in planted(part, text))


def lines_of(path: Path) -> list:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


def write(path: Path, value) -> None:
    separator = "\n" if path.suffix == ".jsonl" else ""
    path.write_text(separator.join(map(json.dumps, value)) + "\n", encoding="utf-8")


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", ["config.json", "result.json", "scores.jsonl", "log.jsonl"])
def test_no_text_of_a_run_runs_the_file_it_names(trained, tmp_path, monkeypatch, capsys, file, every):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "black.png")
    honest = lines_of(trained / file)
    variants = list(planted(honest, "evil.py:Evil"))
    assert len(variants) > 3
    for number, variant in enumerate(variants):
        # What a command looks up by name is met by each that does; of other texts every so many, by a command in turn.
        named = any(f'"{key}": "evil' in json.dumps(variant) for key in ("method", "metric", "name"))
        if not named and number % every:
            continue
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(trained, tmp_path / "run")
        write(tmp_path / "run" / file, variant)
        for command in COMMANDS[:3] if named else [COMMANDS[number // every % len(COMMANDS)]]:
            with suppress(SystemExit):
                main(command)
            assert not (tmp_path / "RAN").exists(), (command, variant)
    capsys.readouterr()


def test_the_file_does_run_where_somebody_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_twin.py").write_text(CODE, encoding="utf-8")
    for catalog in (METHODS, METRICS, DATA):
        assert "evil_twin.py:Evil" not in catalog
        with pytest.raises(ValueError, match=r"nobody has asked for it here.*--plugin evil_twin.py"):
            catalog.get("evil_twin.py:Evil")
    assert not (tmp_path / "RAN").exists()
    assert admit("vae") == "vae"
    assert METRICS.admit("evil_twin.py:Evil") == "evil_twin.py:Evil"
    assert (tmp_path / "RAN").exists()
    assert METRICS.get("evil_twin.py:Evil") is find_in_named_files("evil_twin.py:Evil")
    assert METRICS.module("evil_twin.py:Evil").__name__.endswith("evil_twin")
    with pytest.raises(ValueError, match="no method"):
        METHODS.get("evil_twin.py:Evil")
    with pytest.raises(ValueError, match="defines no 'Good'"):
        METRICS.admit("evil_twin.py:Good")


def test_a_loaded_module_is_no_named_file():
    assert find_in_named_files(f"{shutil.__file__}:rmtree") is None
