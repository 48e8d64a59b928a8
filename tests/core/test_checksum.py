import io
import json
import random
import zipfile
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.checkpoint import load_state, save_state
from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.processes import Processes


def state(seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Linear(5, 4)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(5)).sum().backward()
    optimizer.step()
    return {"module": module, "optimizer": optimizer, "rng": torch.Generator().manual_seed(seed)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checksum") / "checkpoint.pt"
    save_state(path, state(1), 17, Processes(torch.device("cpu")))
    return path


@pytest.fixture
def directions(tmp_path):
    written = GlobalDirections.of(torch.eye(3), names=["left", "up", "back"])
    written.note = {"b": 1, "a": "sha256", "deep": {"z": 0, "y": '"contrafact_sha256":"0"'}}
    save_artefact(written, tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def mutations(content, rng, number):
    """Flipped bits, changed, cut, added and exchanged bytes."""
    for _ in range(number):
        mutated, place = bytearray(content), rng.randrange(len(content))
        kind = rng.choice(["flip", "change", "cut", "add", "drop"])
        if kind == "flip":
            mutated[place] ^= 1 << rng.randrange(8)
        elif kind == "change":
            mutated[place] = (mutated[place] + rng.randrange(1, 256)) % 256
        elif kind == "cut":
            del mutated[place:]
        elif kind == "add":
            mutated.insert(place, rng.randrange(256))
        else:
            del mutated[place]
        if mutated != content:
            yield bytes(mutated)


def test_no_mutated_checkpoint_is_accepted(checkpoint, tmp_path):
    path, target = tmp_path / "checkpoint.pt", state(2)
    accepted = 0
    for content in mutations(checkpoint.read_bytes(), random.Random(0), 600):
        path.write_bytes(content)
        with suppress(ValueError):
            load_state(path, target, 0, 1)
            accepted += 1
    assert accepted == 0


def test_torch_alone_accepts_many_of_them(checkpoint):
    """The witness: without our checksum damage passes."""
    accepted = 0
    for content in mutations(checkpoint.read_bytes(), random.Random(0), 60):
        with suppress(Exception):
            torch.load(io.BytesIO(content), weights_only=True)
            accepted += 1
    assert accepted > 5


def test_other_programs_still_read_a_checkpoint(checkpoint):
    assert torch.load(checkpoint, weights_only=True)["step"] == 17
    assert zipfile.ZipFile(checkpoint).comment.startswith(b"contrafact-sha256:")


def test_a_checkpoint_without_a_checksum_is_refused(tmp_path):
    torch.save({"step": 1, "shared": {}, "streams": [{}]}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"is no whole checkpoint .*it has no checksum.*; remove it to start again"):
        load_state(tmp_path / "checkpoint.pt", {}, 0, 1)


def test_no_mutated_artefact_is_taken_for_another(directions, tmp_path):
    content, path = directions.read_bytes(), tmp_path / "mutated.safetensors"
    expected = load_artefact(directions, Directions)
    for mutated in mutations(content, random.Random(0), 300):
        path.write_bytes(mutated)
        try:
            found = load_artefact(path, Directions)
        except ValueError:
            continue
        # Only a checksum that is no longer found as one leaves the rest, which is whole, to be read.
        assert b'"contrafact_sha256"' not in mutated
        assert torch.equal(found.vectors(), expected.vectors())
        assert (found.names, found.note) == (expected.names, expected.note)


def test_a_flipped_weight_is_named(directions):
    content = bytearray(directions.read_bytes())
    content[-3] ^= 1
    directions.write_bytes(content)
    with pytest.raises(ValueError, match=r"d.safetensors is damaged: its checksum does not fit.*; get it again"):
        load_artefact(directions, Directions)


def test_a_file_without_a_checksum_passes(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "strange.safetensors", {"format": "pt"})
    check_tensors(tmp_path / "strange.safetensors")


def test_equal_content_gives_equal_bytes(directions, tmp_path):
    again = tmp_path / "again.safetensors"
    for _ in range(5):
        save_artefact(load_artefact(directions, Directions), again)
        assert again.read_bytes() == directions.read_bytes()


@pytest.mark.parametrize("tensors", [{}, {"b": torch.arange(5), "a": torch.ones(2, 3).half(), "c": torch.zeros(0)}])
def test_safetensors_reads_what_was_written(tmp_path, tensors):
    write_tensors(tmp_path / "x.safetensors", tensors, {"z": 'quotes " and ü', "a": ""})
    read = load_file(tmp_path / "x.safetensors")
    assert set(read) == set(tensors)
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    check_tensors(tmp_path / "x.safetensors")
    header = (tmp_path / "x.safetensors").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert list(json.loads(header[8 : 8 + size])["__metadata__"]) == ["a", "contrafact_sha256", "z"]
    assert size % 8 == 0
