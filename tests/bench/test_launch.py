"""Cells on a cluster: a real one of two nodes on this machine, whose parts are killed; and Slurm's jobs as processes.

``make test-cluster`` installs what they need and runs them.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contrafact.bench.launch import Cluster, run_on
from contrafact.bench.runner import CellsFailed, run_bench
from contrafact.core.claim import CLAIM
from tests.bench.conftest import OWN, told
from tests.bench.test_cells import a_bench, admitted, random

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
ROOT = Path(__file__).parents[2]
# A head that is gone is waited for a minute by default, a silent node half of one.
PATIENCE = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
DRIVER = """
import sys
from pathlib import Path
from contrafact.bench.launch import Cluster, run_on
from tests.bench.conftest import told
from tests.bench.conftest import OWN, told
from tests.bench.test_cells import a_bench, admitted
rows = [told("take long", 100), told("take long too", 101)]
print(run_on(admitted(a_bench(Path("out"), *rows)), Cluster("ray", sys.argv[1], workers=2)))
"""


def scores(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {name: [cell["scores"] for cell in row["cells"]] for name, row in rows.items()}


def wait_for(found, seconds=120.0):
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)
    return answer


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of one node of one processor."""
    ray = pytest.importorskip("ray")
    utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENCE.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def two_nodes(cluster):
    """It with a second node, on this machine too."""
    if not cluster.worker_nodes:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
    return cluster


def descendants(pid):
    """All processes below one, by what Linux says of each."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def processes_of(node):
    """Those of a node: what Ray started for it, and all below, the cells' too."""
    own = {info.process.pid for infos in node.all_processes.values() for info in infos}
    return own.union(*map(descendants, own))


def begun():
    """Runs of the folder's long rows that have logged something."""
    return sorted(path.parent for path in Path("out", "cells").glob("obedient*/run/log.jsonl") if path.stat().st_size)


def a_driver(address):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(*drivers):
    said = [driver.communicate(timeout=240) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * len(drivers), said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Scores of the drivers' rows, computed here."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "obedient.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_bench(admitted(a_bench(folder / "out", told("take long", 100), told("take long too", 101))))
    return scores(folder / "out")


def check_nothing_is_lost_or_doubled(alone):
    assert scores(Path("out")) == alone
    for log in Path("out", "cells").glob("obedient*/run/log.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == sorted(set(steps))
    assert not list(Path("out").rglob(CLAIM))


def test_a_driver_that_is_killed_is_followed_by_two_on_one_folder(two_nodes, own_row, alone):
    first = a_driver(two_nodes.address)
    wait_for(lambda: len(begun()) == 2)
    first.kill()
    first.communicate()
    ended(a_driver(two_nodes.address), a_driver(two_nodes.address))
    check_nothing_is_lost_or_doubled(alone)


def test_a_node_that_falls_silent_and_vanishes_leaves_its_cell_to_the_other(two_nodes, own_row, alone):
    """Its claim is that of another machine, whose locks nobody here sees."""
    import ray

    driver = a_driver(two_nodes.address)
    wait_for(lambda: len(begun()) == 2)
    (node,) = two_nodes.worker_nodes
    lost = processes_of(node)
    send(lost, signal.SIGSTOP)
    ray.init(two_nodes.address, log_to_driver=False)
    wait_for(lambda: sum(known["Alive"] for known in ray.nodes()) == 1)
    ray.shutdown()
    claims = [path for path in Path("out").rglob(CLAIM) if json.loads(path.read_text())["pid"] in lost]
    assert claims
    for path in claims:
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "vanished"}))
    send(lost, signal.SIGKILL)
    two_nodes.remove_node(node, allow_graceful=False)
    ended(driver)
    check_nothing_is_lost_or_doubled(alone)


def test_a_table_over_two_nodes_is_the_same_though_workers_and_a_node_are_killed(two_nodes, tmp_path, own_row):
    rows = (random("first"), random("second", 3), own_row("die once"), own_row("take long", 100), own_row("die"))
    bench = admitted(a_bench(tmp_path / "cluster", *rows))

    def kill_a_node():
        begun = tmp_path / "cluster" / "cells"
        while not list(begun.glob("obedient*/run/log.jsonl")):
            time.sleep(0.2)
        two_nodes.remove_node(next(iter(two_nodes.worker_nodes)), allow_graceful=False)

    killer = threading.Thread(target=kill_a_node, daemon=True)
    killer.start()
    with pytest.raises(CellsFailed, match="row 'die' at seed 0"):
        run_on(bench, Cluster("ray", two_nodes.address, workers=2))
    killer.join(60)
    assert not killer.is_alive()
    found = scores(tmp_path / "cluster")
    assert [len(found[row.name]) for row in rows] == [1, 1, 1, 1, 0]
    run_bench(admitted(a_bench(tmp_path / "alone", *rows[:2], rows[3])))
    assert {name: found[name] for name in ("first", "second", "take long")} == scores(tmp_path / "alone")


def test_jobs_of_slurm_compute_what_the_folder_says(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    bench = a_bench(tmp_path / "out", random("first"), random("second", 3))
    run_on(bench, Cluster("slurm", "local", workers=2, minutes=5))
    wait_for(lambda: len(list((tmp_path / "out" / "cells").glob("score-*/cell.json"))) == 2)
    table = run_bench(bench)
    assert "| first | 0." in table
    run_bench(a_bench(tmp_path / "alone", random("first"), random("second", 3)))
    assert scores(tmp_path / "out") == scores(tmp_path / "alone")


def test_a_head_that_is_killed_ends_the_driver_and_another_cluster_goes_on(cluster, own_row, alone):
    """The last test of this cluster: nothing of it is left."""
    utils = pytest.importorskip("ray.cluster_utils")
    driver = a_driver(cluster.address)
    wait_for(begun)
    send(processes_of(cluster.head_node), signal.SIGKILL)
    driver.communicate(timeout=120)
    assert driver.returncode != 0
    again = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        ended(a_driver(again.address))
    finally:
        again.shutdown()
    check_nothing_is_lost_or_doubled(alone)
