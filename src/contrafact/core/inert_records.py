"""What a pickle says, kept without doing any of it: names, calls and references as inert records."""

from __future__ import annotations

from typing import Any


class InertError(ValueError):
    """The bytes are no whole pickle, or ask for more than a file of their size can hold."""


class Global:
    """A class or function that a pickle names; never imported."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class Record:
    """A call or an object that a pickle describes; never made.

    Attributes:
        maker: what would have been called: a :class:`Global`, or another record.
        arguments: with what; a tuple if the writer was honest.
        state: what the object would have been given to restore itself from, or None.
        items: what would have been appended to it, or None.
        pairs: what would have been set in it, or None.
    """

    __slots__ = ("arguments", "items", "maker", "pairs", "state")

    def __init__(self, maker: Any, arguments: Any) -> None:
        self.maker = maker
        self.arguments = arguments
        self.state: Any = None
        self.items: list[Any] | None = None
        self.pairs: dict[Any, Any] | None = None

    @property
    def name(self) -> str:
        """Dotted name of the class or function, ``"?"`` if it is no name."""
        return repr(self.maker) if type(self.maker) is Global else "?"

    def __repr__(self) -> str:
        return f"Record({self.name})"


def encoded_bytes(record: Record) -> bytes | None:
    """The bytes that a record stands for if it is how protocols 0 to 2 write bytes, otherwise None.

    Raises:
        InertError: it is, but no bytes have such a text.
    """
    if type(record.maker) is not Global or (record.maker.module, record.maker.name) != ("_codecs", "encode"):
        return None
    match record.arguments:
        case (str() as text, str() as coding) if coding in ("latin1", "latin-1"):
            return latin_bytes(text)
    return None


def latin_bytes(text: str) -> bytes:
    """Bytes written as text, a letter for each.

    Raises:
        InertError: a letter beyond 255.
    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InertError("bytes are written as text that is none") from error


class Persistent:
    """A reference to something that lies outside the pickle, such as a tensor's storage."""

    __slots__ = ("id",)

    def __init__(self, identity: Any) -> None:
        self.id = identity


class Unhashed:
    """Stands for a dict's key or a set's element that is not plain, whose hash a file could make arbitrarily dear."""

    __slots__ = ()
