"""How to get a picture again without a page: the command, and the lines of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.app.state import Drawn, State
from contrafact.core.command import quoted


def prefix_of(source: Mapping[str, Any]) -> str:
    """``contrafact edit`` with the run, generator and directions that a session was opened with.

    >>> prefix_of({"run": "my run"}), prefix_of({"generator": "shapes3d", "truncation": 0.7})
    ("contrafact edit 'my run'", 'contrafact edit --generator shapes3d --truncation 0.7')
    """
    return quoted("contrafact", "edit", *_opened_with(source), *_truncated(source.get("truncation")))


def lines_that_make(source: Mapping[str, Any], kind: str = "direction") -> list[str]:
    """Python that makes ``generator`` and ``directions``.

    >>> print("\\n".join(lines_that_make({"run": "runs/first"})))
    import contrafact as cf
    run = cf.load_run("runs/first")
    generator = run.generator
    directions = run.directions
    """
    run, named, use = (source.get(name) for name in ("run", "generator", "use"))
    changes, truncation = dict(source.get("changes") or {}), source.get("truncation")
    lines = ["import contrafact as cf"]
    if run is not None:
        lines.append(f"run = cf.load_run({_text(run)})")
    if named is not None:
        lines.append(f"generator = cf.load_generator({_text(named)}{f', {changes!r}' if changes else ''})")
    elif changes:
        lines.append("from contrafact.generators.checkpoints import changed")
        lines.append(f"generator = changed(run.generator, {changes!r})")
    else:
        lines.append("generator = run.generator")
    if use is not None:
        # What another program's file leaves open, the generator decides.
        fitted = "" if Path(use).is_dir() or Path(use).suffix == ".safetensors" else ", generator"
        lines.append(f"directions = cf.load_directions({_text(use)}{fitted})")
    elif kind == "direction":
        lines.append("directions = run.directions")
    else:
        lines.append("from contrafact.report.figures import latent_axes")
        lines.append("directions = latent_axes(generator)")
    if truncation is not None:
        lines.append(f"generator = generator.truncated({truncation!r})")
    return lines


def command_again(source: Mapping[str, Any], state: State, latents: str | None = None, out: str = "edited") -> str:
    """The ``contrafact edit`` command whose picture is the state's.

    Args:
        source: what the session was opened with.
        state: what is seen.
        latents: file that holds the state's latent, before edits, alone; needed unless it is drawn with a seed.
        out: folder the command shall write.

    Raises:
        ValueError: a latent that no seed draws, and no file of it.
    """
    words: list[object] = ["contrafact", "edit", *_opened_with(source)]
    truncation = source.get("truncation") if state.truncation is None else state.truncation
    words += _truncated(truncation)
    words += ["--latents", latents] if latents is not None else ["--latent", _seed(state)]
    steps = state.magnitudes or ((0, 0.0),)
    words += ["--direction", *(number for number, _ in steps), "--by", *(_number(by) for _, by in steps)]
    if state.layers is not None:
        words += ["--layers", *state.layers]
    return quoted(*words, "--out", out)


def python_again(source: Mapping[str, Any], state: State, latents: str | None = None, kind: str = "direction") -> str:
    """Python whose ``image`` ``(1, C, H, W)`` is the state's; as for :func:`command_again`."""
    lines = ["import torch", *lines_that_make(source, kind)]
    if state.truncation is not None:
        lines.append(f"generator = generator.truncated({state.truncation!r})")
    if latents is None:
        lines.append("from contrafact.core.generator import sample_latents")
        lines.append(f"latent = sample_latents(generator, 1, torch.Generator().manual_seed({_seed(state)}))")
    else:
        lines.append("from contrafact.editing.latents import load_latents")
        lines.append(f"latent = load_latents({_text(latents)}).latents")
    if state.magnitudes:
        steps = ", ".join(f"({number}, {_number(by)})" for number, by in state.magnitudes)
        layers = "" if state.layers is None else f", layers={state.layers}"
        lines.append("from contrafact.editing.latents import edit")
        lines.append(f"latent = edit(generator, directions, latent, [{steps}]{layers})")
    return "\n".join([*lines, "with torch.no_grad():", "    image = generator(latent)"]) + "\n"


def _opened_with(source: Mapping[str, Any]) -> Sequence[object]:
    words: list[object] = [] if source.get("run") is None else [source["run"]]
    for name in ("generator", "use"):
        if source.get(name) is not None:
            words += [f"--{name}", source[name]]
    for name, value in (source.get("changes") or {}).items():
        words += ["--set", f"{name}={value}"]
    return words


def _truncated(truncation: float | None) -> list[object]:
    return [] if truncation is None else ["--truncation", _number(truncation)]


def _seed(state: State) -> int:
    if not isinstance(state.latent, Drawn):
        raise ValueError("this latent is of no seed: save it first, the command then reads the file")
    return state.latent.seed


def _number(value: float) -> str:
    """A number without exponent, which argument parsers would take for an option where it is negative."""
    return np.format_float_positional(value, trim="-")


def _text(value: object) -> str:
    """A Python string in double quotes, however odd the path."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
