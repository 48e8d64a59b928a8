"""Pickles read as inert records: what a stranger's file says, and nothing of what it would do.

A pickle is a program for a stack machine that imports and calls whatever it names. An allow-list of harmless names is
no sandbox: with ``numpy.dtype`` and ``numpy.ndarray`` alone a file can build arrays over arbitrary memory. So this
machine (protocols 0 to 5) has nothing to call. Every global becomes a ``Global``, every call and every object a
``Record`` of who would have been called with what (:mod:`contrafact.core.inert_records`); only numbers, texts, bytes,
lists, dicts, tuples and sets of plain values are made. :mod:`contrafact.core.inert_values` turns the records it knows
into tensors and arrays afterwards.

Nothing is allocated before the file is known to hold it, and instructions, names and unusual keys are counted, so that
a small file costs little whatever it claims. Lengths and layouts follow CPython's ``pickletools``.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from contrafact.core.inert_records import Global, InertError, Persistent, Record, Unhashed, encoded_bytes

MAX_INSTRUCTIONS = 10_000_000
"""Of one file; a training state of ten thousand tensors has about half a million."""

_MAX_NAMES = 100_000
_MAX_LINE = 4096
_MAX_INTEGER_BYTES = 1024
_MAX_KEY_LENGTH = 4096
_MAX_WIDE_KEYS = 1000
_PLAIN_INT = 1 << 60
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_LONG_BYTES = 4096
"""Byte strings from this length on are views of the file, copied once by whoever needs them."""


class InertReader:
    """Reads the pickles that lie one after another in ``data``.

    Attributes:
        position: of the next byte to read.
        names: every global named so far, by module and name.
        persistent: every reference to the outside, in order.
    """

    def __init__(self, data: bytes | memoryview, position: int = 0) -> None:
        self._data = memoryview(data)
        self._size = len(self._data)
        self.position = position
        self.names: dict[tuple[str, str], Global] = {}
        self.persistent: list[Persistent] = []
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0
        self._wide_keys = 0

    def read(self) -> Any:
        """The content of the next pickle.

        Raises:
            InertError: no whole pickle, or one beyond the limits.
        """
        self._stack, self._marks, self._memo = [], [], {}
        data, table = self._data, _INSTRUCTIONS
        try:
            while True:
                code = data[self.position]
                self.position += 1
                self._steps += 1
                if code == _STOP:
                    return self._stack.pop()
                if self._steps > MAX_INSTRUCTIONS:
                    raise InertError(f"it has more than {MAX_INSTRUCTIONS} instructions")
                instruction = table[code]
                if instruction is None:
                    raise InertError(f"byte {self.position - 1} is no instruction")
                instruction(self)
        except InertError:
            raise
        except (IndexError, KeyError, struct.error) as error:
            end = "; it is cut short" if self.position >= self._size else ""
            raise InertError(f"it is damaged near byte {self.position}{end}") from error
        except ValueError as error:  # texts and numbers that are none
            raise InertError(f"it is damaged near byte {self.position} ({error})") from error
        finally:
            self._stack, self._marks, self._memo = [], [], {}

    # Bytes of the file.

    def _take(self, count: int) -> memoryview:
        start, end = self.position, self.position + count
        if end > self._size or count < 0:
            raise InertError(f"it is cut short: {count} bytes are announced at byte {start} of {self._size}")
        self.position = end
        return self._data[start:end]

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _line(self, limit: int) -> bytes:
        span, start = 256, self.position
        while True:
            found = bytes(self._data[start : start + span]).find(b"\n")
            if 0 <= found <= limit:
                self.position = start + found + 1
                return bytes(self._data[start : start + found])
            if found >= 0 or span > limit:
                raise InertError(f"the text at byte {start} is too long")
            if start + span >= self._size:
                raise InertError(f"it is cut short: the text at byte {start} has no end")
            span *= 16

    # Numbers and texts.

    def _push_line_int(self) -> None:
        line = self._line(_MAX_LINE)
        self._stack.append(bool(int(line)) if line in (b"00", b"01") else _integer(line))

    def _push_line_long(self) -> None:
        self._stack.append(_integer(self._line(_MAX_LINE).removesuffix(b"L")))

    def _push_line_float(self) -> None:
        self._stack.append(float(self._line(_MAX_LINE)))

    def _push_float(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def _push_long(self, width: int) -> None:
        count = self._number(width)
        if count > _MAX_INTEGER_BYTES:
            raise InertError(f"it holds a whole number of {count} bytes; {_MAX_INTEGER_BYTES} are read at most")
        self._stack.append(int.from_bytes(self._take(count), "little", signed=True))

    def _push_text(self, width: int) -> None:
        self._stack.append(str(self._take(self._number(width)), "utf-8", "surrogatepass"))

    def _push_line_text(self) -> None:
        self._stack.append(str(self._line(self._size), "raw-unicode-escape"))

    def _push_bytes(self, width: int) -> None:
        view = self._take(self._number(width))
        self._stack.append(view if len(view) >= _LONG_BYTES else bytes(view))

    def _push_string(self, width: int) -> None:
        self._stack.append(_string(self._take(self._number(width))))

    def _push_line_string(self) -> None:
        line = self._line(self._size).strip()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in b"\"'":
            raise InertError(f"the text before byte {self.position} has no quotes")
        self._stack.append(_string(memoryview(codecs.escape_decode(line[1:-1])[0])))

    # The stack and the memo.

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    # Containers.

    def _key(self, value: Any) -> Any:
        kind = type(value)
        if kind is Record:
            value = encoded_bytes(value)
            return Unhashed() if value is None or len(value) > _MAX_KEY_LENGTH else value
        if kind is str or kind is bytes:
            return value if len(value) <= _MAX_KEY_LENGTH else Unhashed()
        if kind is float or kind is bool or value is None or (kind is int and -_PLAIN_INT < value < _PLAIN_INT):
            return value
        if kind is int or (kind is tuple and len(value) <= 16 and all(type(part) in _SCALARS for part in value)):
            # Their hashes can be chosen to collide; a few are no harm.
            self._wide_keys += 1
            if self._wide_keys > _MAX_WIDE_KEYS:
                raise InertError(f"it has more than {_MAX_WIDE_KEYS} keys that are tuples or huge numbers")
            return value
        return Unhashed()

    def _tuple(self, count: int) -> None:
        if count > len(self._stack):
            raise IndexError
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(items)

    def _set_pairs(self, pairs: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is Record:
            if target.pairs is None:
                target.pairs = {}
            target = target.pairs
        if type(target) is not dict or len(pairs) % 2:
            raise InertError(f"pairs are set in what is no dict before byte {self.position}")
        key = self._key
        for i in range(0, len(pairs), 2):
            target[key(pairs[i])] = pairs[i + 1]

    def _set_pair(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_pairs([key, value])

    def _dict(self) -> None:
        pairs = self._since_mark()
        self._stack.append({})
        self._set_pairs(pairs)

    def _append_all(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is Record:
            if target.items is None:
                target.items = []
            target = target.items
        if type(target) is not list:
            raise InertError(f"items are appended to what is no list before byte {self.position}")
        target.extend(items)

    def _empty_set(self) -> None:
        self._steps += 3  # it takes as much memory as four lists
        self._stack.append(set())

    def _add_all(self) -> None:
        items, target = self._since_mark(), self._stack[-1]
        if type(target) is not set:
            raise InertError(f"items are added to what is no set before byte {self.position}")
        target.update(map(self._key, items))

    def _frozen_set(self) -> None:
        self._steps += 3
        self._stack.append(frozenset(map(self._key, self._since_mark())))

    # What a real machine would import, call or build.

    def _name(self, module: Any, name: Any) -> Global:
        if type(module) is not str or type(name) is not str or len(module) + len(name) > _MAX_LINE:
            raise InertError(f"a name before byte {self.position} is none")
        found = self.names.get((module, name))
        if found is None:
            if len(self.names) >= _MAX_NAMES:
                raise InertError(f"it names more than {_MAX_NAMES} classes and functions")
            found = self.names[module, name] = Global(module, name)
        return found

    def _line_name(self) -> Global:
        return self._name(str(self._line(_MAX_LINE), "utf-8"), str(self._line(_MAX_LINE), "utf-8"))

    def _stack_name(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._name(module, name))

    def _call(self) -> None:
        arguments, maker = self._stack.pop(), self._stack.pop()
        self._stack.append(Record(maker, arguments))

    def _call_with_names(self) -> None:
        named = self._stack.pop()
        self._call()
        self._stack[-1].pairs = named if type(named) is dict and named else None

    def _instance(self) -> None:
        self._stack.append(Record(self._line_name(), tuple(self._since_mark())))

    def _object(self) -> None:
        maker, *arguments = self._since_mark()
        self._stack.append(Record(maker, tuple(arguments)))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is Record:
            target.state = state

    def _extension(self, width: int) -> None:
        self._stack.append(self._name("copyreg", f"extension {self._number(width)}"))

    def _outside(self, identity: Any) -> None:
        if type(identity) is tuple and len(identity) > 1 and identity[0] == "module" and type(identity[1]) is Global:
            self._stack.append(identity[1])  # torch before 1.6 keeps a class's source text beside its name
            return
        self.persistent.append(Persistent(identity))
        self._stack.append(self.persistent[-1])

    def _frame(self) -> None:
        length = self._number(8)
        if length > self._size - self.position:
            raise InertError(f"it is cut short: a frame of {length} bytes is announced at byte {self.position}")

    def _protocol(self) -> None:
        if (protocol := self._number(1)) > 5:
            raise InertError(f"it is written in pickle protocol {protocol}; 0 to 5 are known")

    def _buffer(self) -> None:
        raise InertError("it refers to buffers outside the file")


def _integer(text: bytes) -> int:
    if len(text) > 2 * _MAX_INTEGER_BYTES:
        raise InertError(f"it holds a whole number of {len(text)} digits")
    return int(text or b"0")


def _string(view: memoryview) -> str | bytes | memoryview:
    """Python 2's byte strings: text if they can be, bytes otherwise."""
    if len(view) >= _LONG_BYTES:
        return view
    try:
        return str(view, "ascii")
    except UnicodeDecodeError:
        return bytes(view)


_STOP = ord(".")

_BY_OPCODE: dict[bytes, Callable[[InertReader], None]] = {
    b"\x80": InertReader._protocol,
    b"\x95": InertReader._frame,
    b"N": lambda m: m._stack.append(None),
    b"\x88": lambda m: m._stack.append(True),
    b"\x89": lambda m: m._stack.append(False),
    b"I": InertReader._push_line_int,
    b"L": InertReader._push_line_long,
    b"F": InertReader._push_line_float,
    b"K": lambda m: m._stack.append(m._number(1)),
    b"M": lambda m: m._stack.append(m._number(2)),
    b"J": lambda m: m._stack.append(int.from_bytes(m._take(4), "little", signed=True)),
    b"\x8a": lambda m: m._push_long(1),
    b"\x8b": lambda m: m._push_long(4),
    b"G": InertReader._push_float,
    b"S": InertReader._push_line_string,
    b"U": lambda m: m._push_string(1),
    b"T": lambda m: m._push_string(4),
    b"V": InertReader._push_line_text,
    b"\x8c": lambda m: m._push_text(1),
    b"X": lambda m: m._push_text(4),
    b"\x8d": lambda m: m._push_text(8),
    b"C": lambda m: m._push_bytes(1),
    b"B": lambda m: m._push_bytes(4),
    b"\x8e": lambda m: m._push_bytes(8),
    b"\x96": lambda m: m._push_bytes(8),
    b"\x97": InertReader._buffer,
    b"\x98": InertReader._buffer,
    b"(": InertReader._mark,
    b"0": InertReader._pop,
    b"1": lambda m: m._since_mark().clear(),
    b"2": lambda m: m._stack.append(m._stack[-1]),
    b"g": lambda m: m._get(_integer(m._line(_MAX_LINE))),
    b"h": lambda m: m._get(m._number(1)),
    b"j": lambda m: m._get(m._number(4)),
    b"p": lambda m: m._put(_integer(m._line(20))),
    b"q": lambda m: m._put(m._number(1)),
    b"r": lambda m: m._put(m._number(4)),
    b"\x94": InertReader._memoize,
    b"]": lambda m: m._stack.append([]),
    b"l": lambda m: m._stack.append(m._since_mark()),
    b"a": lambda m: m._append_all([m._stack.pop()]),
    b"e": lambda m: m._append_all(m._since_mark()),
    b"}": lambda m: m._stack.append({}),
    b"d": InertReader._dict,
    b"s": InertReader._set_pair,
    b"u": lambda m: m._set_pairs(m._since_mark()),
    b")": lambda m: m._stack.append(()),
    b"t": lambda m: m._stack.append(tuple(m._since_mark())),
    b"\x85": lambda m: m._stack.append((m._stack.pop(),)),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"\x8f": InertReader._empty_set,
    b"\x90": InertReader._add_all,
    b"\x91": InertReader._frozen_set,
    b"c": lambda m: m._stack.append(m._line_name()),
    b"\x93": InertReader._stack_name,
    b"R": InertReader._call,
    b"\x81": InertReader._call,
    b"\x92": InertReader._call_with_names,
    b"i": InertReader._instance,
    b"o": InertReader._object,
    b"b": InertReader._build,
    b"\x82": lambda m: m._extension(1),
    b"\x83": lambda m: m._extension(2),
    b"\x84": lambda m: m._extension(4),
    b"P": lambda m: m._outside(str(m._line(_MAX_LINE), "ascii")),
    b"Q": lambda m: m._outside(m._stack.pop()),
}

_INSTRUCTIONS: list[Callable[[InertReader], None] | None] = [_BY_OPCODE.get(bytes([code])) for code in range(256)]
