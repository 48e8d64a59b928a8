import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from contrafact.core.artefact import fingerprint
from contrafact.core.averaging import backward_and_average
from contrafact.core.claim import claim
from contrafact.core.command import title
from contrafact.core.method import load_run
from contrafact.core.processes import Processes
from contrafact.core.run import Run

from .two_processes import descents


def torchrun(*arguments, cwd, works=True):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        "0",
        "--standalone",
    ]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == works, done.stderr
    return done


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two processes that trained DisCo together ended with."""
    folder = tmp_path_factory.mktemp("two")
    torchrun(Path(__file__).with_name("two_processes.py"), folder, cwd=folder)
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_processes_keep_equal_weights(both):
    folder, (first, second) = both
    assert first["world_size"] == 2
    for artefact in ("encoder", "directions"):
        assert first[artefact] == second[artefact]
        assert first[artefact] == fingerprint(getattr(load_run(folder / "run"), artefact))


def test_processes_use_directions_of_their_own(both):
    _, (first, second) = both
    assert len(first["drawn"]) == len(second["drawn"]) == 8
    assert [d for d, _ in first["drawn"]] != [d for d, _ in second["drawn"]]
    assert all(mine[1] != other[1] for mine, other in zip(first["drawn"], second["drawn"], strict=True))


def test_gradients_are_those_of_the_joint_batch_however_they_are_exchanged(both, tmp_path):
    _, (first, second) = both
    alone = descents(Run(tmp_path, device="cpu", progress=False))["overlapped"]
    for way in ("overlapped", "afterwards", "one bucket"):
        assert first[way] == second[way] == first["afterwards"]
        torch.testing.assert_close(torch.tensor(first[way]), torch.tensor(alone))


class _Twins(Processes):
    """Two processes that always have the same; notes what is sent, and which gradients are there by then."""

    def __init__(self, network):
        self.index, self.count, self.device = 0, 2, torch.device("cpu")
        self.network, self.sent = network, []

    def begin_total(self, value):
        self.sent.append((value.numel(), sum(p.grad is not None for p in self.network.parameters())))
        return lambda: 2 * value


def test_gradients_are_sent_before_all_of_them_are_there():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 1))
    unused = nn.Parameter(torch.ones(7))
    twins = _Twins(network)
    network(torch.ones(1, 2)).sum().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    backward_and_average(network(torch.ones(1, 2)).sum(), [unused, *network.parameters()], twins, 4 * 16)
    assert [size for size, _ in twins.sent] == [1 + 4 + 4, 12 + 3, 6 + 7]
    assert twins.sent[0][1] < twins.sent[1][1] <= twins.sent[2][1] == 6
    assert all(torch.equal(p.grad, gradient) for p, gradient in zip(network.parameters(), expected, strict=True))
    assert torch.equal(unused.grad, torch.zeros(7))
    assert not any(p._post_accumulate_grad_hooks for p in [unused, *network.parameters()])


def test_the_command_line_runs_in_two_processes(tmp_path):
    options = ["--data", "shapes3d", "--size", "16", "--width", "0.1", "--latent-dim", "3", "--batch-size", "4"]
    run = ["--steps", "4", "--device", "cpu", "--out", "run"]
    done = torchrun("-m", "contrafact", "fit", "vae", *options, *run, cwd=tmp_path)
    assert load_run(tmp_path / "run").config["processes"] == 2
    assert done.stdout.count("contrafact report run") == 1  # one process speaks for both


def test_processes_that_are_refused_a_folder_end_together(tmp_path):
    options = [
        "--data",
        "shapes3d",
        "--size",
        "16",
        "--width",
        "0.1",
        "--steps",
        "4",
        "--device",
        "cpu",
        "--out",
        "run",
    ]
    with claim(tmp_path / "run"):
        done = torchrun("-m", "contrafact", "fit", "vae", *options, cwd=tmp_path, works=False)
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".claim"]
    assert f"contrafact: run is in use by `{title()}` (pid {os.getpid()} on" in done.stderr
    assert "internal error" not in done.stderr


LEAVES = """
import atexit, pathlib, sys, torch
from contrafact.core.processes import Processes

def here():
    names = [path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
    return torch.distributed.is_initialized() or any("runloop" in name for name in names)

# what is registered first is called last
atexit.register(lambda: pathlib.Path(f"{sys.argv[1]}{both.index}").write_text(str(here())))
both = Processes(torch.device("cpu"))
import torch._dynamo  # as a first optimizer does: it imports functions whose defaults are the group of that moment
waits = [both.begin_total(torch.ones(1000)) for _ in range(100)]
assert all(wait()[0] == 2 for wait in waits)
if sys.argv[1] == "failed":
    raise SystemError
if sys.argv[1] == "own":  # a group that the caller makes is the caller's to leave
    torch.distributed.destroy_process_group()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
"""


@pytest.mark.parametrize("name", ["done", "failed", "own"])
def test_processes_leave_their_group_and_its_threads_before_the_interpreter_goes(tmp_path, name):
    (tmp_path / "script.py").write_text(LEAVES)
    torchrun("script.py", name, cwd=tmp_path, works=name != "failed")
    there = [path.read_text() for path in tmp_path.glob(f"{name}*")]
    if name == "done":  # else Gloo's threads abort the process, now and then
        assert there == ["False"] * 2
    else:
        assert "True" in there


def test_a_process_alone_exchanges_with_itself():
    alone, value = Processes(torch.device("cpu")), torch.tensor([1.0, 2.0])
    assert (alone.index, alone.count, alone.is_main) == (0, 1, True)
    alone.wait()
    for same in (alone.total(value), alone.mean(value), alone.rows(value)):
        assert torch.equal(same, value)
    assert alone.total(value) is not value
    assert alone.all_of("a") == ["a"]
    assert alone.first_of("a") == "a"
