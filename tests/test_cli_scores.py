"""Scores on the command line: tables to paste, methods compared over seeds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from contrafact.cli import main
from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.evaluation.runs import read_runs
from contrafact.evaluation.scores import add_scores
from contrafact.metrics import rank_methods, summarize

FACTORS = draw_factors(150)
CODES = noisy_codes(FACTORS)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code


@pytest.fixture
def files():
    np.save("c.npy", CODES)
    np.save("f.npy", FACTORS)
    return "evaluate", "--codes", "c.npy", "--factors", "f.npy", "--metrics", "mig,sap"


def test_evaluate_prints_what_a_paper_can_paste(files, capsys):
    run(*files, "--format", "markdown", "--out", "ours-0.json")
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == ["| score | value |", "|---|---|"]
    assert "wrote ours-0.json" in shown.err
    run(*files, "--format", "latex")
    assert capsys.readouterr().out.startswith(r"\begin{tabular}{lc}")
    run(*files, "--format", "json")
    assert json.loads(capsys.readouterr().out)["scores"] == json.loads(Path("ours-0.json").read_text())["scores"]
    run(*files, "--format", "csv")
    assert [line["metric"] for line in csv.DictReader(capsys.readouterr().out.splitlines())] == ["mig", "sap"]


SEEDS = {"ours": [0.5, 0.6, 0.55, 0.52, 0.58, 0.61], "theirs": [0.3, 0.4, 0.35, 0.33, 0.42, 0.41]}


@pytest.fixture
def table():
    lines = ["method;seed;mig.score", *(f"{m};{s};{v}" for m, values in SEEDS.items() for s, v in enumerate(values))]
    Path("seeds.csv").write_text("\n".join(lines) + "\n")
    return "compare", "seeds.csv"


def test_methods_are_compared_over_seeds(table, capsys):
    run(*table, "--picture", "cd.png")
    shown = capsys.readouterr().out
    assert "mig.score, 6 paired runs" in shown
    assert "theirs − ours" in shown
    assert "6 paired runs can give no p below 0.0312" in shown
    assert Path("cd.png").read_bytes()[:4] == b"\x89PNG"
    run(*table, "--format", "latex")
    columns = {method: [{"mig.score": value} for value in values] for method, values in SEEDS.items()}
    assert capsys.readouterr().out.strip() == summarize(columns).to_latex()
    run(*table, "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["rankings"][0]["p_value"] == rank_methods(SEEDS, score="mig.score").p_value
    assert answer["methods"]["ours"]["mig.score"]["runs"] == 6


def test_files_of_scores_are_called_after_method_and_seed(capsys):
    for method, values in SEEDS.items():
        for seed, value in enumerate(values[:3]):
            Path(f"{method}_seed{seed}.json").write_text(
                json.dumps({"scores": {"mig.score": value, "sap.score": None}})
            )
    names = [f"{method}_seed{seed}.json" for method in SEEDS for seed in range(3)]
    assert read_runs(names)[0] == ("ours", "0", {"mig.score": 0.5})
    run("compare", *names)
    assert "3 paired runs can give no p below 0.25" in capsys.readouterr().out


def test_runs_are_read_from_their_folders():
    tiny = "--size 16 --width 0.1 --latent-dim 3 --batch-size 8 --steps 1 --device cpu --precision float32"
    run("fit", "vae", "--data", "shapes3d", *tiny.split(), "--out", "v")
    with pytest.raises(ValueError, match="v was not evaluated yet: contrafact evaluate v"):
        read_runs(["v"])
    line = {"metric": "dci", "data": None, "protocol": "dci", "seed": 0, "result": {}}
    found = {"run": 0.5, "control": 0.1}
    add_scores("v", [{**line, "of": who, "scores": {"disentanglement": value}} for who, value in found.items()])
    assert read_runs(["v"]) == [("vae", "0", {"dci.disentanglement": 0.5})]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("seed,s\n0,1\n", (), "needs a column called method, one called seed, run, data, dataset or fold"),
        ("method,seed,s\na,0,x\nb,0,y\n", (), "has no column of numbers beside method and seed"),
        ("method,seed,s\na,0,1\na,1,2\n", (), "expected runs of two methods or more, got a alone"),
        ("method,seed,s\na,0,1\nb,0,2\n", ("--scores", "t"), "no run has the score 't'; they have: s"),
        ("method,seed,s\na,0,1\nb,0,2\n", ("--picture", "x.txt"), "--picture writes .png, .svg or .pdf, got 'x.txt'"),
    ],
)
def test_refusals(capsys, text, arguments, message):
    Path("t.csv").write_text(text)
    run("compare", "t.csv", *arguments, code=2)
    assert message in capsys.readouterr().err
    Path("scores.json").write_text("{}")
    run("compare", "scores.json", code=2)
    assert "must be called after its method and its seed, such as scores-0.json" in capsys.readouterr().err
