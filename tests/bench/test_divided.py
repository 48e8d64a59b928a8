"""Trainings that several processes share inside a cell: the same cell, once, whoever of them dies."""

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from contrafact.bench.cells import record_of
from contrafact.bench.check import check
from contrafact.bench.divided import _raise_what_they_said, _refuse_too_few, processes_of
from contrafact.bench.launch import Cluster
from contrafact.bench.plan import Bench, plan
from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.runner import CellsFailed, run_bench
from contrafact.cli import main
from contrafact.core.method import load_run
from contrafact.core.run import Run, read_log
from contrafact.evaluation.regression import RegressionSettings
from contrafact.methods import VAE, DisCo, SupCon
from tests.bench.test_cells import a_bench, admitted, random

OWN = '''
import errno, os, signal, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import torch
from contrafact.core.directions import GlobalDirections
from contrafact.core.method import Artefacts, Method

@dataclass(frozen=True)
class Descent(Method):
    """Descends on batches that are the same however many processes share them."""
    source: ClassVar[str] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    steps: int = 6
    batch_size: int = 4
    learning_rate: float = 0.1
    does: str = "work"

    def train(self, source, run):
        begun = Path(f"begun-{self.does}-{run.rank}")
        before = begun.exists()
        begun.touch()
        weights = torch.nn.Parameter(torch.eye(source.latent_dim)[:2].clone())
        layer = torch.nn.ParameterList([weights])
        optimizer = torch.optim.Adam([weights], self.learning_rate)
        rng = run.rng("batches", shared=True)
        share = slice(run.rank * self.batch_size, (run.rank + 1) * self.batch_size)
        state = {"layer": layer, "optimizer": optimizer, "rng": rng}
        for step in run.steps(self.steps, state):
            if run.rank == 1 and step == 25:
                if self.does == "raise":
                    raise RuntimeError("it broke")
                if self.does == "fill the disk" and not before:
                    raise OSError(errno.ENOSPC, "no space left on the disk for checkpoint.pt")
                if self.does == "die once" and not before:
                    os.kill(os.getpid(), signal.SIGKILL)
            if self.does == "take long":
                time.sleep(0.1)
            joint = torch.randn(self.batch_size * run.world_size, source.latent_dim, generator=rng)
            loss = (joint[share] @ weights.T - joint[share].sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            run.backward(loss, [weights])
            optimizer.step()
            run.log(loss=run.average(loss), images=torch.tensor(float(len(joint))))
        return Artefacts(directions=GlobalDirections.of(weights.detach().double()), generator=source)
'''
LIGHT = RegressionSettings(steps=2, batch_size=4, width=0.1)


def descent(does="work", **settings):
    return Row(does, "descent.py:Descent", settings={"does": does, **settings}, regression=LIGHT)


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("descent.py").write_text(OWN)


def folder_of(bench, kind="train"):
    (cell,) = [cell for cell in plan(bench, {row.name for row in bench.recipe.rows}) if cell.kind == kind]
    return bench.cells / cell.key


def test_two_processes_train_the_cell_of_one():
    alone, both = (admitted(a_bench(Path(name), descent(), processes=n)) for name, n in (("one", 1), ("two", 2)))
    for bench in (alone, both):
        run_bench(bench)
    assert folder_of(alone).name == folder_of(both).name
    runs = [load_run(folder_of(bench) / "run") for bench in (alone, both)]
    assert [run.config["processes"] for run in runs] == [1, 2]
    assert runs[0].config["hyperparameters"] == runs[1].config["hyperparameters"]
    assert [run.config.get("joint_batch") for run in runs] == [None, True]
    assert [line["images"] for line in runs[1].log] == [line["images"] for line in runs[0].log] == [4.0]
    torch.testing.assert_close(runs[0].directions.vectors(), runs[1].directions.vectors(), rtol=1e-5, atol=1e-6)
    records = [json.loads((folder_of(bench) / "cell.json").read_text()) for bench in (alone, both)]
    assert [record["result"]["processes"] for record in records] == [1, 2]
    assert records[1]["processor_seconds"] > records[0]["processor_seconds"]
    rows = [json.loads((bench.out / "results.json").read_text())["rows"]["work"]["cells"] for bench in (alone, both)]
    assert rows[0][0]["scores"]["MIG"] == pytest.approx(rows[1][0]["scores"]["MIG"], abs=1e-3)
    assert "processes" not in rows[0][0]["cost"]
    assert rows[1][0]["cost"]["processes"] == 2


def test_a_process_that_raises_fails_its_cell_and_no_other():
    bench = admitted(a_bench(Path("out"), descent("raise", steps=60), random(), processes=2))
    with pytest.raises(CellsFailed, match=r"row 'raise' at seed 0: process 1 of 2: it broke\. Its"):
        run_bench(bench)
    states = {cell.row.name: record_of(bench, cell)["state"] for cell in plan(bench, {"random"})}
    assert states == {"random": "done"}
    (failed,) = [cell for cell in plan(bench, {"raise"}) if cell.kind == "train"]
    assert "descent.py" in record_of(bench, failed)["traceback"]


def test_what_a_process_says_of_a_full_disk_is_raised_as_such():
    told = {"error": "no space left", "traceback": "here", "lost": False, "full": True}
    with pytest.raises(OSError, match="process 1 of 2: no space left") as caught:
        _raise_what_they_said({0: {"error": "gloo", "traceback": "", "lost": True, "full": False}, 1: told})
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="process 0 of 1: no space left"):
        _raise_what_they_said({0: {**told, "full": False}})


@pytest.mark.slow
def test_a_full_disk_of_one_process_stops_the_table_and_fails_no_cell():
    bench = admitted(a_bench(Path("out"), descent("fill the disk", steps=60), processes=2))
    with pytest.raises(OSError, match=r"process 1 of 2: .*no space left on the disk for checkpoint\.pt") as caught:
        run_bench(bench)
    assert caught.value.errno == errno.ENOSPC
    assert not (folder_of(bench) / "cell.json").exists()
    run_bench(bench)
    assert load_run(folder_of(bench) / "run").log[-1]["step"] == 60


@pytest.mark.slow
def test_a_process_that_is_killed_fails_its_cell_and_the_next_start_goes_on():
    bench = admitted(a_bench(Path("out"), descent("die once", steps=60), processes=2))
    with pytest.raises(CellsFailed, match=r"process (0 and 1|1) of 2 was killed; was there enough memory\?"):
        run_bench(bench)
    run_bench(bench)
    assert [line["step"] for line in read_log(folder_of(bench) / "run" / "log.jsonl")] == [20, 40, 60]


def begin(out):
    run_bench(admitted(a_bench(out, descent("take long", steps=100), processes=2)))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_save_and_stop_with_the_one_that_started_them(how):
    bench = admitted(a_bench(Path("out"), descent("take long", steps=100), processes=2))
    log, checkpoint = (folder_of(bench) / "run" / name for name in ("log.jsonl", "checkpoint.pt"))
    driver = multiprocessing.get_context("spawn").Process(target=begin, args=(Path("out"),))
    driver.start()
    until = time.monotonic() + 120
    while not log.exists():
        assert time.monotonic() < until, "it did not begin"
        time.sleep(0.1)
    os.kill(driver.pid, how)
    driver.join()
    while not checkpoint.exists():
        assert time.monotonic() < until, "they did not save themselves"
        time.sleep(0.1)
    reached = read_log(log)[-1]["step"]
    assert reached < 100
    while (folder_of(bench) / "run" / ".claim").exists():
        assert time.monotonic() < until, "they did not end"
        time.sleep(0.1)
    # Whatever number goes on with it, from where it was.
    run_bench(admitted(a_bench(Path("out"), descent("take long", steps=100), processes=1)))
    config = json.loads((folder_of(bench) / "run" / "config.json").read_text())
    assert config["changes"] == [{"step": reached, "changed": {"processes": [2, 1], "joint_batch": [True, None]}}]


def test_the_command_line_divides_a_recipe(capsys):
    Path("mine.py").write_text(
        "from contrafact.bench.recipe import Recipe, Row\n"
        "small = {'width': 0.1, 'steps': 4, 'batch_size': 4, 'latent_dim': 3}\n"
        "rows = (Row('VAE', 'vae', settings=small, source='shapes3d'),)\n"
        "data = {'small': {'size': 16}}\n"
        "RECIPE = Recipe('mine', 'none', rows, {'MIG': ('mig', 'score')}, data=data, num_train=60, num_test=20)\n"
    )
    options = ["bench", "mine.py", "--seeds", "1", "--device", "cpu", "--out", "out", "--processes"]
    assert main([*options, "3"]) == 2
    assert "3 processes cannot divide a step of vae: batch_size is 4" in capsys.readouterr().err
    assert main([*options, "0"]) == 2
    assert main([*options, "2"]) == 0
    (cell,) = json.loads(Path("out/results.json").read_text())["rows"]["VAE"]["cells"]
    assert cell["cost"]["processes"] == 2
    assert main(["bench", "random", "--suite", "shapes3d", "--processes", "2"]) == 2
    assert "leave out --processes" in capsys.readouterr().err


def test_methods_say_what_processes_share():
    assert VAE(batch_size=6).share(3).batch_size == 2
    paper, pairs = DisCo(), DisCo.preset("quick", batching="all_pairs", samples_per_direction=8)
    shared = paper.share(2).edits
    assert (shared.num_queries, shared.num_positives, shared.num_negatives) == (16, 16, 32)
    assert pairs.share(4).edits.samples_per_direction == 2
    with pytest.raises(ValueError, match="all_pairs batching needs at least 2 samples_per_direction"):
        pairs.share(8)
    assert SupCon(anchors_per_class=10).share(2).anchors_per_class == 5
    with pytest.raises(ValueError, match="4 processes cannot divide a step of vae: batch_size is 6; take a number of"):
        VAE(batch_size=6).share(4)


def test_only_trainings_along_gradients_are_divided(tmp_path):
    bench = admitted(a_bench(tmp_path, descent(), random(), processes=2))
    found = {(cell.row.name, cell.kind): processes_of(bench, cell) for cell in check(bench, {"work", "random"})}
    assert found.pop(("work", "train")) == 2
    assert len(found) == 5
    assert set(found.values()) == {1}


def test_numbers_of_processes_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match="processes must be a whole number of at least 1, got 0"):
        Bench("tiny", Recipe("t", "t", (), {}), tmp_path, processes=0)
    assert Cluster("slurm", cpus=2, gpus=1.0).needs(4) == (8, 4.0)
    assert Cluster("ray", cpus=2, gpus=0.25).needs(1) == (2, 0.25)
    with pytest.raises(ValueError, match="each of 2 processes trains on a GPU of its own, so --gpus must be a whole"):
        Cluster("ray", gpus=0.5).needs(2)


def test_processes_without_a_gpu_each_are_refused(tmp_path, monkeypatch):
    bench = admitted(a_bench(tmp_path, descent(), processes=2, device="cuda"))
    monkeypatch.setattr("contrafact.bench.divided.find_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="2 processes train on a GPU each, and this machine has 1; ask for fewer"):
        _refuse_too_few(bench, 2)


def test_a_run_alone_takes_all_of_a_joint_batch(tmp_path):
    run = Run(tmp_path / "run", device="cpu", progress=False, joint_batch=True)
    assert run.joint_batch
    assert run.world_size == 1
