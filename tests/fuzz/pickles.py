"""Pickles that want more than to be read: programs of chosen and of random instructions, and bombs.

Payloads are harmless: they make ``PWNED`` in the working folder. The witness's own test shows that they do.
"""

from __future__ import annotations

import pickle
import pickletools
import random
import struct
from typing import Any

from tests.fuzz.witness import MARK

_TOUCH = f"touch {MARK}"
_WRITE = f"open({MARK!r}, 'w').close()"

PAYLOADS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("os", "system", (_TOUCH,)),
    ("posix", "system", (_TOUCH,)),
    ("os", "mkdir", (MARK,)),
    ("subprocess", "call", (["touch", MARK],)),
    ("subprocess", "check_output", (["touch", MARK],)),
    ("builtins", "exec", (_WRITE,)),
    ("builtins", "eval", (_WRITE,)),
    ("__builtin__", "eval", (_WRITE,)),
    ("builtins", "open", (MARK, "w")),
    ("io", "open", (MARK, "w")),
    ("numpy.testing._private.utils", "runstring", (_WRITE, {})),
    ("timeit", "timeit", ("pass", _WRITE, _TOUCH)),
    ("runpy", "run_path", (MARK,)),
    ("importlib", "import_module", ("this",)),
    ("builtins", "__import__", ("antigravity_of_nobody",)),
    ("pathlib", "PosixPath.mkdir", (MARK,)),
    ("contrafact.core.files", "write_text", (MARK, "")),
    ("contrafact.core.artefact", "find_class", ("contrafact.cli:main", MARK)),
    ("torch", "load", (MARK,)),
    ("torch.storage", "_load_from_bytes", (b"\x80\x02cposix\nsystem\nX\x0b\0\0\0touch PWNEDR.",)),
    ("numpy", "load", ("/etc/passwd",)),
    ("numpy", "fromfile", ("/etc/passwd",)),
    ("numpy", "memmap", (MARK, "u1", "w+", 0, 8)),
    ("torch", "ones", ([2**40],)),
    ("numpy", "zeros", ([2**40],)),
    ("builtins", "bytearray", (2**40,)),
    ("builtins", "range", (2**62,)),
    ("socket", "create_connection", (["127.0.0.1", 9],)),
    ("ctypes", "CDLL", ("./libpwned.so",)),
    ("_codecs", "encode", ("x", "rot13")),
    ("operator", "methodcaller", ("system", _TOUCH)),
    ("functools", "partial", (print, "x")),
    ("shutil", "copyfile", ("/etc/passwd", MARK)),
)
"""What a pickle may ask to call, with which arguments: the module, the name, what it is called with."""

GLOBALS = (
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct"), ("torch", "Size")),
    *(
        ("numpy.core.multiarray", "scalar"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
    ),
    *(("collections", "OrderedDict"), ("collections", "defaultdict"), ("builtins", "set"), ("builtins", "getattr")),
    *(
        ("torch_utils.persistence", "_reconstruct_persistent_obj"),
        ("dnnlib.util", "EasyDict"),
        ("copyreg", "_reconstructor"),
    ),
    *(("torch.nn.modules.linear", "Linear"), ("torch", "FloatStorage"), ("torch", "float32"), ("builtins", "object")),
    *(
        ("argparse", "Namespace"),
        ("pathlib", "PosixPath"),
        ("somebody.else", "Thing"),
        ("torch.serialization", "sys.modules"),
    ),
    *(
        ("torch.nn.modules.module", "warnings.sys"),
        ("builtins", "type"),
        ("datetime", "datetime"),
        ("", ""),
        ("torch", "device"),
    ),
)
"""Names that are known, half known or unknown to readers."""

_LONE = b"0"  # POP


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _value(value: Any) -> bytes:
    """Instructions that push a plain value."""
    return pickle.dumps(value, 2)[2:-1] if not callable(value) else b"c__builtin__\nprint\n"


def _named(rng: random.Random, module: str, name: str) -> bytes:
    if rng.random() < 0.5 and "\n" not in module + name:
        return b"c" + f"{module}\n{name}\n".encode()
    return _text(module) + _text(name) + b"\x93"


def _called(rng: random.Random, module: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    """A call in one of the ways a pickle has."""
    pushed = b"".join(map(_value, arguments))
    how = rng.randrange(6)
    if how == 0 and "." not in name:
        return b"(" + pushed + b"i" + f"{module}\n{name}\n".encode()
    if how == 1:
        return b"(" + _named(rng, module, name) + pushed + b"o"
    if how == 2:
        return _named(rng, module, name) + b"(" + pushed + b"t\x81"
    if how == 3:
        return _named(rng, module, name) + b"(" + pushed + b"t}\x92"
    return _named(rng, module, name) + b"(" + pushed + b"tR"


def _payload(rng: random.Random) -> bytes:
    return _called(rng, *rng.choice(PAYLOADS))


def _object_array(rng: random.Random) -> bytes:
    """An array of objects over bytes of the file's choice: pointers, were it ever built."""
    dtype = b"cnumpy\ndtype\n" + _text(rng.choice(("O8", "O", "|O", "V8", "O4"))) + b"\x89\x88\x87R"
    if rng.random() < 0.5:
        dtype += b"(" + b"K\x03" + _text("|") + b"NNN" + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK?" + b"tb"
    if rng.random() < 0.5:
        buffer = b"B" + struct.pack("<I", 64) + bytes(rng.randrange(1, 256) for _ in range(64))
        made = b"cnumpy\nndarray\n(" + b"(K\x08t" + dtype + buffer + b"tR"
    else:
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"
        made += b"(K\x01(K\x08t" + dtype + b"\x89" + _value(bytes(64)) + b"tb"
    return made + rng.choice((b"", b"K\x00K\x01s", b"q\x07K\x00h\x07s", b"}" + _text("shape") + b"K\x02sb"))


def _bomb(rng: random.Random) -> bytes:
    """Few bytes that are long to follow."""
    depth = rng.choice((100, 5_000, 300_000))
    doubled = b"]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(rng.choice((20, 40)))
    )
    tuples = b")q\x00" + b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(40))
    return rng.choice(
        (
            b")" + b"\x85" * depth,
            b"}" + b")" + b"\x85" * depth + b"K\x01s",
            b"]" * depth + b"a" * (depth - 1),
            doubled,
            tuples.replace(b"\x86", b"h\x00\x86", 1),
            b"}" + tuples + b"K\x01s",
            b"(" + tuples + b"\x90",
            b"]r" + struct.pack("<I", 2**31 - 1) + b"0N",
            b"]r" + struct.pack("<I", 2**26) + b"0N",
            b"]p" + b"9" * 30 + b"\n",
            b"\x8e" + struct.pack("<Q", 2**40),
            b"\x8d" + struct.pack("<Q", 2**62),
            b"B" + struct.pack("<I", 2**32 - 1),
            b"\x8b" + struct.pack("<i", 2**31 - 1),
            b"L" + b"9" * 200_000 + b"L\n",
            b"I" + b"9" * 5_000 + b"\n",
            b"\x95" + struct.pack("<Q", 2**40),
            b"]q\x00h\x00a",
            b"}q\x00K\x01h\x00s",
            b"(" * depth,
            b"}("
            + b"".join(b"\x8a\x0c" + (i * (2**61 - 1)).to_bytes(12, "little") + b"N" for i in range(3_000))
            + b"u",
        )
    )


def _oddity(rng: random.Random) -> bytes:
    """Instructions that mean something only beside others."""
    module, name = rng.choice(GLOBALS)
    return rng.choice(
        (
            _named(rng, module, name),
            _named(rng, module, name) + b")R",
            _named(rng, module, name) + b")\x81}" + _text("x") + b"K\x01sb",
            _named(rng, module, name) + b"}" + _text("__setstate__") + _named(rng, "os", "system") + b"sb",
            _called(rng, module, name, (rng.choice(([2**40], "O8", 3, b"x", "x", ["x"], {})),)),
            b"Pfoo\n",
            _text("x") + b"Q",
            b"("
            + _text("storage")
            + b"ctorch\nFloatStorage\n"
            + _text("0")
            + _text("cpu")
            + b"\x8a\x06"
            + b"\xff" * 5
            + b"\x7ftQ",
            b"\x82\x01",
            b"\x97\x98",
            b"h\xff",
            b"1",
            b"0" * 3,
            b"\x80\x7f",
            b"Nb",
            b"NN\x81",
            b"NNs",
        )
    )


def _snippet(rng: random.Random) -> bytes:
    return rng.choice((_payload, _payload, _object_array, _bomb, _oddity, _oddity))(rng)


def hostile_pickle(rng: random.Random) -> bytes:
    """A whole pickle of chosen and random instructions."""
    body = b"".join(_snippet(rng) for _ in range(rng.randrange(1, 5)))
    if rng.random() < 0.3:
        body += bytes(
            rng.choice(b"().0123acdebghijlNopqrstu}]\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94") for _ in range(40)
        )
    if rng.random() < 0.4:
        body = b"}" + _text(rng.choice(("G_ema", "g_ema", "data", "state_dict", "step"))) + body + b"s"
    return b"\x80" + bytes([rng.choice((2, 3, 4, 5))]) + body + b"."


def damage_pickle(rng: random.Random, data: bytes) -> bytes:
    """A good pickle with instructions put in, taken out, doubled or renamed."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
        return hostile_pickle(rng)
    if len(places) < 3:
        return hostile_pickle(rng)
    at = rng.randrange(1, len(places) - 1)
    first, following = places[at], places[at + 1]
    how = rng.random()
    if how < 0.45:  # pushed and dropped again: the rest of the file goes on as it was
        return data[:first] + _snippet(rng) + _LONE + data[first:]
    if how < 0.55:
        return data[:first] + _snippet(rng) + data[following:]
    if how < 0.65:
        return data[:first] + data[following:]
    if how < 0.75:
        return data[:following] + data[first:following] * rng.choice((1, 3, 1000)) + data[following:]
    if how < 0.85:
        module, name = rng.choice(GLOBALS)
        old = rng.choice(
            (b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2", b"numpy\ndtype", b"numpy\nndarray")
        )
        return data.replace(old, f"{module}\n{name}".encode())
    if how < 0.92:
        return data[:first] + rng.randbytes(rng.choice((1, 2, 4))) + data[first + 1 :]
    return hostile_pickle(rng)
