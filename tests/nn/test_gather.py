"""Two processes minimise what one does on their joint batch: values, gradients, and one queue for all."""

from pathlib import Path

import pytest
import torch

from contrafact.core.run import Run

from ..core.test_processes import torchrun
from .joint_batch import measure


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    torchrun(Path(__file__).with_name("joint_batch.py"), folder, cwd=folder)
    alone = measure(Run(folder / "alone", device="cpu", precision="float32", progress=False))
    return alone, [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", ["nt_xent", "supcon", "double backward", "moco"])
def test_losses_and_gradients_are_the_joint_batchs(results, name):
    alone, ranks = results
    for rank in ranks:
        torch.testing.assert_close(rank[name], alone[name])
        torch.testing.assert_close(rank[f"{name} gradient"], alone[f"{name} gradient"], atol=1e-6, rtol=1e-4)
    assert alone[f"{name} gradient"].abs().max() > 1e-4


def test_all_processes_hold_the_joint_queue_in_order(results):
    alone, ranks = results
    for rank in ranks:
        torch.testing.assert_close(rank["queue"], alone["queue"])
        assert int(rank["place"]) == int(alone["place"]) == 18 % 13
