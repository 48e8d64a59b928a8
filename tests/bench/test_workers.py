"""When worker processes stop instead of being replaced: a full disk, and deaths that bring no cell further."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from contrafact.bench import cells as bench_cells
from contrafact.bench import runner
from contrafact.bench.cells import compute, record_of
from contrafact.bench.plan import plan
from contrafact.bench.runner import run_bench
from tests.bench.test_cells import a_bench, admitted, random


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_fault_of_the_cell(number, tmp_path, monkeypatch):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]

    def fill(bench, cell):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setitem(bench_cells._COMPUTE, "train", fill)
        for _ in range(bench_cells.MOST_ATTEMPTS + 1):
            with pytest.raises(OSError, match=os.strerror(number)):
                compute(bench, first)
    assert record_of(bench, first) is None
    assert not list(bench.cells.rglob("begun.json"))
    assert compute(bench, first)["state"] == "done"


def test_another_error_of_the_system_is_the_cells(tmp_path, monkeypatch):
    bench = a_bench(tmp_path, random())
    first = plan(bench, {"random"})[0]

    def fail(bench, cell):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setitem(bench_cells._COMPUTE, "train", fail)
    assert compute(bench, first)["state"] == "failed"


def test_a_full_disk_stops_all_workers_of_several_recipes(tmp_path, own_row, capfd):
    rows = (own_row("work"),), (own_row("fill the disk"), random())
    first, second = (admitted(replace(a_bench(tmp_path / str(n), *r), name=f"part-{n}")) for n, r in enumerate(rows))
    run_bench(first)
    capfd.readouterr()
    Path("full").touch()
    with pytest.raises(OSError, match="no space left on the disk; free some and run the same command again") as stopped:
        runner.run_ahead([first, second], 2, None, "together")
    assert " of 9 cells are finished and kept, and trainings that were under way go on from" in str(stopped.value)
    said = capfd.readouterr().err
    assert f"part-1: {os.strerror(errno.ENOSPC)}: checkpoint.pt" in said
    assert "another begins" not in said
    assert "Traceback" not in said
    assert json.loads((tmp_path / "0" / "results.json").read_text())["rows"]["work"]["cells"]
    Path("full").unlink()
    assert run_bench(second).splitlines()[2].startswith("| fill the disk | 0.")


@pytest.fixture
def dying(monkeypatch):
    """Workers that end as soon as they are started, and what to do at the n-th start; the numbers of those started."""
    started = []

    def put(at_start=lambda number: None):
        class Worker:
            exitcode = None

            def start(self):
                started.append(len(started))
                at_start(len(started))
                self.exitcode = 1

            def is_alive(self):
                return False

        class Context:
            def Process(self, **_):
                return Worker()

        monkeypatch.setattr(runner.multiprocessing, "get_context", lambda kind: Context())
        monkeypatch.setattr(runner, "_POLL_SECONDS", 0.0)
        return started

    return put


def test_workers_that_die_before_a_cell_gets_further_are_not_replaced_for_ever(dying, tmp_path):
    started = dying()
    rows = [random(str(number), number) for number in range(2, 22)]
    words = r"tiny: 7 workers died one after the other \(the last with exit 1\), and no cell got further; .*: 0 of 60 "
    with pytest.raises(ValueError, match=words):
        run_bench(a_bench(tmp_path, *rows), jobs=2)
    assert len(started) == 8, "two at the beginning, and one for each of the six deaths before the last"


def test_a_death_behind_which_a_training_got_further_is_not_one_of_many(dying, tmp_path):
    bench = a_bench(tmp_path, random())
    checkpoint = bench.cells / plan(bench, {"random"})[0].key / "run" / "checkpoint.pt"

    def save(number):
        if number <= 30:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.write_bytes(b"x" * number)

    started = dying(save)
    with pytest.raises(ValueError, match="tiny: 4 workers died one after the other"):
        run_bench(bench, jobs=1, budget=1000.0)
    assert len(started) == 30 + 3
