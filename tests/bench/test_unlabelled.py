"""What `benchmarks/cd_gan_unlabelled.py --out` writes: every run's figures, with what they were computed by."""

import json
import sys
from pathlib import Path

import pytest

from contrafact.core.plugins import load_file


@pytest.fixture
def script(monkeypatch):
    """The benchmark on scikit-learn's digits, which are at hand everywhere."""
    script = load_file(Path(__file__).parents[2] / "benchmarks" / "cd_gan_unlabelled.py")
    load = script.cf.load_dataset
    monkeypatch.setattr(script.cf, "load_dataset", lambda name, split: load("digits", split=split))
    return script


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cd_gan_unlabelled.py", "--side", "8", "--steps", "2", *map(str, arguments)])
    script.main()


def test_a_file_has_the_figures_of_every_run_and_what_they_were_computed_by(script, monkeypatch, tmp_path, capsys):
    file = tmp_path / "figures" / "unlabelled.json"
    run(script, monkeypatch, "--rows", "untrained;centred", "--seeds", 2, "--out", file)
    written = json.loads(file.read_text())
    assert written["command"].startswith("cd_gan_unlabelled.py --side 8 --steps 2 --rows 'untrained;centred' --seeds 2")
    assert str(tmp_path) not in written["command"]
    assert (written["seeds"], written["steps"], written["side"]) == ([0, 1], 2, 8)
    assert all(written[fact] for fact in ("processor", "date"))
    assert {"machine", "commit"} <= set(written)
    assert "torch" in written["environment"]
    assert {name: [one["seed"] for one in runs] for name, runs in written["rows"].items()} == {
        "untrained": [0, 1],
        "centred": [0, 1],
    }
    assert set(written["rows"]["untrained"][0]) == {"seed", "clusters"}
    centred = written["rows"]["centred"][1]
    assert set(centred["probed"]) == {"class_coverage", "class_spread", "content_read"}
    assert [line["step"] for line in centred["trace"]] == [0, 1]
    said = capsys.readouterr().out
    assert f"centred 1 accuracy {centred['clusters']['accuracy']:.3f} " in said
    assert f"knob nmi {centred['knob']['nmi']:.3f} purity {centred['knob']['purity']:.3f} " in said
    assert f"\n    1 {centred['trace'][1]['contrast']:.4g} {centred['trace'][1]['content']:.4g} " in said


def test_a_run_that_fails_leaves_the_figures_before_it(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script.Watched, "train", lambda method, source, run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(script, monkeypatch, "--rows", "untrained;centred", "--out", tmp_path / "unlabelled.json")
    assert list(json.loads((tmp_path / "unlabelled.json").read_text())["rows"]) == ["untrained"]


def test_without_a_file_nothing_is_written(script, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    run(script, monkeypatch, "--rows", "untrained")
    assert capsys.readouterr().out.startswith("untrained 0 accuracy ")
    assert list(tmp_path.iterdir()) == []
