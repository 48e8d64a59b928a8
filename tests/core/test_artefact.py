import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contrafact.core.artefact import Artefact, fingerprint, load_artefact, read_header, save_artefact
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.generators.analytic import Analytic
from contrafact.generators.class_knob import ClassKnob
from contrafact.methods.gan_inversion import InversionEncoder
from contrafact.nn.encoders import ConvEncoder


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
    assert read_header(path)["class"] == "directions/global"


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
    "name",
    [
        "contrafact.core.directions:NoSuch",
        "contrafact.no_such_module:Class",
        "contrafact.core.artefact:Path",
        "contrafact.core.artefact:save_artefact",
        "contrafact.generators.wrap:Wrapped",
        "generator/no_such",
        "generator/../core/directions",
        "generator/checkpoints",
        "generator/wrap",
        "",
    ],
)
def test_classes_that_cannot_be_built(directions, tmp_path, name):
    path = _write(tmp_path / "d.safetensors", _header(directions, **{"class": name}))
    with pytest.raises(ValueError, match="is not one of contrafact's classes"):
        load_artefact(path, Directions)


@pytest.mark.parametrize("name", ["directions/global", "contrafact.core.directions:GlobalDirections"])
def test_a_class_by_its_name_or_its_old_place(directions, tmp_path, name):
    path = _write(tmp_path / "d.safetensors", _header(directions, **{"class": name}), {"weight": directions.weight})
    assert torch.equal(load_artefact(path, Directions).weight, directions.weight)


def test_a_file_of_a_newer_version(directions, tmp_path):
    path = _write(tmp_path / "d.safetensors", _header(directions, version="2"))
    with pytest.raises(ValueError, match=r"newer contrafact \(files of version 2; this one reads up to 1\); update"):
        load_artefact(path, Directions)
    path = _write(tmp_path / "d.safetensors", _header(directions, version="one"))
    with pytest.raises(ValueError, match="states no version of its format but 'one'; make the file again"):
        load_artefact(path, Directions)


def test_another_kind_of_artefact(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    save_artefact(directions, path)
    with pytest.raises(ValueError, match="holds a GlobalDirections, expected a generator"):
        load_artefact(path, Generator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"arguments": '{"latent_dim": 5, "colour": 1}'},
            r"damaged header \(GlobalDirections does not take .* 'colour'",
        ),
        ({"arguments": "[1, 2]"}, r"damaged header \(GlobalDirections does not take .* \[1, 2\]"),
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


# -- hostile headers --------------------------------------------------------------------------------------------------

HUGE = 2**31
SMALL = {"latent_dim": 5, "num_directions": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"num_directions": HUGE},
        {"num_directions": HUGE, "latent_dim": HUGE},
        {"num_directions": 10**20},
        {"num_directions": -1},
        {"num_directions": "3"},
        {"num_directions": 3.0},
        {"num_directions": True},
        {"num_directions": None},
        {"num_directions": [3]},
        {"latent_dim": 60_000, "num_directions": 60_000},
        {"scale": "1"},
        {"scale": -1},
        {"scale": None},
        {"names": [1, 2, 3]},
        {"names": "abc" * HUGE.bit_length()},
        {"names": [["a"], ["b"], ["c"]]},
        {"names": {"a": 1}},
        {"layers": [0]},
        {"layers": "ab", "num_layers": 3},
        {"layers": [0, 1], "num_layers": "3"},
        {"num_layers": "3"},
        {"num_layers": HUGE},
        {"constraint": ["unit"]},
        {"constraint": None},
        {"source": {"class": "x"}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_arguments_that_describe_no_directions(directions, tmp_path, change):
    path = _write(tmp_path / "d.safetensors", _header(directions, arguments=json.dumps({**SMALL, **change})))
    with pytest.raises(ValueError, match=r"d.safetensors has a damaged header \(.*\); make the file again"):
        load_artefact(path, Directions)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "1" * 100_000, '{"scale": NaN}', '{"scale": 1e999}', "\ufeff{", "null"]
)
@pytest.mark.parametrize("field", ["arguments", "note"])
def test_header_texts_that_are_no_description(directions, tmp_path, field, text):
    path = _write(tmp_path / "d.safetensors", _header(directions, **{field: text}))
    with pytest.raises(ValueError, match=r"d.safetensors has a damaged header.*make the file again"):
        load_artefact(path, Directions)


def test_a_header_asks_for_more_than_the_file_holds(tmp_path):
    arguments = {"image_shape": [3, 64, 64], "code_dim": 4, "width": 2000.0}
    with pytest.raises((RuntimeError, MemoryError)):  # what a reader would meet that trusts the header: terabytes
        ConvEncoder(**arguments)
    header = {"format": "contrafact", "class": "contrafact.nn.encoders:ConvEncoder", "note": "{}"}
    path = _write(tmp_path / "e.safetensors", {**header, "arguments": json.dumps(arguments)}, {"w": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"damaged header .*describes \d+ numbers, more than the file holds"):
        load_artefact(path, Encoder)


def test_a_header_asks_for_endless_parts(tmp_path):
    header = {"format": "contrafact", "class": "contrafact.nn.latent_directions:LatentDirections", "note": "{}"}
    arguments = json.dumps({**SMALL, "depth": 60_000})
    path = _write(tmp_path / "d.safetensors", {**header, "arguments": arguments}, {"w": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"damaged header .*more parts than the file holds"):
        load_artefact(path, Directions)


def test_a_small_file_cannot_ask_for_large_pictures(tmp_path):
    path = tmp_path / "g.safetensors"
    save_artefact(Analytic("sprite", size=16), path)
    header = read_header(path)
    tensors = load_file(path)
    arguments = json.dumps({**header["arguments"], "size": 30_000})
    _write(path, {"format": "contrafact", "class": header["class"], "arguments": arguments, "note": "{}"}, tensors)
    with pytest.raises(ValueError, match=r"damaged header \(images of shape \(3, 30000, 30000\)\)"):
        load_artefact(path, Generator)


def test_whole_numbers_for_real_ones(directions, tmp_path):
    path = _write(tmp_path / "d.safetensors", _header(directions), {"weight": torch.zeros(3, 5, dtype=torch.int64)})
    with pytest.raises(ValueError, match="weight holds whole numbers, expected the other kind"):
        load_artefact(path, Directions)


@pytest.mark.parametrize("change", [{"steps": "2"}, {"steps": None}, {"rate": "0.1"}, {"rate": True}, {"steps": 2.5}])
def test_what_a_constructor_only_keeps_is_checked_too(tmp_path, change):
    encoder = InversionEncoder(ClassKnob.tiny().arguments(), 2, 0.1)
    path = tmp_path / "e.safetensors"
    save_artefact(encoder, path)
    header = {"format": "contrafact", "class": read_header(path)["class"], "note": "{}"}
    (name,) = change
    arguments = json.dumps({**encoder.arguments(), **change})
    _write(path, {**header, "arguments": arguments}, load_file(path))
    with pytest.raises(ValueError, match=rf"damaged header \({name} is .* of another type than InversionEncoder takes"):
        load_artefact(path, Encoder)


def test_a_large_seed_is_no_large_size(tmp_path):
    generator = Analytic("sprite", size=16, mix_seed=2**62)
    save_artefact(generator, tmp_path / "g.safetensors")
    assert torch.equal(load_artefact(tmp_path / "g.safetensors", Generator).mix, generator.mix)


def test_another_kind_of_file_is_described(tmp_path):
    path = tmp_path / "d.safetensors"
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.float32))
    path.write_bytes((tmp_path / "x.npy").read_bytes())
    with pytest.raises(
        ValueError, match=r"is a numpy array, float32 \(3, 4\); expected a file written by .*directions\.s"
    ):
        load_artefact(path, Directions)
