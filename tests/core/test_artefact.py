import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contrafact.core.artefact import Artefact, fingerprint, load_artefact, read_header, save_artefact
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.generator import Generator


@pytest.fixture
def directions():
    found = GlobalDirections.random(5, 3, torch.Generator().manual_seed(0))
    found.note = {"score": 0.5}
    return found


def _write(path, header, tensors=None):
    save_file(tensors or {"weight": torch.zeros(3, 5)}, path, metadata=header)
    return path


def _header(directions, **changes):
    header = {
        "format": "contrafact",
        "class": "contrafact.core.directions:GlobalDirections",
        "arguments": json.dumps(directions.arguments()),
        "note": "{}",
    }
    return {**header, **changes}


def test_round_trip_is_bit_exact(directions, tmp_path):
    path = tmp_path / "sub" / "directions.safetensors"
    save_artefact(directions, path)
    again = load_artefact(path, Directions)
    assert torch.equal(again.weight, directions.weight)
    assert again.arguments() == directions.arguments()
    assert again.note == {"score": 0.5}
    assert not again.training
    assert read_header(path)["class"] == "contrafact.core.directions:GlobalDirections"


def test_half_precision_files_are_read_as_float32(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    save_artefact(directions, path, dtype=torch.float16)
    assert load_file(path)["weight"].dtype == torch.float16
    again = load_artefact(path, Directions)
    assert again.weight.dtype == torch.float32
    assert torch.equal(again.weight, directions.weight.half().float())


def test_a_failed_write_leaves_the_old_file(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    save_artefact(directions, path)
    before = path.read_bytes()
    directions.note = {"bad": object()}
    with pytest.raises(TypeError):
        save_artefact(directions, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_somebody_elses_class_is_not_written(tmp_path):
    class Mine(Artefact):
        pass

    with pytest.raises(ValueError, match="is not one of contrafact's classes"):
        save_artefact(Mine(), tmp_path / "m.safetensors")


def test_a_module_without_arguments_says_so():
    with pytest.raises(ValueError, match="Artefact cannot be written to a file"):
        Artefact().arguments()


def test_a_header_cannot_import_code(directions, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(tmp_path)
    for dotted in ("stranger:Class", "os:system", "contrafact_evil:Class", "builtins:eval"):
        path = _write(tmp_path / "d.safetensors", _header(directions, **{"class": dotted}))
        with pytest.raises(ValueError, match=rf"asks for '{dotted}', which is not one of contrafact's classes"):
            load_artefact(path, Directions)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        ("contrafact.core.directions:NoSuch", "which this version of contrafact does not have"),
        ("contrafact.no_such_module:Class", "which this version of contrafact does not have"),
        ("contrafact.core.artefact:Path", "which is no artefact; it is not loaded"),
        ("contrafact.core.artefact:save_artefact", "which is no artefact; it is not loaded"),
    ],
)
def test_classes_that_cannot_be_built(directions, tmp_path, dotted, message):
    path = _write(tmp_path / "d.safetensors", _header(directions, **{"class": dotted}))
    with pytest.raises(ValueError, match=message):
        load_artefact(path, Directions)


def test_another_kind_of_artefact(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    save_artefact(directions, path)
    with pytest.raises(ValueError, match="holds a GlobalDirections, expected a generator"):
        load_artefact(path, Generator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arguments": '{"latent_dim": 5, "colour": 1}'}, "does not take the arguments in its header"),
        ({"arguments": "[1, 2]"}, "does not take the arguments in its header"),
        ({"arguments": "{"}, "damaged header"),
        ({"note": ""}, "damaged header"),
        ({"arguments": '{"latent_dim": 4, "num_directions": 3}'}, "the weights do not fit the GlobalDirections"),
    ],
)
def test_damaged_headers(directions, tmp_path, changes, message):
    path = _write(tmp_path / "d.safetensors", _header(directions, **changes))
    with pytest.raises(ValueError, match=message):
        load_artefact(path, Directions)


@pytest.mark.parametrize("missing", ["class", "arguments", "note"])
def test_incomplete_headers(directions, tmp_path, missing):
    header = _header(directions)
    del header[missing]
    with pytest.raises(ValueError, match=f"damaged header.*{missing}"):
        read_header(_write(tmp_path / "d.safetensors", header))


def test_missing_tensors(directions, tmp_path):
    path = _write(tmp_path / "d.safetensors", _header(directions), {"other": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"(?s)the weights do not fit.*Missing.*weight"):
        load_artefact(path, Directions)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"was not written by contrafact.*contrafact convert"):
        read_header(path)


def test_files_that_are_none(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    with pytest.raises(ValueError, match=r"does not exist; expected a \.safetensors file"):
        load_artefact(path, Directions)
    save_artefact(directions, path)
    whole = path.read_bytes()
    for length in (0, 4, 60, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a whole safetensors file"):
            load_artefact(path, Directions)


def test_fingerprints_follow_weights_and_names_only():
    torch.manual_seed(0)
    one = nn.Linear(3, 2)
    other = nn.Linear(3, 2)
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(nn.Sequential(one)) != fingerprint(one)
