"""Two processes minimise what one does on their joint batch: values, gradients, and one queue for all."""

import json
from pathlib import Path

import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run

from ..core.test_processes import torchrun
from .joint_batch import METHODS, measure


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    torchrun(Path(__file__).with_name("joint_batch.py"), folder, cwd=folder)
    alone = measure(Run(folder / "alone", device="cpu", precision="float32", progress=False))
    return alone, [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_equal_weights_in_all_processes(results, name, tmp_path_factory):
    folder = next(tmp_path_factory.getbasetemp().glob("joint*"))
    first, second = (json.loads((folder / f"rank{rank}.json").read_text())[name] for rank in range(2))
    kept = [float(p.double().square().sum()) for p in load_run(folder / name).encoder.parameters()]
    assert first == second == kept


@pytest.mark.parametrize("name", ["nt_xent", "supcon", "double backward", "moco"])
def test_losses_and_gradients_are_the_joint_batchs(results, name):
    alone, ranks = results
    for rank in ranks:
        torch.testing.assert_close(rank[name], alone[name])
        largest = float(alone[f"{name} gradient"].abs().max())
        assert largest > 1e-4
        torch.testing.assert_close(rank[f"{name} gradient"], alone[f"{name} gradient"], atol=1e-3 * largest, rtol=0)


def test_all_processes_hold_the_joint_queue_in_order(results):
    alone, ranks = results
    for rank in ranks:
        torch.testing.assert_close(rank["queue"], alone["queue"])
        assert int(rank["place"]) == int(alone["place"]) == 18 % 13
