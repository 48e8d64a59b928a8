import argparse
import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from contrafact.generators._parts import parts
from contrafact.generators._stored import StoredModule, outline, read_stored, state_dicts
from contrafact.generators.checkpoints import load_generator


class _Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".legacy.pt"])
def test_hostile_pickles_do_not_run_and_are_named(tmp_path, suffix):
    mark, path = tmp_path / "was_here", tmp_path / f"model{suffix}"
    content = {"G_ema": _Hostile(mark), "weight": torch.zeros(3)}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
        pickle.loads(path.read_bytes())
    else:
        torch.save(content, path, _use_new_zipfile_serialization=suffix == ".pt")
        torch.load(path, weights_only=False)
    mark.rmdir()  # the witness: it is there if the file is read by anyone who trusts it
    assert torch.equal(read_stored(path)["weight"], torch.zeros(3))
    with pytest.raises(ValueError, match=r"G_ema \(an object of (posix|nt|os)\.mkdir, which is not built\)"):
        load_generator(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__"])
def test_builtins_are_names_and_nothing_else(tmp_path, name):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04c__builtin__\n" + name.encode() + b"\n.")
    assert repr(read_stored(path)) == f"__builtin__.{name}"


def test_source_text_in_nvidia_pickles_is_not_run(tmp_path, monkeypatch):
    """A file as NVIDIA's persistence writes it, with program text that would leave a mark."""
    mark, path = tmp_path / "was_here", tmp_path / "network.pkl"
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("only its name is used")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)

    class Persistent:
        def __init__(self, class_name, state):
            self.meta = {
                "type": "class",
                "version": 6,
                "module_src": f"import os; os.mkdir({str(mark)!r})",
                "class_name": class_name,
                "state": state,
            }

        def __reduce__(self):
            return _reconstruct_persistent_obj, (self.meta,)

    weight = torch.nn.Parameter(torch.randn(2, 3))
    child = Persistent(
        "Layer",
        {"_parameters": collections.OrderedDict(weight=weight, bias=None), "_buffers": {"f": torch.arange(4.0)}},
    )
    container = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    network = Persistent(
        "Generator",
        {
            "_init_kwargs": {"z_dim": 4, "gain": np.float64(2.5), "size": np.int64(8)},
            "_parameters": {},
            "_buffers": {"w_avg": torch.ones(4)},
            "_modules": collections.OrderedDict(layer=child, items=container),
            "training": False,
        },
    )
    path.write_bytes(pickle.dumps({"G_ema": network, "training_set_kwargs": None}))
    stored = read_stored(path)["G_ema"]
    assert isinstance(stored, StoredModule)
    assert stored.class_name == "Generator"
    assert stored.arguments == {"z_dim": 4, "gain": 2.5, "size": 8}
    expected = {"w_avg", "layer.weight", "layer.f", "items.0.weight", "items.0.bias"}
    assert set(stored.tensors) == expected
    assert torch.equal(stored.tensors["layer.weight"], weight.detach())
    assert torch.equal(stored.tensors["items.0.weight"], container[0].weight.detach())
    assert not mark.exists()


def test_training_files_with_a_namespace(tmp_path):
    path = tmp_path / "train.pt"
    torch.save({"g_ema": {"w": torch.ones(2)}, "args": argparse.Namespace(size=64, path="x")}, path)
    stored = read_stored(path)
    assert stored["args"].size == 64
    assert torch.equal(stored["g_ema"]["w"], torch.ones(2))


def test_old_and_new_torch_files_and_safetensors(tmp_path):
    from safetensors.torch import save_file

    weights = {"a.weight": torch.randn(3, 2), "b": torch.arange(3)}
    for modern in (True, False):
        path = tmp_path / f"{modern}.pth"
        torch.save(weights, path, _use_new_zipfile_serialization=modern)
        assert all(torch.equal(read_stored(path)[k], v) for k, v in weights.items())
    save_file(weights, tmp_path / "x.safetensors")
    assert torch.equal(read_stored(tmp_path / "x.safetensors")["b"], weights["b"])


def test_folders_give_their_known_files(tmp_path):
    (tmp_path / "args.json").write_text('{"dim": 2}')
    torch.save({"w": torch.ones(1)}, tmp_path / "generator.pt")
    (tmp_path / "unrelated.txt").write_text("x")
    stored = read_stored(tmp_path)
    assert set(stored) == {"args.json", "generator.pt"}
    assert stored["args.json"] == {"dim": 2}


def test_folders_without_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no weights"):
        read_stored(tmp_path)


def test_folders_with_damaged_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    torch.save({}, tmp_path / "generator.pt")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        read_stored(tmp_path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pkl", "safetensors"])
def test_truncated_files(tmp_path, kind):
    from safetensors.torch import save_file

    path = tmp_path / "model"
    weights = {"w": torch.randn(50, 50)}
    if kind == "pkl":
        path.write_bytes(pickle.dumps(weights))
    elif kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            read_stored(path)


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("a text file, not weights, long enough to have a start")
    with pytest.raises(ValueError, match=r"is no weight file but a text file: expected \.safetensors"):
        read_stored(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is no weight file"):
        read_stored(path)


def test_pickles_that_contain_themselves(tmp_path):
    loop: list[object] = [torch.ones(1)]
    loop.append(loop)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(loop))
    tensor, itself = read_stored(path)
    assert torch.equal(tensor, torch.ones(1))
    assert itself.name == "contrafact.contains_itself"


def test_modules_shared_by_modules_do_not_unfold(tmp_path):
    """Each of 30 networks holds the one below it twice: a thousand million names in a small file."""
    network = torch.nn.Linear(1, 1)
    for _ in range(30):
        network = torch.nn.Sequential(network, network)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(network))
    with pytest.raises(
        ValueError, match=r"model\.pkl is not a whole network pickle: its networks would unfold to many"
    ):
        read_stored(path)


def test_whole_networks_of_any_class(tmp_path):
    network = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)))
    path = tmp_path / "model.pt"
    for modern in (True, False):
        torch.save({"G": network, "step": 3}, path, _use_new_zipfile_serialization=modern)
        stored = read_stored(path)["G"]
        assert stored.class_name == "DataParallel"
        assert stored.settings["module.1.eps"] == 1e-5
        assert stored.tensors.keys() == network.state_dict().keys()
        assert all(torch.equal(stored.tensors[k], v) for k, v in network.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_torchscript_networks_give_their_tensors(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sequential(torch.nn.BatchNorm1d(3)))
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(network), path)
    stored = read_stored(path)
    assert stored.class_name == "Sequential"
    assert stored.tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(stored.tensors[k], v) for k, v in network.state_dict().items())


def test_a_larger_models_generator_is_found():
    weight, other = torch.ones(2), torch.zeros(2)
    lightning = {"state_dict": {"generator.a": weight, "discriminator.a": other}, "epoch": 1}
    found = {part.place: part for part in parts(lightning)}
    assert list(found) == ["state_dict", "state_dict: generator."]
    content = found["state_dict: generator."].content
    assert content == {"epoch": 1, "state_dict": {"a": weight}}
    assert list(state_dicts(content)) == [{"a": weight}]
    (part,) = parts({"G_ema": StoredModule("Generator", {}, {"module.a": weight}, {"module.clamp": 1})})
    assert (part.place, part.averaged) == ("G_ema", True)
    assert [list(state) for state in state_dicts(part.content)] == [["a"]]
    assert part.content["G_ema"].settings == {"clamp": 1}


def test_outlines_say_what_there_is():
    holds = {
        "g": {"a": torch.ones(1), "b": torch.ones(2)},
        "net": StoredModule("Net", {}, {"w": torch.ones(1)}),
        "x": np.zeros((2, 3)),
        "n": 1,
        "l": [1, "a"],
        "e": {},
        "more": None,
    }
    expected = (
        "g (2 tensors: a [1], b [2]), net (a Net of 1 tensors: w [1]), x (float64 [2, 3]), n (int), l (2 entries), "
        "e (nothing) and 1 more"
    )
    assert outline(holds) == expected
    assert outline([torch.ones(2), None]) == "2 entries, the first: float32 [2]; None"
    assert len(outline({"k" * 10_000: {"v" * 10_000: 1}})) < 200


def test_tar_files_of_the_first_torch_say_what_to_do(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"storages".ljust(512, b"\0"))
    with pytest.raises(ValueError, match=r"written by torch 0\.1\.9 or older, as a tar file; if you trust it"):
        read_stored(path)


def test_a_pickle_cannot_leave_attributes_behind(tmp_path):
    # BUILD with slot state sets attributes on whatever global it was given.
    path = tmp_path / "model.pkl"
    path.write_bytes(
        b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\nN}X\x04\x00\x00\x00evilK\x01s\x86b."
    )
    read_stored(path)
    path.write_bytes(b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\n.")
    assert not hasattr(read_stored(path), "evil")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_damaged_files_fail_with_words(kind, tmp_path):
    """Cut short or with a byte changed, a file is read or refused; it never ends in another error."""
    path = tmp_path / "model.pt"
    content = {"a": torch.arange(6.0).view(2, 3), "b": {"c": torch.zeros(2, dtype=torch.int64), "d": "text"}}
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"G_ema": [np.arange(3), 1.5], "x": {"y": (1, None, True)}}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    read_stored(path)
    damaged = [whole[: len(whole) * k // 20] for k in range(1, 20)]
    for place in rng.integers(len(whole), size=150):
        damaged.append(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
    messages = []
    for one in damaged:
        path.write_bytes(one)
        try:
            read_stored(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) >= 19
    assert all(str(path) in message for message in messages)


def test_numpy_files_are_described(tmp_path):
    np.savez(tmp_path / "ganspace.npz", lat_comp=np.zeros((6, 1, 10), np.float32))
    with pytest.raises(
        ValueError, match=r"is a numpy archive of lat_comp float32 \(6, 1, 10\), not the weights of a gen"
    ):
        read_stored(tmp_path / "ganspace.npz")
    np.save(tmp_path / "sefa.npy", np.zeros((6, 10), np.float32))
    with pytest.raises(ValueError, match=r"is no weight file but a numpy array, float32 \(6, 10\): expected"):
        read_stored(tmp_path / "sefa.npy")
