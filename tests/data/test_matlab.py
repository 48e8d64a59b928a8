"""The reader of MATLAB 5 files against SciPy's writer and reader."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from contrafact.data._matlab import read_variables

MOST = 2**20


def written(compressed=False, **content):
    stream = io.BytesIO()
    scipy.io.savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


CONTENT = {
    "x": np.arange(3.0),
    "im": np.random.default_rng(0).integers(256, size=(5, 3, 2, 4)).astype(np.uint8),
    "a_long_name_of_a_cell": np.array([["a", "bc"]], dtype=object),
    "few": np.array([[7, 8, 9]], dtype=np.uint8),
    "yes": np.array([[True, False]]),
    "text": "hello",
    "numbers": np.arange(6, dtype=np.int16).reshape(2, 3),
    "s": {"field": 1.0},
}


@pytest.mark.parametrize("compressed", [False, True])
def test_it_sees_what_scipy_sees(compressed):
    content = written(compressed, **CONTENT)
    found = {v.name: v for v in read_variables(content, MOST)}
    seen = [
        (v.name, (1,) if v.kind == "char" else v.shape, v.kind) for v in found.values()
    ]  # a text has no width there
    assert seen == scipy.io.whosmat(io.BytesIO(content))
    loaded = scipy.io.loadmat(io.BytesIO(content))
    for name in ("im", "few"):
        assert np.array_equal(found[name].bytes_array(), loaded[name])
    for name in ("numbers", "a_long_name_of_a_cell"):
        with pytest.raises(ValueError, match=rf"'{name}' has \d+ bytes of values of type \d+, expected \("):
            found[name].bytes_array()


def test_the_other_byte_order():
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    values = bytes(range(6))
    parts = element(6, struct.pack(">II", 9, 0)) + element(5, struct.pack(">ii", 2, 3)) + element(1, b"big")
    content = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + element(14, parts + element(2, values))
    (variable,) = read_variables(content, MOST)
    assert (variable.name, variable.kind, variable.shape) == ("big", "uint8", (2, 3))
    assert variable.bytes_array().tolist() == [[0, 2, 4], [1, 3, 5]]
    assert np.array_equal(scipy.io.loadmat(io.BytesIO(content))["big"], [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_does_more_than_raise(compressed):
    content = written(compressed, im=CONTENT["im"], few=CONTENT["few"])
    rng = np.random.default_rng(0)
    outcomes = set()
    for number in range(2000):
        damaged = bytearray(content[: int(rng.integers(130, len(content)))] if number % 3 == 0 else content)
        for place in rng.integers(124, len(damaged), size=4):
            damaged[place] = rng.integers(256)
        try:
            arrays = [v.bytes_array() for v in read_variables(bytes(damaged), MOST) if v.kind == "uint8"]
            outcomes.add(len(arrays))
        except (ValueError, zlib.error):
            outcomes.add("refused")
    assert outcomes >= ({"refused"} if compressed else {"refused", 1, 2})


def test_limits_and_other_files():
    with pytest.raises(ValueError, match="no MATLAB header"):
        list(read_variables(b"hello", MOST))
    for compressed in (False, True):
        with pytest.raises(ValueError, match="it unpacks to more than 1000 bytes"):
            list(read_variables(written(compressed, im=np.zeros((40, 40), np.uint8)), 1000))
    with pytest.raises(ValueError, match="it ends inside an element of"):
        list(read_variables(written(im=CONTENT["im"])[:-50], MOST))
