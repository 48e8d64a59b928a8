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
    """The module ``NAME`` of ``FILE.py:NAME``, or what a class or function of that name makes without arguments.

    Args:
        text: the file, which is run, and the name in it.
        seed: of the module's first weights.

    Raises:
        ValueError: no such file or name, or nothing that is or makes a torch module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        item = load_spelled_out(text)
        torch.manual_seed(seed)  # again: the file is run once, what it names may be made more often
        return _made(item, text)


def find_module(mark: str) -> nn.Module | None:
    """The module that a mark names, if it stands in a file that somebody named; None otherwise.

    Raises:
        ValueError: what has that name in the file makes no module.
    """
    item = find_in_named_files(mark) if is_spelled_out(mark) else None
    return None if item is None else _made(item, mark)


def _made(item: Any, text: str) -> nn.Module:
    module = item
    if callable(item) and not isinstance(item, nn.Module):
        try:
            module = item()
        except Exception as error:  # the documented border: somebody's program may fail in any way
            raise ValueError(
                f"{text} failed ({type(error).__name__}: {error}); it is called without arguments and must return a "
                "torch module"
            ) from error
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{text} is a {type(module).__name__}; expected a torch module, its class, or a function that returns one"
        )
    place, _, name = text.rpartition(":")
    object.__setattr__(module, _NAME, f"{Path(place).name}:{name}")  # no part of the module: its copies keep it
    return module
