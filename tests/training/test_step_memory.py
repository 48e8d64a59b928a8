"""What a step keeps, against counting it by hand, and what the system says is left."""

import pytest
import torch
from torch import nn

from contrafact.training import step_memory
from contrafact.training.piecewise import in_pieces
from contrafact.training.step_memory import GIB, _available, _of_group, free_bytes, graph_bytes, refuse_too_much


def test_bytes_of_a_row_are_those_of_its_activations():
    """Two linear layers and a tanh between: a row keeps its input of 5, the tanh's 7, no weights."""
    network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))
    assert graph_bytes(network, torch.rand(2, 5)) == 4 * (5 + 7)


def test_pieces_keep_only_what_goes_in():
    network = nn.Sequential(nn.Linear(5, 700), nn.Tanh(), nn.Linear(700, 2))
    assert graph_bytes(network, torch.rand(2, 5)) > 2800
    assert graph_bytes(lambda rows: in_pieces(network, rows, 1), torch.rand(2, 5)) <= 4 * 5


def test_what_is_left_is_read_where_the_system_says_it(tmp_path):
    assert free_bytes(torch.device("meta")) is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n")
    assert _available(tmp_path / "meminfo") == 7 * 1024
    assert _available(tmp_path / "nowhere") is None
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert _of_group(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert _of_group(tmp_path) is None
    assert _of_group(tmp_path / "nowhere") is None


def test_much_is_said_and_too_much_refused(monkeypatch, capsys):
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 4 * GIB)
    refuse_too_much(GIB // 2, torch.device("cpu"), "set x")
    assert capsys.readouterr().err == ""
    refuse_too_much(3 * GIB, torch.device("cpu"), "set x")
    assert capsys.readouterr().err == "a step keeps about 3.0 GiB for its gradients; to take less, set x\n"
    with pytest.raises(ValueError, match=r"a step keeps about 5\.0 GiB .* 4\.0 GiB are free on cpu; set x"):
        refuse_too_much(5 * GIB, torch.device("cpu"), "set x")
