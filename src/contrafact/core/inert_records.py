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


class Persistent:
    """A reference to something that lies outside the pickle, such as a tensor's storage."""

    __slots__ = ("id",)

    def __init__(self, identity: Any) -> None:
        self.id = identity


class Unhashed:
    """Stands for a dict's key or a set's element that is not plain, whose hash a file could make arbitrarily dear."""

    __slots__ = ()
