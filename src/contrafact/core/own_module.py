"""Modules of somebody's own among a method's settings: how files mark them, and how a command line names them.

A file holds such a module's weights, and in the module's place a mark that names it, never its code. Nothing is
imported because of a mark: the module is passed again, or stands in a file that somebody named (``--plugin FILE.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from contrafact.core.plugins import find_in_named_files, is_spelled_out, load_spelled_out

OWN = "module of your own"
"""Marks, in a file's header or a run's configuration, an argument that is somebody's own module."""

_NAME = "_contrafact_name"


def described(value: Any) -> Any:
    """``value``, or in a module's place a mark: ``FILE.py:NAME`` as the command line had it, else its class."""
    if not isinstance(value, nn.Module):
        return value
    return {OWN: getattr(value, _NAME, None) or f"{type(value).__module__}.{type(value).__qualname__}"}


def load_module(text: str, seed: int = 0) -> nn.Module:
    """The module ``NAME`` of ``FILE.py:NAME``, or a module of the class of that name, built without arguments.

    Args:
        text: the file, which is run, and the name in it.
        seed: of the module's first weights.

    Raises:
        ValueError: no such file or name, or neither a torch module nor a class of one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        item = load_spelled_out(text)
        torch.manual_seed(seed)  # again: the file is run once, what it names may be made more often
        return _made(item, text)


def find_module(mark: str) -> nn.Module | None:
    """The module that a mark names, if it stands in a file that somebody named; None otherwise.

    Raises:
        ValueError: what has that name in the file is no module and no class of one. It is not called: which of a
            file's functions runs is not for a mark to choose.
    """
    item = find_in_named_files(mark) if is_spelled_out(mark) else None
    return None if item is None else _made(item, mark)


def _made(item: Any, text: str) -> nn.Module:
    module = item
    if isinstance(item, type) and issubclass(item, nn.Module):
        try:
            module = item()
        except Exception as error:  # the documented border: somebody's program may fail in any way
            raise ValueError(
                f"{text} failed ({type(error).__name__}: {error}); it is built without arguments: give them defaults, "
                "or name a module that is built already"
            ) from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{text} is a {type(module).__name__}; expected a torch module, or a class of one")
    place, _, name = text.rpartition(":")
    object.__setattr__(module, _NAME, f"{Path(place).name}:{name}")  # no part of the module: its copies keep it
    return module
