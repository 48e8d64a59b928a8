"""The reader of strangers' pickles: equal to pickle on what is plain, inert on everything else, bounded in all."""

import argparse
import collections
import contextlib
import copyreg
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import random
import struct
import sys
import time
import types

import numpy as np
import pytest

from contrafact.core.inert import MAX_INSTRUCTIONS
from contrafact.core.inert_files import read_inert
from contrafact.core.inert_records import Record, Unhashed

PROTOCOLS = range(6)


def content_of(data):
    return read_inert(data).content


def random_content(rng, depth=0):
    """Something plain, of any kind a pickle may hold."""
    leaves = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.choice([0, 255, 256, -1, 65535, 65536, 2**31, -(2**31), 2**63, -(2**200), rng.getrandbits(300)]),
        lambda: rng.choice([0.0, -1.5, 1e300, float("inf"), rng.random()]),
        lambda: "".join(rng.choices("aé\n\\'\"\u20ac\U0001f600\ud800 \0", k=rng.randrange(8))),
        lambda: rng.randbytes(rng.choice([0, 3, 300])),
        lambda: "x" * rng.choice([255, 256, 5000]),
    ]
    if depth > 3 or rng.random() < 0.4:
        return rng.choice(leaves)()
    parts = [random_content(rng, depth + 1) for _ in range(rng.randrange(5))]
    keys = [rng.choice(["k", 1, 2.5, b"b", None, (1, "t"), 2**100]) for _ in parts]
    shared = parts[0] if parts else ()
    return rng.choice([parts, tuple(parts), dict(zip(keys, parts, strict=True)), {1, "a"}, [shared, shared]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_content_is_what_pickle_gives(protocol):
    rng = random.Random(protocol)
    for _ in range(60):
        content = [random_content(rng) for _ in range(4)]
        assert content_of(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_bytes_and_sharing(protocol):
    shared = [os.urandom(100_000)]
    read = content_of(pickle.dumps({"a": shared, "b": shared, "c": (shared[0], bytearray(b"xy"))}, protocol))
    assert read["a"] is read["b"]
    assert read["a"] == shared
    assert type(read["a"][0]) is type(read["c"][0]) is bytes
    assert read["c"] == (shared[0], b"xy")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.arange(24, dtype="<u2").reshape(2, 3, 4).transpose(2, 0, 1),
        np.array([True, False]),
        np.array(3 + 4j, np.complex64),
        np.zeros((0, 3), np.float16),
        np.arange(256, dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8),
    ],
)
def test_arrays_are_what_pickle_gives(protocol, array):
    read = content_of(pickle.dumps([array], protocol))[0]
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.flags.f_contiguous == pickle.loads(pickle.dumps(array, protocol)).flags.f_contiguous
    assert read.flags.writeable


class Colour(enum.Enum):
    RED = 1


class Callback:
    def __init__(self):
        self.best = np.float32(1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_harmless_company_comes_as_plain_values_or_stays_a_record(protocol):
    counts, default = collections.Counter("aab"), collections.defaultdict(list, a=[1])
    plain = {
        "number": np.float64(2.5),
        "path": pathlib.PurePosixPath("/data/x.lmdb"),
        "default": default,
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "counts": counts,
        "complex": 1 + 2j,
        "frozen": frozenset([1, "x"]),
        "slice": slice(1, None),
        "namespace": argparse.Namespace(size=4, path=pathlib.PurePosixPath("x")),
        "when": datetime.datetime(2020, 1, 2, 3, 4, 5),
        "kind": np.dtype("<f4"),
        "deque": collections.deque([1, 2]),
    }
    odd = {
        "function": os.system,
        "partial": functools.partial(print, 1),
        "class": Callback,
        "callback": Callback(),
        "enum": Colour.RED,
        "objects": np.array([None, {}], dtype=object),
        "fields": np.zeros(2, [("a", "<f4")]),
        "text": np.array(["ab"]),
        "generator": np.random.default_rng(0),
        "range": range(3),
    }
    read = content_of(pickle.dumps({"odd": odd, **plain, "tensor": np.ones(2)}, protocol))
    assert {**{k: read[k] for k in plain}, "deque": collections.deque(read["deque"])} == plain
    assert read["ordered"].__class__ is collections.OrderedDict
    assert list(read["ordered"]) == ["b", "a"]
    np.testing.assert_array_equal(read["tensor"], np.ones(2))
    kinds = {name: type(value).__name__ for name, value in read["odd"].items()}
    assert kinds == {name: "Global" if name in ("function", "class") else "Record" for name in odd}
    assert read["odd"]["callback"].name.endswith("Callback")
    assert read["odd"]["callback"].state == {"best": 1.0}


class Hostile:
    """Runs ``function(*arguments)`` in whoever unpickles it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def bare(code):
    return b"\x80\x02" + code


def hostile_pickles(mark):
    """Pickles that make the folder ``mark`` in every way the machine has of calling something."""
    text = f"X{{}}{mark}".encode().replace(b"{}", struct.pack("<I", len(str(mark))))
    line = b"V" + str(mark).encode() + b"\n"
    name = b"cos\nmkdir\n"
    for protocol in PROTOCOLS:
        yield f"reduce {protocol}", pickle.dumps({"a": [Hostile(os.mkdir, str(mark))]}, protocol)
        command = f"__import__('os').mkdir({str(mark)!r})"
        yield f"eval {protocol}", pickle.dumps(Hostile(eval, command), protocol)
        yield f"exec {protocol}", pickle.dumps([Hostile(exec, command)], protocol)
    yield "inst", b"(" + line + b"ios\nmkdir\n."
    yield "obj", bare(b"(" + name + text + b"o.")
    yield "stack global", b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + text + b"\x85R."
    yield "dotted", b"\x80\x04\x8c\x06shutil\x8c\x08os.mkdir\x93" + text + b"\x85R."
    yield "state setter", bare(b"cfunctools\npartial\n" + name + b"\x85R" + text + b"\x85R.")


def test_no_way_of_calling_calls(tmp_path):
    for case, (name, data) in enumerate(hostile_pickles(tmp_path / "mark")):
        mark = tmp_path / "mark"
        pickle.loads(data)
        assert mark.exists(), f"{name}: the witness is not fired by pickle itself"
        mark.rmdir()
        read_inert(data)
        assert not mark.exists(), f"{name} (case {case})"


def numpy_escape():
    """A pickle of numpy's names alone that turns bytes into pointers: the way out of an allow-list.

    An array of bytes, an array of objects over the same memory, and an object written into it.
    """
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    memory = array + b"(K\x01M\x00\x08\x85" + kind + b"\x89B\x00\x08\x00\x00" + bytes(2048) + b"tbq\x00"
    pointers = b"cnumpy\nndarray\n(K\x01\x85X\x01\x00\x00\x00Oh\x00tRK\x00cnumpy\nndarray\ns"
    return bare(memory + pointers + b"\x86.")


class NumpyUnpickler(pickle.Unpickler):
    """Looks up nothing but what arrays are pickled with."""

    def find_class(self, module, name):
        if (module, name) not in {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}:
            raise pickle.UnpicklingError(name)
        return super().find_class(module.replace("core", "_core"), name)


def test_arrays_of_pointers_are_not_made():
    memory, pointers = NumpyUnpickler(io.BytesIO(numpy_escape())).load()
    assert pointers.dtype == object
    assert int.from_bytes(memory[:8].tobytes(), sys.byteorder) == id(np.ndarray), "the witness: an address was read"
    memory, pointers = content_of(numpy_escape())
    assert not memory.any()
    assert isinstance(pointers, Record)
    assert pointers.name == "numpy.ndarray"


@pytest.mark.parametrize(
    "text", ["O", "O8", "V8", "f4,O", "object", "S2", "U1", "M8[s]", "|O", "(2,)f4", "i4\0", "f16"]
)
def test_array_types_are_a_fixed_list(text):
    kind = b"cnumpy\ndtype\n(X" + struct.pack("<I", len(text.encode())) + text.encode() + b"\x89\x88tR"
    state = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    assert isinstance(content_of(bare(kind + state + b".")), Record)


def test_lengths_of_arrays_are_checked():
    whole = pickle.dumps(np.zeros(4), 2)
    assert content_of(whole).shape == (4,)
    for wrong in (b"K\x05", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"N", b"G" + bytes(8)):
        with pytest.raises(
            ValueError, match=r"an array of 32 bytes cannot be|sides that are no whole numbers|impossible"
        ):
            content_of(whole.replace(b"K\x01K\x04\x85", b"K\x01" + wrong + b"\x85"))


def laughs(leaf, double, rounds=40):
    """Pickle code of something that holds two of what is below it, forty times over."""
    code = leaf + b"q\x000"
    for k in range(rounds):
        code += double(b"h" + bytes([k])) + b"q" + bytes([k + 1]) + b"0"
    return code + b"h" + bytes([rounds])


def long_text(length):
    return b"X" + struct.pack("<I", length) + b"x" * length


def colliding_keys(count):
    """Whole numbers that Python hashes to 0."""
    return b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"Ns" for k in range(count))


LAUGHING_LISTS = laughs(b"N", lambda below: b"]" + below + b"a" + below + b"a") + b"."
LAUGHING_TUPLES = laughs(b"N", lambda below: 2 * below + b"\x86")
LAUGHING_SETS = laughs(b"N", lambda below: b"cbuiltins\nset\n]" + below + b"a" + below + b"a\x85R") + b"."
LAUGHING_MODULES = laughs(
    b"N",
    lambda below: b"cm\nM\n)R}X\x08\x00\x00\x00_modules}K\x01" + below + b"sK\x02" + below + b"ssb",
)
MEGABYTE = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
BYTES_TYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
ARRAY_OF_MEGABYTE = b"cnumpy.core.numeric\n_frombuffer\n(h\x00h\x01J\x00\x00\x10\x00\x85X\x01\x00\x00\x00CtR"

BOMBS = {
    "shared lists": LAUGHING_LISTS,
    "shared tuples as a key": b"}" + LAUGHING_TUPLES + b"Ns.",
    "shared sets": LAUGHING_SETS,
    "shared modules": LAUGHING_MODULES + b".",
    "deep tuple": b"})" + b"\x85" * 300_000 + b"K\x01s.",
    "deep list": b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep dict": b"}K\x01" * 100_000 + b"N" + b"s" * 100_000 + b".",
    "deep calls": b"cm\nf\n" + b")R" * 100_000 + b".",
    "deep arguments": b"cm\nf\nq\x00" + b"h\x00" * 50_000 + b")R" + b"\x85R" * 50_000 + b".",
    "memo of four thousand million": b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.",
    "contains itself": b"]q\x00h\x00a.",
    "tuple that contains itself": b"]q\x00h\x00\x85q\x01a0h\x01.",
    "object that contains itself": b"cm\nf\n)Rq\x00h\x00b.",
    "colliding keys": b"}" + colliding_keys(90_000) + b".",
    "long equal keys": b"}"
    + long_text(10**5)
    + b"q\x00"
    + long_text(10**5)
    + b"q\x010"
    + b"Nsh\x01Nsh\x00" * 50_000
    + b"Ns.",
    "sets of one list": b"](" + b"K\x01" * 10_000 + b"eq\x000](" + b"cbuiltins\nset\nh\x00\x85R" * 10_000 + b"e.",
    "arrays of the same bytes": MEGABYTE + b"q\x00" + BYTES_TYPE + b"q\x01](" + ARRAY_OF_MEGABYTE * 5000 + b"e.",
    "the same arguments": b"(" + b"N" * 10_000 + b"tq\x00](" + b"cm\nf\nh\x00R" * 100_000 + b"e.",
    "marks": b"(" * 300_000 + b".",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little(name):
    begin = time.process_time()
    with contextlib.suppress(ValueError):
        read_inert(BOMBS[name])
    assert time.process_time() - begin < 5


def test_bombs_are_bombs():
    """Two that are quick enough to show: what they do to someone who recurses."""
    assert len(repr(pickle.loads(LAUGHING_LISTS.replace(b"h\x28.", b"h\x0e.")))) > 2**14
    with pytest.raises(RecursionError):
        repr(pickle.loads(BOMBS["deep list"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged near byte 0; it is cut short"),
        (b"\x80\x09N.", "pickle protocol 9; 0 to 5 are known"),
        (b"\x80\x04\x95" + b"\xff" * 8 + b".", "a frame of 18446744073709551615 bytes"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "18446744073709551615 bytes are announced"),
        (b"\x80\x04B\xff\xff\xff\x7fx", "2147483647 bytes are announced"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "a whole number of 2147483647 bytes"),
        (b"I" + b"9" * 3000 + b"\n.", "a whole number of 3000 digits"),
        (b"L" + b"9" * 100_000 + b"L\n.", "is too long"),
        (b"\x80\x02NNs.", "damaged near byte"),
        (b"\x80\x02NNNs.", "set in what is no dict"),
        (b"\x80\x02NNa.", "appended to what is no list"),
        (b"\x80\x05\x97.", "buffers outside the file"),
        (b"\x80\x04N\x93.", "damaged near byte"),
        (b"\x80\x04NN\x93.", "a name before byte 5 is none"),
        (b"\x80\x02\xff.", "byte 2 is no instruction"),
        (b"\x80\x02h\x07.", "damaged near byte"),
        (b"\x80\x02\x86.", "damaged near byte"),
        (b"\x80\x02t.", "damaged near byte"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "damaged near byte"),
        (b"Sabc\n.", "has no quotes"),
    ],
)  # fmt: skip
def test_damage_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        read_inert(data)


def test_instructions_and_names_are_counted(monkeypatch):
    monkeypatch.setattr("contrafact.core.inert.MAX_INSTRUCTIONS", 1000)
    with pytest.raises(ValueError, match="more than 1000 instructions"):
        read_inert(bare(b"N" * 1001 + b"."))
    assert MAX_INSTRUCTIONS >= 10**7
    monkeypatch.setattr("contrafact.core.inert._MAX_NAMES", 2)
    with pytest.raises(ValueError, match="names more than 2 classes"):
        read_inert(bare(b"ca\nb\nca\nc\nca\nd\n."))


def test_keys_that_are_not_plain_lose_their_meaning_but_not_the_file():
    read = content_of(pickle.dumps({((1, 2), 3): 1, Colour.RED: 2, (1, 2): 3, "a": 4}))
    assert [type(key) for key in read] == [Unhashed, Unhashed, tuple, str]
    assert read["a"] == 4


def test_extension_codes_and_outside_references_are_records():
    copyreg.add_extension("os", "getpid", 200)
    try:
        assert isinstance(content_of(b"\x80\x02\x82\xc8)R."), Record)
        assert content_of(b"\x80\x02K\x01Q.").id == 1
    finally:
        copyreg.remove_extension("os", "getpid", 200)


def test_bytes_changed_anywhere_give_content_or_a_value_error():
    rng = np.random.default_rng(0)
    content = {
        "a": np.arange(9.0),
        "b": [1, 2.5, "x", b"y" * 30],
        "c": argparse.Namespace(d=pathlib.PurePosixPath("/e")),
    }
    refused = 0
    for protocol in PROTOCOLS:
        whole = pickle.dumps([content, collections.OrderedDict(z=(1, {2}))], protocol)
        for _ in range(150):
            data = bytearray(whole)
            for place in rng.integers(len(whole), size=rng.integers(1, 4)):
                data[place] = rng.integers(256)
            try:
                read_inert(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data))
            except ValueError:
                refused += 1
    assert 100 < refused < 900


def test_nothing_is_imported():
    name = "contrafact_test_module_that_must_not_be_imported"
    sys.modules[name] = types.ModuleType(name)
    del sys.modules[name]
    before = set(sys.modules)
    read_inert(bare(b"cthis\ns\n."))
    read_inert(bare(b"cantigravity\nx\n)R."))
    assert set(sys.modules) == before
