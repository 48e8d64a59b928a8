"""Cells: each is computed once, by whoever comes first; what one of them does to its process harms no other."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from contrafact.bench import cells as bench_cells
from contrafact.bench import results, runner
from contrafact.bench.cells import compute, record_of
from contrafact.bench.plan import Bench, plan
from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.bench.results import collect
from contrafact.bench.runner import CellsFailed, prepared, run_bench, run_cell
from contrafact.bench.table import Scores, results_grid, split_by_device
from contrafact.bench.usage import processor
from contrafact.cli.bench import Options, run_where_asked
from contrafact.core.claim import CLAIM, AlreadyClaimed, claim
from contrafact.evaluation.regression import RegressionSettings
from tests.bench.conftest import OWN

LIGHT = RegressionSettings(steps=2, batch_size=4, width=0.1)
NAMES = ("first", "second")


def a_bench(out, *rows, **options):
    recipe = Recipe("t", "t", rows, {"MIG": ("mig", "score")}, num_train=60, num_test=20)
    return Bench("tiny", recipe, out, **{"seeds": (0,), "source": "shapes3d", "device": "cpu", **options})


def random(name="random", directions=2, **options):
    return Row(name, "random", settings={"num_directions": directions}, **{"regression": LIGHT, **options})


def admitted(bench):
    from contrafact.core.plugins import admit

    for row in bench.recipe.rows:
        admit(row.method)
    return bench


def test_a_cell_is_known_by_all_that_its_result_depends_on_and_by_nothing_else(tmp_path):
    def keys(row=None, **options):
        bench = a_bench(tmp_path, row or random(), **options)
        return {cell.kind: cell.key for cell in plan(bench, {(row or random()).name})}

    base = keys()
    assert list(base) == ["train", "read", "score"]
    assert keys(random("by another name")) == base
    assert keys(random(published={"MIG": (0.5, None)})) == keys(device="auto") == base
    for changed in (
        keys(random(directions=3)),
        keys(seeds=(1,)),
        keys(source="dsprites"),
        keys(random(changes={"space": "z"})),
    ):
        assert not set(changed.values()) & set(base.values())
    other_reading = keys(random(regression=replace(LIGHT, steps=3)))
    assert other_reading["train"] == base["train"]
    assert other_reading["read"] != base["read"]
    assert other_reading["score"] != base["score"]
    fewer_images = keys(random(num_images=50))
    assert [kind for kind in base if fewer_images[kind] != base[kind]] == ["score"]


def test_other_contents_under_the_same_name_are_another_cell(tmp_path, own_row):
    """So that a generator trained anew, or a method that was mended, is not shown with its old numbers."""

    def key(**options):
        return plan(admitted(a_bench(tmp_path, own_row("work"), **options)), {"work"})[0].key

    code = Path("obedient.py").read_text()
    first = key()
    assert key() == first
    Path("obedient.py").write_text(code + "\n")
    assert key() != first
    Path("obedient.py").write_text(code)
    assert key() == first

    folder = tmp_path / "gan"
    folder.mkdir()
    keys = set()
    for weights in (b"some", b"more", b"some"):
        (folder / "generator.safetensors").write_bytes(weights)
        keys.add(key(source=str(folder)))
    assert len(keys) == 2
    (folder / "generator.safetensors").unlink()
    (folder / "a.png").write_bytes(b"x")
    before = key(source=str(folder))
    (folder / "b.png").write_bytes(b"y")
    assert len({before, key(source=str(folder)), *keys}) == 4


def test_a_worker_whose_plan_is_another_says_so(tmp_path):
    bench = a_bench(tmp_path, random())
    keys = {cell.key for cell in plan(bench, {"random"})}
    assert [cell.key in keys for cell in prepared(bench, keys, 1)] == [True, True, True]
    with pytest.raises(ValueError, match="1 of 4 cells of tiny are others here than where they were planned"):
        prepared(bench, {*keys, "another"}, 1)


def test_needs_come_first_and_a_control_is_a_cell_of_its_own(tmp_path):
    columns = {
        "MIG": ("mig", "score"),
        "MDS": ("mds", "score"),
        "recovery": Column("recovery", "score", "analytic:sprite", {"size": 16}),
    }
    recipe = Recipe("t", "t", (random(), Row("control", "control")), columns)
    bench = Bench("tiny", recipe, tmp_path, seeds=(0, 1), source="shapes3d")
    cells = plan(bench, {"random", "control"})
    kinds = [cell.kind for cell in cells]
    assert sorted(kinds) == ["control"] * 2 + ["judge"] + ["read"] * 2 + ["score"] * 4 + ["train"] * 4
    seen = set()
    for cell in cells:
        assert {need.key for need in cell.needs} <= seen
        seen.add(cell.key)
    assert [cell.seed for cell in cells if cell.kind == "score"] == [0, 0, 1, 1]


def test_rows_and_recipes_of_one_configuration_are_computed_once(tmp_path, monkeypatch):
    trained = []
    train = bench_cells._COMPUTE["train"]
    monkeypatch.setitem(bench_cells._COMPUTE, "train", lambda b, c: (trained.append(c.key), train(b, c))[1])
    store = tmp_path / "cells"
    tables = [run_bench(a_bench(tmp_path / name, random(name), random(f"{name} again"), store=store)) for name in NAMES]
    assert len(trained) == 1
    assert tables[0].replace("first", "second") == tables[1]


def test_what_a_cell_cost_and_where_stands_in_its_record(tmp_path):
    bench = a_bench(tmp_path, random())
    run_bench(bench)
    record = json.loads(next((tmp_path / "cells").glob("random-seed0-*/cell.json")).read_text())
    assert record["state"] == "done"
    assert record["config"]["settings"]["num_directions"] == 2
    assert record["wall_seconds"] > 0
    assert record["peak_memory"] > 10_000_000
    assert {"command", "environment", "machine", "processor", "commit", "processor_seconds", "date"} <= set(record)
    (cell,) = json.loads((tmp_path / "results.json").read_text())["rows"]["random"]["cells"]
    assert cell["key"].startswith("score-random-seed0-")
    assert {name: cell["cost"][name] for name in ("machine", "processor")} == {
        "machine": record["machine"],
        "processor": processor(),
    }


def test_a_score_has_the_device_of_its_training_wherever_it_was_computed(tmp_path):
    bench = a_bench(tmp_path, random())
    train, *_, score = plan(bench, {"random"})
    run_cell(bench, train.key)
    config = tmp_path / "cells" / train.key / "run" / "config.json"
    trained = json.loads(config.read_text())
    trained["environment"]["device"] = "cuda:0 (NVIDIA H200)"
    config.write_text(json.dumps(trained))
    run_bench(bench)
    record = json.loads((tmp_path / "cells" / score.key / "cell.json").read_text())
    assert record["environment"]["device"].startswith("cpu")

    def devices():
        collect(bench)
        return [
            cell["device"] for cell in json.loads((tmp_path / "results.json").read_text())["rows"]["random"]["cells"]
        ]

    assert devices() == ["cuda:0 (NVIDIA H200)"]
    del record["result"]["device"]  # as an older version wrote it
    (tmp_path / "cells" / score.key / "cell.json").write_text(json.dumps(record))
    assert devices() == [record["environment"]["device"]]


def test_a_cell_that_raises_stops_no_other_and_is_tried_again(tmp_path, own_row):
    bench = admitted(a_bench(tmp_path / "out", own_row("raise"), random()))
    with pytest.raises(CellsFailed, match=r"1 of 6 cells of tiny failed .*row 'raise' at seed 0: it broke"):
        run_bench(bench)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [len(results["rows"][name]["cells"]) for name in ("raise", "random")] == [0, 1]
    assert results["failed"] == {"raise, seed 0": "it broke"}
    assert "failed: raise, seed 0: it broke" in (tmp_path / "out" / "results.md").read_text()
    with pytest.raises(CellsFailed):
        run_where_asked(Options("tiny"), bench, None)
    assert "<td>raise, seed 0: it broke</td>" in (tmp_path / "out" / "results.html").read_text()
    first = plan(bench, {"raise"})[0]
    record = record_of(bench, first)
    assert "RuntimeError: it broke" in record["traceback"]
    with pytest.raises(CellsFailed):
        run_bench(bench)
    assert record_of(bench, first)["session"] != record["session"]
    Path("mended.py").write_text(OWN.replace('raise RuntimeError("it broke")', "pass"))
    mended = admitted(a_bench(tmp_path / "out", replace(own_row("raise"), method="mended.py:Obedient"), random()))
    assert "failed" not in run_bench(mended)


def test_a_cell_that_somebody_computes_is_left_to_him(tmp_path):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]
    held, free = threading.Event(), threading.Event()

    def somebody():  # claims belong to a thread
        with claim(bench.cells / first.key):
            held.set()
            free.wait()

    thread = threading.Thread(target=somebody)
    thread.start()
    held.wait()
    try:
        with pytest.raises(AlreadyClaimed):
            compute(bench, first)
        assert record_of(bench, first) is None
    finally:
        free.set()
        thread.join()
    assert compute(bench, first)["state"] == "done"


def test_a_run_that_somebody_else_works_on_is_waited_for_and_is_no_failure(tmp_path, capsys):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]
    lock = bench.cells / first.key / "run" / CLAIM
    lock.parent.mkdir(parents=True)
    lock.write_text('{"pid": 1, "host": "another", "command": "contrafact evaluate", "since": "2026"}')
    with pytest.raises(AlreadyClaimed, match="contrafact evaluate"):
        compute(bench, first)
    assert record_of(bench, first) is None
    threading.Timer(0.7, lock.unlink).start()
    run_bench(bench)
    assert record_of(bench, first)["state"] == "done"
    assert capsys.readouterr().err.count("tiny: random, seed 0 (3 cells left)") == 1


def test_who_waits_for_many_cells_asks_less_often(tmp_path, monkeypatch):
    bench = a_bench(tmp_path, random(), seeds=tuple(range(40)))
    trainings = [cell for cell in plan(bench, {"random"}) if cell.kind == "train"]
    slept = []

    def held(*_):
        raise AlreadyClaimed("by another")

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "compute", held)
    monkeypatch.setattr(runner.time, "sleep", sleep)
    for cells, pause in ((trainings, 0.8), (trainings[:2], 0.2)):
        slept.clear()
        with pytest.raises(KeyboardInterrupt):
            runner.work(bench, cells)
        assert slept == pytest.approx([pause] * 3)


@pytest.mark.parametrize(("got_further", "state"), [(True, "done"), (False, "failed")])
def test_one_that_is_killed_often_and_gets_further_each_time_goes_on(got_further, state, tmp_path, monkeypatch):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]
    run = bench.cells / first.key / "run"

    def die(bench, cell):
        run.mkdir(parents=True, exist_ok=True)
        checkpoint = run / "checkpoint.pt"
        if got_further or not checkpoint.exists():
            checkpoint.write_bytes(b"x" * (checkpoint.stat().st_size + 1 if checkpoint.exists() else 1))
        raise SystemExit("as if it had been killed: nothing is written down")

    monkeypatch.setitem(bench_cells._COMPUTE, "train", die)
    for _ in range(6):
        if record_of(bench, first) is None:
            with contextlib.suppress(SystemExit):
                compute(bench, first)
    if got_further:
        monkeypatch.setitem(bench_cells._COMPUTE, "train", lambda bench, cell: {"seconds": 0.0})
        compute(bench, first)
    record = record_of(bench, first)
    assert record["state"] == state
    assert got_further or record["error"].startswith("its process was killed 3 times and got no further")


def test_one_cell_by_its_key_with_what_it_needs(tmp_path):
    bench = a_bench(tmp_path, random(), random("other", 3))
    key = plan(bench, {"other"})[-1].key
    assert run_cell(bench, key)["result"]["scores"].keys() == {"MIG"}
    assert collect(bench).splitlines()[2].startswith("| random | – | 0 |")
    assert collect(bench).splitlines()[3].startswith("| other | 0.")
    with pytest.raises(ValueError, match="tiny has no cell nothing at these options; --plan lists its 6 cells"):
        run_cell(bench, "nothing")


def test_a_record_that_is_none_is_not_believed(tmp_path):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]
    (bench.cells / first.key).mkdir(parents=True)
    (bench.cells / first.key / "cell.json").write_text('{"key": "of another", "state": "done"}')
    with pytest.raises(ValueError, match="is no record of this cell; delete it to compute the cell again"):
        run_bench(bench)


def test_tables_are_made_once_for_both_files_that_show_them(tmp_path, monkeypatch):
    bench, made = a_bench(tmp_path, random()), []
    make = results.grids
    monkeypatch.setattr(results, "grids", lambda *given: made.append(make(*given)) or made[-1])
    table = collect(bench, {cell.key: "gone" for cell in plan(bench, {"random"})})
    ((grid,),) = made
    assert table == grid.to_markdown()
    assert table in (tmp_path / "results.md").read_text("utf-8")
    assert grid.to_latex() in (tmp_path / "results.tex").read_text("utf-8")


def test_cells_of_two_kinds_of_device_are_never_averaged():
    recipe = Recipe(
        "t", "t", (Row("A", "disco"), Row("control", "control"), Row("B", "sefa")), {"MIG": ("mig", "score")}
    )

    def cells(name, device, *values):
        return [Scores(name, seed, {"MIG": value}, 1.0, "", device) for seed, value in enumerate(values)]

    computed = {
        "A": [*cells("A", "cpu (x86_64)", 0.1, 0.3), *cells("A", "cuda:0 (NVIDIA H200)", 0.7, 0.9)],
        "control": cells("control", "cuda:1 (NVIDIA H200)", 0.2, 0.2),
        "B": cells("B", "cpu (x86_64)", 0.5),
    }
    lines = results_grid(*split_by_device(recipe, computed)).to_markdown().splitlines()[2:]
    assert lines == [
        "| A (cpu) | 0.200 ± 0.141 | 2 | 1 s |",
        "| control (cpu) | – | 0 | – |",
        "| A (cuda) | 0.800 ± 0.141 | 2 | 1 s |",
        "| control (cuda) | 0.200 ± 0.000 | 2 | 1 s |",
        "| A (cuda) − control (cuda) | +0.600 (+4.2 std) |  |  |",
        "| B | 0.500 | 1 | 1 s |",
    ]


def test_workers_of_their_own_are_replaced_when_they_die_but_not_forever(tmp_path, own_row):
    rows = own_row("work"), own_row("die once"), own_row("die")
    bench = admitted(a_bench(tmp_path / "out", *rows))
    with pytest.raises(CellsFailed, match="row 'die' at seed 0: its process was killed 3 times"):
        run_bench(bench, jobs=2)
    results = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [len(results[row.name]["cells"]) for row in rows] == [1, 1, 0]
    alone = admitted(a_bench(tmp_path / "alone", rows[0]))
    run_bench(alone)
    scores = [
        json.loads((tmp_path / out / "results.json").read_text())["rows"]["work"]["cells"][0]["scores"]
        for out in ("out", "alone")
    ]
    assert scores[0] == scores[1], "who computes it, and beside whom, changes nothing"


def test_workers_begin_once_for_several_recipes_and_one_that_fails_stops_no_other(tmp_path, own_row, monkeypatch):
    rows = {"fails": own_row("raise"), "works": own_row("work")}
    benches = [admitted(replace(a_bench(tmp_path / name, row), name=name)) for name, row in rows.items()]
    refused = replace(a_bench(tmp_path / "refused", random()), source="nowhere")
    begun = []
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    process = multiprocessing.get_context("spawn").Process
    start = process.start

    def counted(worker):
        begun.append(os.environ["OPENBLAS_NUM_THREADS"])
        start(worker)

    monkeypatch.setattr(process, "start", counted)
    runner.run_ahead([benches[0], refused, benches[1]], 2, None, "together")
    share = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // 2))
    assert begun == [str(share)] * 2
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    monkeypatch.setattr(runner, "compute", lambda *_: pytest.fail("computed again"))
    with pytest.raises(CellsFailed, match="1 of 3 cells of fails failed"):
        run_bench(benches[0], session="together")
    assert run_bench(benches[1], session="together").splitlines()[2].startswith("| work | 0.")
    with pytest.raises(ValueError, match="nowhere"):
        run_bench(refused, session="together")


def is_left(group):
    """Whether any process of the group is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_driver_that_is_told_to_end_ends_its_workers_too(tmp_path, own_row):
    own_row("take long")
    Path("drive.py").write_text(
        "from pathlib import Path\nfrom contrafact.bench.runner import run_bench\n"
        "from tests.bench.conftest import told\nfrom tests.bench.test_cells import a_bench, admitted\n"
        "if __name__ == '__main__':\n"
        "    run_bench(admitted(a_bench(Path('out'), told('take long', 100_000))), jobs=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    driver = subprocess.Popen([sys.executable, "drive.py"], env=environment, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while not Path("begun-take long").exists():
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        driver.terminate()
        assert driver.wait(timeout=100) != 0
        while is_left(driver.pid):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    (begun,) = (tmp_path / "out" / "cells").glob("obedient*-seed0-*")
    assert (begun / "run" / "checkpoint.pt").exists()


@pytest.mark.slow
def test_when_the_time_is_up_what_is_under_way_is_saved_and_goes_on(tmp_path, own_row):
    bench = admitted(a_bench(tmp_path / "out", own_row("take long", 400)))
    run_bench(bench, budget=25.0)
    (begun,) = (tmp_path / "out" / "cells").glob("obedient*-seed0-*")
    assert (begun / "run" / "checkpoint.pt").exists()
    assert not (begun / "cell.json").exists()
    before = len((begun / "run" / "log.jsonl").read_text().splitlines())
    assert before > 0
    assert run_bench(bench).splitlines()[2].startswith("| take long | 0.")
    steps = [json.loads(line)["step"] for line in (begun / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
