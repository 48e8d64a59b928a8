"""Cells on a cluster: a real one, of two nodes on this machine, of which one is killed; and Slurm's jobs as processes.

``make test-cluster`` installs what they need and runs them.
"""

import json
import threading
import time

import pytest

from contrafact.bench.launch import Cluster, run_on
from contrafact.bench.runner import CellsFailed, run_bench
from tests.bench.test_cells import a_bench, admitted, random

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def scores(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {name: [cell["scores"] for cell in row["cells"]] for name, row in rows.items()}


@pytest.fixture(scope="module")
def two_nodes():
    """A Ray cluster of two nodes of one processor each, both on this machine, and its first node."""
    ray = pytest.importorskip("ray")
    utils = pytest.importorskip("ray.cluster_utils")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


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
    alone = admitted(a_bench(tmp_path / "alone", *rows[:2], rows[3]))
    run_bench(alone)
    assert {name: found[name] for name in ("first", "second", "take long")} == scores(tmp_path / "alone")


def test_jobs_of_slurm_compute_what_the_folder_says(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    bench = a_bench(tmp_path / "out", random("first"), random("second", 3))
    run_on(bench, Cluster("slurm", "local", workers=2, minutes=5))
    until = time.monotonic() + 240
    while time.monotonic() < until and len(list((tmp_path / "out" / "cells").glob("score-*/cell.json"))) < 2:
        time.sleep(0.5)
    table = run_bench(bench)
    assert "| first | 0." in table
    alone = a_bench(tmp_path / "alone", random("first"), random("second", 3))
    run_bench(alone)
    assert scores(tmp_path / "out") == scores(tmp_path / "alone")
