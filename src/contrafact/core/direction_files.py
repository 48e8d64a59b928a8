"""Directions as things to keep: named in their run, some of them written to a file of their own, read back anywhere.

Shape suffixes: N samples, L latent dimensions, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.core import hub, outside
from contrafact.core.artefact import class_name, find_class, load_artefact, save_artefact, unbuildable
from contrafact.core.artefact_names import stable_name
from contrafact.core.claim import claim
from contrafact.core.directions import Directions, GlobalDirections, LayeredDirections
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun, load_run
from contrafact.core.run import CONFIG

DIRECTIONS = "directions.safetensors"
# Another naming takes a moment: its name is not worth an error.
_WAIT_SECONDS = 10.0


class ChosenDirections(Directions):
    """Some of another artefact's directions, under numbers and names of their own.

    Args:
        source: ``class`` of the directions they come from, as in a file's header, and ``arguments`` it is built with.
        chosen: D numbers there.
        names: D names.

    Raises:
        ValueError: a class that is not one of contrafact's directions, or a number there is not.
    """

    def __init__(self, source: Mapping[str, Any], chosen: Sequence[int], names: Sequence[str] | None = None) -> None:
        name = str(source.get("class"))
        cls = find_class(name, "a file of chosen directions")
        if not issubclass(cls, Directions):
            raise ValueError(f"directions are chosen from directions, not from a {cls.__name__}")
        arguments = source.get("arguments", {})
        inner: Directions = cls(**(outside.read(arguments) if outside.is_outside(cls) else arguments))
        numbers = [inner.index(number) for number in chosen]
        super().__init__(
            inner.latent_dim,
            len(numbers),
            inner.scale,
            [inner.names[number] for number in numbers] if names is None else names,
            inner.layers,
            inner.num_layers,
            inner.columns,
        )
        self.per_layer, self.own_layers = inner.per_layer, inner.own_layers
        self.inner, self.source = inner, {**source, "class": stable_name(cls) or name}
        self.chosen: Tensor
        self.register_buffer("chosen", torch.tensor(numbers), persistent=False)

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        return self.inner.shift(latent, self.chosen[index], magnitude)

    def is_circle(self, number: int) -> bool:
        return self.inner.is_circle(int(self.chosen[number]))

    def arguments(self) -> dict[str, Any]:
        return {"source": self.source, "chosen": self.chosen.tolist(), "names": self.names}


def choose(directions: Directions, which: Sequence[str | int]) -> Directions:
    """The directions called or numbered ``which``, in that order, as directions of their own.

    Args:
        directions: where to choose from; not changed.
        which: names or numbers.

    Raises:
        ValueError: no such direction, one asked for twice, or none at all.

    >>> three = GlobalDirections.of(torch.eye(3), names=["left", "up", "back"])
    >>> choose(three, ["back", 0]).names
    ['back', 'left']
    """
    numbers = [directions.index(name) for name in which]
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(f"name the directions to choose, each once; got {list(which)}")
    names = [directions.names[number] for number in numbers]
    if type(directions) is GlobalDirections:
        few = GlobalDirections(
            directions.latent_dim,
            len(numbers),
            directions.constraint,
            directions.scale,
            names,
            directions.layers,
            directions.num_layers,
            directions.columns,
        )
        with torch.no_grad():
            # The vectors, not the weight: an orthonormal frame's vectors depend on all rows of its weight.
            few.weight.copy_(directions.vectors()[numbers])
        few.note = directions.note
        return few.requires_grad_(False).eval()
    if type(directions) is LayeredDirections:
        some = LayeredDirections.of(
            directions.vectors().detach()[numbers], directions.scale, names, directions.layers, directions.columns
        )
        some.note = directions.note
        return some.requires_grad_(False).eval()
    why = unbuildable(directions)
    if why is not None:
        raise ValueError(f"directions cannot be chosen here: {why}")
    arguments = directions.arguments()
    is_outside = outside.is_outside(type(directions))
    source = {
        "class": class_name(directions),
        "arguments": outside.written(arguments) if is_outside else arguments,
    }
    chosen = ChosenDirections(source, numbers, names)
    chosen.inner.load_state_dict(directions.state_dict())
    chosen.note = directions.note
    return chosen.requires_grad_(False).eval()


def export_directions(run: FinishedRun, path: str | Path, which: Sequence[str | int] = ()) -> Directions:
    """Write directions of a run to one file that needs nothing else.

    Args:
        run: a finished run with directions.
        path: file to write, ``*.safetensors``.
        which: names or numbers; none for all.

    Returns:
        What was written. Its ``note`` says which generator, edit space, method and seed it comes from.

    Raises:
        ValueError: no directions, no such direction, or another kind of file name.
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ValueError(f"a file of directions must be called *.safetensors, got {target.name!r}")
    few = choose(run.directions, which or range(run.directions.num_directions))
    with claim_file(target):
        save_artefact(few, target)
    return few


def load_directions(source: str | Path) -> Directions:
    """Directions of a run folder, or of a file that :func:`export_directions` or a run has written.

    Raises:
        ValueError: no such file or folder, or one without directions.

    >>> import contrafact as cf
    >>> run = cf.methods.Random(num_directions=3).fit(cf.load_generator("analytic"), "runs/three")
    >>> run_directions = cf.load_directions("runs/three")
    >>> few = export_directions(run, "one.safetensors", which=[2])
    >>> len(run_directions), cf.load_directions("one.safetensors").names
    (3, ['direction 2'])
    """
    path = hub.local(source, "directions")
    if path.is_dir():
        return load_run(path).directions
    if not path.exists():
        raise ValueError(f"{path} does not exist; expected a run folder or a *.safetensors file of directions")
    return load_artefact(path, Directions).requires_grad_(False)


def name_direction(source: str | Path, which: str | int, name: str) -> int:
    """Name a direction in a run's folder, or in a file of directions; from then on everything calls it that.

    The file is replaced in one step: a crash leaves the old one.

    Args:
        source: run folder or file.
        which: the direction's number or present name.
        name: one line of at most 80 characters, no number, no other direction's.

    Returns:
        The direction's number.

    Raises:
        ValueError: no such file, no such direction, or a name that will not do.
    """
    path = hub.local(source, "run")
    file = path / DIRECTIONS if path.is_dir() else path
    load_directions(path)  # what cannot be read is said before anything is claimed
    with claim_file(file):
        directions = load_directions(path)
        number = directions.rename(which, name)
        save_artefact(directions, file)
    return number


def claim_file(file: Path) -> AbstractContextManager[None]:
    """A claim of the file, or of the run folder it lies in; another holder is waited for, for a moment."""
    return claim(file.parent if (file.parent / CONFIG).exists() else file, wait=_WAIT_SECONDS)


def check_fit(directions: Directions, generator: Generator) -> None:
    """Refuse directions that cannot mean anything in this generator's latent space.

    Raises:
        ValueError: another latent size, another number of layers, or another edit space than they were found in.
    """
    if directions.latent_dim != generator.edit_dim:
        raise ValueError(
            f"the directions live in {directions.latent_dim} latent dimensions but the generator has "
            f"{generator.edit_dim}: use them with the generator they were found on"
        )
    if directions.columns != generator.edit_columns:
        theirs, its = (
            "the whole latent" if columns is None else f"its columns {columns[0]} to {columns[1] - 1}"
            for columns in (directions.columns, generator.edit_columns)
        )
        raise ValueError(
            f"the directions move {theirs}, the generator is edited in {its}: use them with the generator they were "
            "found on"
        )
    if (directions.per_layer or directions.layers is not None) and directions.num_layers != generator.num_layers:
        first, last = directions.layers or (0, directions.num_layers)
        raise ValueError(
            f"the directions act on layers {first} to {last - 1} of {directions.num_layers}"
            f"{', with a vector for each' if directions.per_layer else ''}, but the generator has "
            f"{generator.num_layers}: use them with the generator they were found on"
        )
    space = directions.note.get("space", generator.space)
    if space != generator.space:
        raise ValueError(
            f"the directions were found in the {space} space, the generator is edited in {generator.space}; "
            f'load it in that space: load_generator(..., {{"space": "{space}"}})'
        )
