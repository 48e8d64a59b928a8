import io
import os
import pickle
import re

import numpy as np
import pytest
import torch

from contrafact.core.checkpoint import load_state, save_state
from contrafact.core.checksum import write_archive
from contrafact.core.processes import Processes


def make_state(seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    rng, numpy_rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    return {"module": module, "optimizer": optimizer, "rng": rng, "numpy": numpy_rng}


@pytest.fixture
def saved(tmp_path):
    state = make_state(1)
    torch.rand(5, generator=state["rng"])
    state["numpy"].random(5)
    save_state(tmp_path / "checkpoint.pt", state, 17, Processes(torch.device("cpu")))
    return tmp_path / "checkpoint.pt", state


def test_everything_comes_back(saved):
    path, state = saved
    other = make_state(2)
    assert load_state(path, other, rank=0, world_size=1) == 17
    assert torch.equal(other["module"].weight, state["module"].weight)
    moments = [s["optimizer"].state_dict()["state"][0]["exp_avg_sq"] for s in (state, other)]
    assert torch.equal(*moments)
    assert torch.equal(torch.rand(4, generator=other["rng"]), torch.rand(4, generator=state["rng"]))
    np.testing.assert_array_equal(other["numpy"].random(4), state["numpy"].random(4))


def test_a_truncated_checkpoint_is_named(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"checkpoint.pt is no whole checkpoint of contrafact .*remove it to start"):
        load_state(path, make_state(), 0, 1)


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read \(Is a directory\)"):
        load_state(tmp_path / "checkpoint.pt", make_state(), 0, 1)


@pytest.mark.parametrize("content", [{"step": 1}, {"weights": torch.ones(2)}, 3])
def test_a_foreign_file_is_named(tmp_path, content):
    write_signed(tmp_path / "checkpoint.pt", content)
    with pytest.raises(ValueError, match="is no whole checkpoint of contrafact"):
        load_state(tmp_path / "checkpoint.pt", make_state(), 0, 1)


def write_signed(path, content):
    """Any content with the checksum that belongs to it: a checksum alone makes no file harmless."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_archive(path, buffer.getbuffer())


class Hostile:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_runs_no_code(tmp_path, zipped):
    path, victim = tmp_path / "checkpoint.pt", tmp_path / "pwned"
    if zipped:
        write_signed(path, {"step": Hostile(victim), "shared": {}, "streams": []})
    else:
        path.write_bytes(pickle.dumps({"step": Hostile(victim)}))
    with pytest.raises(ValueError, match="is no whole checkpoint of contrafact"):
        load_state(path, make_state(), 0, 1)
    assert not victim.exists()


def test_another_number_of_processes(saved):
    message = re.escape("was saved by 1 process(es), this run has 2; use as many")
    with pytest.raises(ValueError, match=message):
        load_state(saved[0], make_state(), 0, 2)


@pytest.mark.parametrize("change", [{"extra": torch.nn.Linear(1, 1)}, {"extra": torch.Generator()}])
def test_another_methods_checkpoint(saved, change):
    with pytest.raises(ValueError, match=r"holds \['module', 'optimizer'\], this method needs .*; it is another"):
        load_state(saved[0], make_state() | change, 0, 1)


def test_weights_of_another_shape(saved):
    other = make_state() | {"module": torch.nn.Linear(4, 2)}
    with pytest.raises(ValueError, match=r"(?s)checkpoint.pt does not fit this method's module .*size mismatch"):
        load_state(saved[0], other, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["streams"][0].update(rng=3),
        lambda saved: saved["streams"][0].update(rng=torch.zeros(3)),
        lambda saved: saved["streams"][0].update(numpy="[]"),
        lambda saved: saved["streams"][0].update(numpy=os.system),
        lambda saved: saved["shared"].update(module=[]),
        lambda saved: saved["shared"]["module"].update(weight=3),
        lambda saved: saved["shared"]["optimizer"].update(param_groups=[3]),
        lambda saved: saved["shared"].update(optimizer={}),
    ],
)
def test_content_that_does_not_fit_is_named(saved, change):
    path, _ = saved
    content = torch.load(path, weights_only=True)
    change(content)
    write_signed(path, content)
    with pytest.raises(ValueError, match=r"checkpoint.pt does not fit this method's (rng|numpy|module|optimizer) \("):
        load_state(path, make_state(), 0, 1)


@pytest.mark.parametrize("change", [{"streams": 3}, {"streams": [3]}, {"shared": [1]}, {"step": "x"}, {"step": None}])
def test_content_of_another_form_is_named(saved, change):
    path, _ = saved
    write_signed(path, {**torch.load(path, weights_only=True), **change})
    with pytest.raises(ValueError, match=r"checkpoint\.pt is no whole checkpoint of contrafact"):
        load_state(path, make_state(), 0, 1)


def test_a_hostile_checkpoint_with_a_checksum_runs_no_code(saved, tmp_path):
    path, state = saved
    victim = tmp_path / "pwned"
    content = torch.load(path, weights_only=True)
    content["shared"]["optimizer"]["extra"] = Hostile(victim)
    write_signed(path, content)
    torch.load(path, weights_only=False)
    victim.rmdir()  # the witness: a real unpickler makes it
    other = make_state(2)
    assert load_state(path, other, 0, 1) == 17
    assert torch.equal(other["module"].weight, state["module"].weight)
    assert not victim.exists()
