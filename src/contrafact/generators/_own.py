"""Generators of somebody's own, by ``FILE.py:NAME`` or by the name that an installed package gives them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.generator import Generator
from contrafact.core.own_generator import GIVEN
from contrafact.core.plugins import is_spelled_out, load_plugin, load_spelled_out, plugins
from contrafact.generators.wrap import wrap


def is_own(name: str) -> bool:
    """Whether a name is one of somebody's own: ``FILE.py:NAME``, or offered by an installed package."""
    return is_spelled_out(name) or _offered(name) is not None


def _offered(name: str) -> str | None:
    wanted = name.replace("-", "_").lower()
    return next((known for known in plugins("generators") if known.replace("-", "_").lower() == wanted), None)


def build_own(name: str, changes: dict[str, Any]) -> Generator:
    """The generator that somebody's class or function makes.

    The item is a :class:`Generator`, or a class or function that makes one; or a torch module with an attribute
    ``latent_dim``, or what makes one, which is wrapped (:func:`~contrafact.generators.wrap`). Weights that are drawn at
    random while it is made are the same each time.

    Args:
        name: what :func:`is_own` takes.
        changes: arguments to call it with; those it takes are taken out.

    Raises:
        ValueError: no such item, one that makes no generator, or an argument that it does not take.
    """
    offered = None if is_spelled_out(name) else _offered(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        item = load_spelled_out(name) if offered is None else load_plugin(plugins("generators")[offered])
        torch.manual_seed(0)  # again: whether the file ran just now or long ago must not matter
        arguments: dict[str, Any] = {}
        made = item if isinstance(item, nn.Module) else _called(item, name, changes, arguments)
    if isinstance(made, Generator):
        return _noted(made, arguments)
    latent_dim = getattr(made, "latent_dim", None)
    if not isinstance(made, nn.Module) or not isinstance(latent_dim, int):
        what = f"a {type(made).__name__}" + (" without latent_dim" if isinstance(made, nn.Module) else "")
        raise ValueError(
            f"{name} makes {what}; expected a contrafact.core.generator.Generator, such as "
            "contrafact.wrap(module, latent_dim) makes, or a torch module with an attribute latent_dim"
        )
    return _noted(wrap(made, latent_dim, name=name), arguments)


def _noted(made: Generator, arguments: dict[str, Any]) -> Generator:
    """With what it was called, for runs on it to say."""
    if arguments:
        made.note = {**made.note, GIVEN: arguments}
    return made


def _called(item: Any, name: str, changes: dict[str, Any], arguments: dict[str, Any]) -> Any:
    if not callable(item):
        raise ValueError(f"{name} is a {type(item).__name__}; expected a class or a function that makes a generator")
    parameters = inspect.signature(item).parameters
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    for given in changes:
        if given not in parameters:
            raise ValueError(unknown_name_message(f"argument of {name}", given, list(parameters)))
    if missing := [argument for argument in needed if argument not in changes]:
        said = " ".join(f"{argument}=..." for argument in missing)
        raise ValueError(f"{name} needs {said}: give a default, or the value (on a command line --set {said})")
    arguments.update(changes)
    changes.clear()
    return item(**arguments)
