"""What clocks, disks and whoever else is there may do to a table: nothing is lost, and nothing is computed twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from contrafact.bench import cells as bench_cells
from contrafact.bench.plan import plan
from contrafact.bench.results import collect
from contrafact.bench.runner import run_bench
from tests.bench.test_cells import a_bench, random

HOUR = 3600


def scores(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {name: [cell["scores"] for cell in row["cells"]] for name, row in rows.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    run_bench(a_bench(out, random(), random("other", 3)))
    return out


@pytest.fixture
def computed(monkeypatch):
    """Kinds of the cells that are computed."""
    found = []
    for kind, compute in list(bench_cells._COMPUTE.items()):
        monkeypatch.setitem(
            bench_cells._COMPUTE, kind, lambda b, c, compute=compute: (found.append(c.kind), compute(b, c))[1]
        )
    return found


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_machine_whose_clock_is_an_hour_off_goes_on_with_what_another_began(shift, undisturbed, tmp_path, computed):
    """Files of the folder bear another machine's times; one training is begun, one cell is finished."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    bench = a_bench(out, random(), random("other", 3))
    for cell in plan(bench, {"other"})[1:]:
        shutil.rmtree(bench.cells / cell.key)
    training = bench.cells / plan(bench, {"other"})[0].key
    (training / "cell.json").unlink()
    (training / "begun.json").write_text('{"attempts": 1, "since": "2031-01-01T00:00:00+0000"}')
    for path in out.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime + shift, stat.st_mtime + shift))
    run_bench(bench)
    assert scores(out) == scores(undisturbed)
    assert sorted(computed) == ["read", "score", "train"], "and nothing of the row that was finished"


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_no_claim_expires_however_late_it_is_elsewhere(shift, tmp_path, monkeypatch):
    from contrafact.core.claim import AlreadyClaimed, claim

    real = time.strftime
    monkeypatch.setattr(time, "strftime", lambda form, *at: real(form, *(at or (time.localtime(time.time() + shift),))))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom contrafact.core.claim import claim\n"
            "with claim(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)",
            str(tmp_path / "cell"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        lock = tmp_path / "cell" / ".claim"
        os.utime(lock, (lock.stat().st_atime + shift, lock.stat().st_mtime + shift))
        with pytest.raises(AlreadyClaimed), claim(tmp_path / "cell"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claim(tmp_path / "cell", wait=5.0):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize("damage", [b"", b'{"rows": {"random": {"cel', b"[]", b'{"rows": 3}', b"\x00" * 200])
def test_a_table_that_was_half_written_is_collected_anew(damage, undisturbed, tmp_path, computed):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    (out / "results.json").write_bytes(damage)
    bench = a_bench(out, random(), random("other", 3))
    run_bench(bench)
    assert scores(out) == scores(undisturbed)
    assert computed == []
    (out / "results.json").write_bytes(damage)
    with pytest.raises(
        ValueError, match=r"results\.json is damaged, and holds rows that were not asked for; leave --rows"
    ):
        collect(replace(bench, rows=("other",)))


@pytest.mark.parametrize("damage", [b"", b'{"key": "random-se', b"[]"])
def test_a_record_that_was_half_written_is_named_and_its_cell_alone_is_computed_again(
    damage, undisturbed, tmp_path, computed
):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    bench = a_bench(out, random(), random("other", 3))
    record = bench.cells / plan(bench, {"other"})[-1].key / "cell.json"
    record.write_bytes(damage)
    with pytest.raises(ValueError, match=r"cell\.json"):
        run_bench(bench)
    record.unlink()
    run_bench(bench)
    assert scores(out) == scores(undisturbed)
    assert computed == ["score"]


TWO_DRIVERS = """
import os
import sys
import time
from pathlib import Path
from contrafact.bench import cells
from contrafact.bench.runner import run_bench
from tests.bench.test_cells import a_bench, random

def noted(compute):
    def computed(bench, cell):
        file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{cell.key}\\n".encode())
        os.close(file)
        time.sleep(0.2)
        return compute(bench, cell)
    return computed

Path(sys.argv[2]).with_name(f"ready-{os.getpid()}").touch()
until = time.monotonic() + 120
while len(list(Path(sys.argv[2]).parent.glob("ready-*"))) < 2:
    assert time.monotonic() < until, "the other did not come"
    time.sleep(0.01)
cells._COMPUTE.update({kind: noted(compute) for kind, compute in cells._COMPUTE.items()})
run_bench(a_bench(Path(sys.argv[1]), random(), random("other", 3)))
"""


def test_two_drivers_on_one_folder_compute_nothing_twice(undisturbed, tmp_path):
    """Each is a process of its own; both begin when both are there, and append what they compute to one file."""
    out, log = tmp_path / "out", tmp_path / "computed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_DRIVERS, str(out), str(log)], stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    said = [driver.communicate(timeout=300)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert scores(out) == scores(undisturbed)
    keys = sorted(cell.key for cell in plan(a_bench(out, random(), random("other", 3)), {"random", "other"}))
    assert len(keys) == 6
    assert sorted(log.read_text().split()) == keys
    for path in (out / "cells").glob("*/cell.json"):
        record = json.loads(path.read_text())
        runs = list((out / "cells" / record["key"]).glob("run/result.json"))
        assert len(runs) == (record["kind"] == "train")
