"""What a driver makes of Ray's answers, with a stand-in for Ray whose answers are chosen; no cluster is needed."""

import itertools
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from contrafact.bench import launch
from contrafact.bench.launch import Cluster, run_on
from contrafact.bench.plan import plan
from contrafact.bench.recipe import Row
from contrafact.bench.runner import CellsFailed
from tests.bench.test_cells import LIGHT, a_bench, random


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Ray:
    """Tasks come to their end one after the other, a second each.

    Args:
        answer: what becomes of a cell, by its key: its state, or an exception.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, answer):
        self.answer, self.now = answer, 0.0
        self.begun, self.asked = [], []

    def is_initialized(self):
        return True

    def remote(self, **options):
        return lambda function: self

    def options(self, **asked):
        return SimpleNamespace(remote=lambda bench, key, *_: self._begin(key, asked))

    def _begin(self, key, asked):
        assert len(self.begun) < 200, "cells are asked for over and over"
        self.begun.append((key, self.now))
        self.asked.append((key, asked))
        return len(self.begun) - 1

    def wait(self, tasks, timeout):
        self.now += 1.0
        return tasks[:1], tasks[1:]

    def get(self, task):
        answer = self.answer(self.begun[task][0])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def nodes(self):
        return []

    def sleep(self, seconds):
        self.now += seconds

    def monotonic(self):
        return self.now


@pytest.fixture
def ray(monkeypatch):
    """Puts a stand-in in Ray's place, and its clock in time's."""

    def put(answer):
        stand_in = Ray(answer)
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        monkeypatch.setattr(launch, "time", stand_in)
        return stand_in

    return put


VERSION = "ray::compute_by_key() (pid=7, ip=10.0.0.2)\n  File …\nValueError: 3 of 3 cells are others here"
MEMORY = "Task was killed due to the node running low on memory.\nMemory on the node was …\nTo adjust the threshold, …"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RayTaskError(VERSION), "ValueError: 3 of 3 cells are others here"),
        (RayError(MEMORY), "Task was killed due to the node running low on memory."),
    ],
)
def test_cells_that_fail_outside_their_computation_are_failures(error, cause, ray, tmp_path, capsys):
    ray(lambda key: error)
    bench = a_bench(tmp_path, random("first"), random("second", 3))
    with pytest.raises(CellsFailed) as refused:
        run_on(bench, Cluster("ray", workers=2))
    assert f"2 of 6 cells of tiny failed (the others are in {tmp_path}/results.md)" in str(refused.value)
    assert f"the first, row 'first' at seed 0: {cause}. It failed outside its own" in str(refused.value)
    assert "cell.json" not in str(refused.value), "there is none"
    assert json.loads((tmp_path / "results.json").read_text())["failed"] == {
        "first, seed 0": cause,
        "second, seed 0": cause,
    }
    first = plan(bench, {"first"})[0].key
    assert f"tiny: {first} {cause}; 6 cells to go" in capsys.readouterr().err.splitlines()


def test_a_task_that_is_lost_behind_its_work_has_done_it(ray, tmp_path):
    bench = a_bench(tmp_path, random())
    cells = plan(bench, {"random"})

    def compute_and_die(key):
        cell = next(cell for cell in cells if cell.key == key)
        launch.compute(bench, cell)
        return RayError("The worker died unexpectedly while executing this task.")

    ray(compute_and_die)
    assert run_on(bench, Cluster("ray")).splitlines()[2].startswith("| random | 0.")


def trainings(bench):
    return [cell.key for cell in plan(bench, {row.name for row in bench.recipe.rows}) if cell.kind == "train"]


def test_cells_that_another_driver_holds_keep_no_other_waiting(ray, tmp_path, capsys):
    bench = a_bench(tmp_path, *(random(name, directions) for directions, name in enumerate("abcd", 2)))
    first, second, *free = trainings(bench)
    done = set()

    def answer(key):
        if key in (first, second) and not done.issuperset(free):
            return "claimed"
        done.add(key)
        return "done"

    stand_in = ray(answer)
    run_on(bench, Cluster("ray", workers=2))
    assert [key for key, _ in stand_in.begun][:4] == [first, second, *free]
    assert len(done) == 12
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "claimed" in line] == [
        f"tiny: {key} claimed; 12 cells to go" for key in (first, second)
    ]


def test_a_cell_that_another_driver_holds_is_asked_for_less_and_less(ray, tmp_path):
    bench = a_bench(tmp_path, random())
    (key,) = trainings(bench)
    stand_in = ray(lambda asked: "claimed" if asked == key and stand_in.now < 200 else "done")
    run_on(bench, Cluster("ray"))
    times = [when for begun, when in stand_in.begun if begun == key]
    waits = [later - before - 1.0 for before, later in itertools.pairwise(times)]  # a task takes a second
    assert waits[:8] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert times[-1] <= 200 + 31


def test_a_cell_that_another_driver_finishes_is_not_asked_for_again(ray, tmp_path):
    bench = a_bench(tmp_path, random())
    cells = {cell.key: cell for cell in plan(bench, {"random"})}
    (key,) = trainings(bench)

    def answer(asked):
        state = launch.compute(bench, cells[asked])["state"]
        return "claimed" if asked == key else state

    stand_in = ray(answer)
    assert run_on(bench, Cluster("ray")).splitlines()[2].startswith("| random | 0.")
    assert [begun for begun, _ in stand_in.begun] == list(cells)


@pytest.mark.parametrize(("device", "gpus"), [("auto", 0.5), ("cpu", 0.0)])
def test_every_kind_of_cell_asks_for_a_gpu_unless_all_is_computed_on_processors(device, gpus, ray, tmp_path):
    rows = random(), Row("its control", "control", regression=LIGHT)
    bench = a_bench(tmp_path, *rows, device=device)
    stand_in = ray(lambda key: "done")
    run_on(bench, Cluster("ray", cpus=2, gpus=0.5))
    kinds = {cell.key: cell.kind for cell in plan(bench, {row.name for row in rows})}
    assert {kinds[key] for key, _ in stand_in.asked} == {"train", "read", "control", "score"}
    assert [asked for _, asked in stand_in.asked] == [{"num_cpus": 2, "num_gpus": gpus}] * len(kinds)


def test_slurm_has_no_parts_of_a_gpu(tmp_path):
    with pytest.raises(ValueError, match=r"Slurm gives whole GPUs; --gpus must be a whole number there, got 0\.5"):
        run_on(replace(a_bench(tmp_path, random()), device="cuda"), Cluster("slurm", gpus=0.5))
