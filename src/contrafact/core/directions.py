"""The directions contract, and those that need no more than a latent: vectors, vectors per layer, and curved paths.

Shape suffixes: N samples, L latent dimensions, D directions, K layers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.artefact import Artefact
from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count

MOST_DIRECTIONS = 2**20


class Directions(Artefact, ABC):
    """Ways to move a latent: ``(latent (N, L), index (N,), magnitude (N,)) -> latent (N, L)``.

    Magnitudes are in standard deviations of the edit space: a shift of 1 moves a latent by ``scale``.

    Attributes:
        latent_dim: L, dimensions of what they move: of the latent, or of its ``columns``.
        num_directions: D.
        names: D names, ``"direction 0"`` … until somebody gives better ones.
        scale: length of a unit step in the edit space (:meth:`Generator.latent_scale`).
        layers: ``(first, last)`` layers (last excluded) the shift acts on, None for all.
        num_layers: layers of the generator the directions belong to; needed when ``layers`` is given.
        columns: first and last (excluded) column of the latent that the shift acts on, None for all: directions of a
            generator that is edited in a part of its latent (:attr:`Generator.edit_range`).
        per_layer: whether a shift differs from layer to layer: :meth:`shift` then gives ``(N, num_layers, L)``.
        own_layers: whether a shift means something in ``layers`` alone, so that it cannot act on others.

    >>> axes = GlobalDirections.of(torch.eye(3), names=["left", "up", "back"])
    >>> latent = torch.zeros(2, 3)
    >>> axes(latent, "up", 2.0).tolist()  # all along one
    [[0.0, 2.0, 0.0], [0.0, 2.0, 0.0]]
    >>> axes(latent, torch.tensor([0, 2]), torch.tensor([1.0, -1.0])).tolist()  # each along its own
    [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]
    >>> axes.every(latent, torch.ones(3)).shape, axes.shift_every(latent, torch.ones(3)).shape
    (torch.Size([6, 3]), torch.Size([3, 2, 3]))
    >>> axes.rename("back", "far"), axes.index("far"), axes.names
    (2, 2, ['left', 'up', 'far'])
    """

    latent_dim: int
    num_directions: int
    per_layer: bool = False
    own_layers: bool = False

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = check_count("latent_dim", latent_dim)
        self.num_directions = check_count("num_directions", num_directions)
        if num_directions > MOST_DIRECTIONS:
            raise ValueError(f"num_directions must be at most {MOST_DIRECTIONS}, got {num_directions}")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be positive and finite, got {scale}")
        self.scale = float(scale)
        given = [f"direction {i}" for i in range(num_directions)] if names is None else names
        self.names = _checked_names(given, num_directions)
        if layers is not None and not 0 <= layers[0] < layers[1] <= num_layers:
            raise ValueError(
                f"layers must be (first, last) with 0 <= first < last <= {num_layers}, got {tuple(layers)}"
            )
        self.layers = None if layers is None else (int(layers[0]), int(layers[1]))
        self.num_layers = check_count("num_layers", num_layers)
        if columns is not None and not 0 <= columns[0] < columns[1] == columns[0] + latent_dim:
            raise ValueError(
                f"columns must be (first, last) with first >= 0 and last {latent_dim} more, as many as the directions "
                f"have dimensions; got {tuple(columns)}"
            )
        self.columns = None if columns is None else (int(columns[0]), int(columns[1]))

    @abstractmethod
    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        """The shift ``(N, L)`` itself, in standard deviations; all three arguments have N rows.

        Directions :attr:`per_layer` give ``(N, num_layers, L)``. Of directions with :attr:`columns` the latent that
        comes and the shift are those columns alone.
        """

    def is_circle(self, number: int) -> bool:
        """Whether a direction turns latents around a circle, such as a hue's: magnitudes are then radians.

        >>> GlobalDirections.of(torch.eye(2)).is_circle(0)
        False
        """
        return False

    def __len__(self) -> int:
        return self.num_directions

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.names[:4])) + (", …" if len(self) > 4 else "")
        layers = "" if self.layers is None else f", layers {self.layers[0]} to {self.layers[1] - 1}"
        return f"{type(self).__name__}({len(self)} directions in {self.latent_dim} dimensions{layers}: {names})"

    def forward(self, latent: Tensor, index: Tensor | int | str, magnitude: Tensor | float = 1.0) -> Tensor:
        """Move latents.

        Args:
            latent: ``(N, L)``, or ``(N, num_layers, L)``.
            index: direction of each row, ``(N,)`` integers in ``[0, D)``, or one for all, by its number or its name.
            magnitude: signed length of each row's step in standard deviations, ``(N,)``, or one for all.

        Returns:
            Shifted latents, of the latent's shape; ``(N, num_layers, L)`` where layers are moved differently.

        Raises:
            ValueError: a shape that does not fit, or an index outside ``[0, D)``.
        """
        n = latent.shape[0]
        if isinstance(index, str):
            index = self.index(index)
        fits = latent.shape[-1] == self.latent_dim if self.columns is None else latent.shape[-1] >= self.columns[1]
        if not fits or latent.ndim not in (2, 3):
            where = "" if self.columns is None else f", columns {self.columns[0]} to {self.columns[1] - 1}"
            raise ValueError(
                f"these directions live in {self.latent_dim} latent dimensions{where}; got latents of shape "
                f"{tuple(latent.shape)}: use them with the generator they were found on"
            )
        if latent.ndim == 3 and (self.per_layer or self.layers is not None) and latent.shape[1] != self.num_layers:
            raise ValueError(
                f"these directions tell {self.num_layers} layers apart; got latents of shape {tuple(latent.shape)}, "
                f"which are of {latent.shape[1]}: use them with the generator they were found on"
            )
        index = torch.as_tensor(index, device=latent.device).expand(n) if _is_single(index) else torch.as_tensor(index)
        magnitude = torch.as_tensor(magnitude, dtype=latent.dtype, device=latent.device)
        magnitude = magnitude.expand(n) if magnitude.ndim == 0 else magnitude
        if index.shape != (n,) or magnitude.shape != (n,):
            raise ValueError(
                f"expected one index and one magnitude per latent ({n}), got {tuple(index.shape)} and "
                f"{tuple(magnitude.shape)}"
            )
        # Reading the index back would make every training step wait on a GPU; indexing itself raises there.
        if index.device.type == "cpu" and n and not _within(index, self.num_directions):
            raise ValueError(
                f"direction index must lie in [0, {self.num_directions}), got {int(index.min())} to {int(index.max())}"
            )
        index = index.to(latent.device)
        return self._moved(latent, self.shift(self._acted_on(latent), index, magnitude))

    def shift_every(self, latent: Tensor, magnitude: Tensor) -> Tensor:
        """The shifts ``(D, N, …)`` of every direction at every latent ``(N, L)``, magnitudes ``(D,)``."""
        d, n = self.num_directions, len(latent)
        index = torch.arange(d, device=latent.device).repeat_interleave(n)
        shift: Tensor = self.shift(latent.repeat(d, 1), index, magnitude.repeat_interleave(n)).unflatten(0, (d, n))
        return shift

    def every(self, latent: Tensor, magnitude: Tensor) -> Tensor:
        """Move every latent along every direction: all edits of a step as one batch.

        Args:
            latent: ``(N, L)``, or ``(N, num_layers, L)``.
            magnitude: signed length of each direction's step in standard deviations, ``(D,)``.

        Returns:
            ``(D·N, L)``, or ``(D·N, num_layers, L)``: all latents moved along direction 0, then along 1, …
        """
        copies = latent.repeat(self.num_directions, *[1] * (latent.ndim - 1))
        return self._moved(copies, self.shift_every(self._acted_on(latent), magnitude).flatten(0, 1))

    def _acted_on(self, latent: Tensor) -> Tensor:
        """One latent ``(N, L)`` per sample, of the columns that move: of several, the mean of the layers that do."""
        latent = latent if self.columns is None else latent[..., slice(*self.columns)]
        return latent if latent.ndim == 2 else latent[:, slice(*(self.layers or (None, None)))].mean(dim=1)

    def _moved(self, latent: Tensor, shift: Tensor) -> Tensor:
        """Latents after a shift ``(N, L)`` or ``(N, K, L)`` in standard deviations, in the layers it acts on."""
        step = self.placed(self.scale * shift, latent.shape[-1])
        if self.layers is None and step.ndim == 2:
            return latent + (step if latent.ndim == 2 else step[:, None])
        layered = latent if latent.ndim == 3 else latent[:, None].expand(-1, self.num_layers, -1)
        step = step if step.ndim == 3 else step[:, None]
        if self.layers is None:
            return layered + step
        mask = torch.zeros(self.num_layers, 1, dtype=latent.dtype, device=latent.device)
        mask[self.layers[0] : self.layers[1]] = 1.0
        return layered + mask * step

    def placed(self, shift: Tensor, width: int) -> Tensor:
        """A shift ``(…, L)`` of the columns it acts on as one of whole latents ``(…, width)``, zero elsewhere.

        >>> GlobalDirections(2, 1, columns=(1, 3)).placed(torch.ones(2), 4).tolist()
        [0.0, 1.0, 1.0, 0.0]
        """
        return shift if self.columns is None else F.pad(shift, (self.columns[0], width - self.columns[1]))

    def index(self, name: str | int) -> int:
        """Number of the direction called ``name`` (a number passes through).

        Raises:
            ValueError: no such direction; the message suggests the nearest name.
        """
        if isinstance(name, str) and name in self.names:
            return self.names.index(name)
        try:
            number = int(name)
        except ValueError as error:
            raise ValueError(unknown_name_message("direction", str(name), self.names)) from error
        if not 0 <= number < self.num_directions:
            raise ValueError(f"direction {number} does not exist; there are {self.num_directions}, from 0")
        return number

    def rename(self, which: str | int, name: str) -> int:
        """Call a direction ``name``; returns its number.

        Raises:
            ValueError: no such direction, or a name that is empty, has more than one line or 80 characters, is a
                number, or is another direction's.
        """
        number, name = self.index(which), name.strip()
        if not name.isprintable() or not 0 < len(name) <= 80:
            raise ValueError(f"a direction's name is one line of 1 to 80 characters, got {name!r}")
        if name.lstrip("+-").isdigit():
            raise ValueError(f"a direction called {name!r} could not be told from direction number {name}; use a word")
        if name in self.names and self.names.index(name) != number:
            raise ValueError(f"direction {self.names.index(name)} is called {name!r} already; rename it first")
        self.names[number] = name
        return number

    def kept(self) -> dict[str, Any]:
        return {"names": self.names}

    def restore(self, kept: Mapping[str, Any]) -> None:
        self.names = _checked_names(kept.get("names", self.names), self.num_directions)

    def common_arguments(self) -> dict[str, Any]:
        """The constructor arguments every kind of directions shares."""
        return {
            "latent_dim": self.latent_dim,
            "num_directions": self.num_directions,
            "scale": self.scale,
            "names": self.names,
            "layers": self.layers,
            "num_layers": self.num_layers,
            **({} if self.columns is None else {"columns": self.columns}),
        }


def _checked_names(names: Sequence[str], num_directions: int) -> list[str]:
    found = list(names)
    if not all(isinstance(name, str) for name in found):
        raise ValueError(f"names must be texts, got {found}")
    if len(found) != num_directions or len(set(found)) != num_directions:
        raise ValueError(f"expected {num_directions} different names, got {found}")
    return found


def _within(index: Tensor, size: int) -> bool:
    return int(index.min()) >= 0 and int(index.max()) < size


def _is_single(index: Tensor | int) -> bool:
    return not isinstance(index, Tensor) or index.ndim == 0


Constraint = Literal["unit", "orthonormal", "free"]


class GlobalDirections(Directions):
    """One vector per direction, the same everywhere: ``z + ε·a_d``.

    Args:
        latent_dim: L.
        num_directions: D.
        constraint: ``unit`` rescales every vector to length 1; ``orthonormal`` makes them an orthonormal frame
            (Gram–Schmidt, differentiable); ``free`` uses them as they are.
        scale: length of a unit step in the edit space.
        names: D names.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.
        columns: columns of the latent it acts on, L of them.

    Raises:
        ValueError: more orthonormal directions than dimensions.

    >>> frame = GlobalDirections.random(8, 3, torch.Generator().manual_seed(0), constraint="orthonormal")
    >>> torch.allclose(frame.vectors() @ frame.vectors().T, torch.eye(3), atol=1e-6)
    True
    >>> GlobalDirections.of(torch.tensor([[3.0, 4.0]])).vectors().tolist()  # of unit length
    [[0.6000000238418579, 0.800000011920929]]
    """

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        constraint: Constraint = "unit",
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers, columns)
        if constraint not in ("unit", "orthonormal", "free"):
            raise ValueError(unknown_name_message("constraint", constraint, ["unit", "orthonormal", "free"]))
        if constraint == "orthonormal" and num_directions > latent_dim:
            raise ValueError(
                f"{num_directions} orthonormal directions do not fit in {latent_dim} dimensions; "
                f"ask for at most {latent_dim}, or use unit-length directions"
            )
        self.constraint: Constraint = constraint
        self.weight = nn.Parameter(torch.zeros(num_directions, latent_dim))

    @classmethod
    def random(
        cls,
        latent_dim: int,
        num_directions: int,
        rng: torch.Generator,
        constraint: Constraint = "unit",
        scale: float = 1.0,
        columns: tuple[int, int] | None = None,
    ) -> GlobalDirections:
        """Directions drawn uniformly from the sphere."""
        directions = cls(latent_dim, num_directions, constraint, scale, columns=columns)
        with torch.no_grad():
            weight = torch.randn(num_directions, latent_dim, generator=rng)
            directions.weight.copy_(weight / weight.norm(dim=1, keepdim=True))
        return directions

    @classmethod
    def of(
        cls,
        vectors: Tensor,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        constraint: Constraint = "unit",
        columns: tuple[int, int] | None = None,
    ) -> GlobalDirections:
        """Directions along the rows of ``vectors (D, L)``, of unit length unless the constraint is another.

        Raises:
            ValueError: a row of zeros has no direction.
        """
        if vectors.ndim != 2 or not (vectors.norm(dim=1) > 0).all():
            raise ValueError(f"expected non-zero vectors of shape (D, L), got {tuple(vectors.shape)}")
        directions = cls(vectors.shape[1], vectors.shape[0], constraint, scale, names, layers, num_layers, columns)
        with torch.no_grad():
            directions.weight.copy_(vectors)
        return directions

    def vectors(self) -> Tensor:
        """The directions ``(D, L)`` under their constraint."""
        if self.constraint == "unit":
            unit: Tensor = self.weight / self.weight.norm(dim=1, keepdim=True)
            return unit
        if self.constraint == "orthonormal":
            frame, triangle = torch.linalg.qr(self.weight.T)
            # QR leaves each column's sign open; fixing it by the diagonal makes the map continuous in the weights.
            oriented: Tensor = frame * triangle.diagonal().sign()
            return oriented.T
        return self.weight

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        step: Tensor = magnitude[:, None] * self.vectors().to(latent.dtype)[index]
        return step

    def arguments(self) -> dict[str, Any]:
        return {**self.common_arguments(), "constraint": self.constraint}


class LayeredDirections(Directions):
    """A vector per layer and direction: ``w_k + ε·a_dk``, in a latent for every layer (W+).

    Latents ``(N, L)``, the same for all layers, are spread over the layers; what comes out is ``(N, num_layers, L)``.

    Args:
        latent_dim: L.
        num_directions: D.
        scale: length that a vector of length 1 moves its layer by.
        names: D names.
        layers: layer range the shift acts on; None for all.
        num_layers: K, layers of the generator, at least 2.
        columns: columns of the latent it acts on, L of them.

    Raises:
        ValueError: one layer.

    >>> two_layers = LayeredDirections.of(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), names=["smile"])
    >>> two_layers(torch.zeros(1, 2), "smile", 2.0).tolist()
    [[[2.0, 0.0], [0.0, 4.0]]]
    >>> two_layers(torch.ones(1, 2, 2), 0, -1.0).tolist()
    [[[0.0, 1.0], [1.0, -1.0]]]
    """

    per_layer = True

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 2,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers, columns)
        if num_layers < 2:
            raise ValueError("directions with a vector per layer need at least 2 layers; take GlobalDirections for one")
        self.weight = nn.Parameter(torch.zeros(num_directions, num_layers, latent_dim))

    @classmethod
    def of(
        cls,
        vectors: Tensor,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> LayeredDirections:
        """Directions along ``vectors (D, K, L)``, used as they are; a layer's may be zero, which leaves it.

        Raises:
            ValueError: another shape, or a direction that is zero in all layers.
        """
        if vectors.ndim != 3 or not (vectors.flatten(1).norm(dim=1) > 0).all():
            raise ValueError(f"expected non-zero vectors of shape (D, layers, L), got {tuple(vectors.shape)}")
        count, num_layers, latent_dim = vectors.shape
        directions = cls(latent_dim, count, scale, names, layers, num_layers, columns)
        with torch.no_grad():
            directions.weight.copy_(vectors)
        return directions

    def vectors(self) -> Tensor:
        """The directions ``(D, K, L)``."""
        return self.weight

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        step: Tensor = magnitude[:, None, None] * self.weight.to(latent.dtype)[index]
        return step

    def arguments(self) -> dict[str, Any]:
        return self.common_arguments()


class CurvedDirections(Directions):
    """A three-layer network of the signed step ``ε·e_d``: directions that bend with the magnitude.

    The output is rescaled to length |ε| and is zero at ε = 0, so magnitudes keep their unit (DisCo Section 4.3,
    "3 fully-connected layers").

    Args:
        latent_dim: L.
        num_directions: D.
        hidden_dim: width of the two hidden layers.
        scale: length of a unit step in the edit space.
        names: D names.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.
        columns: columns of the latent it acts on, L of them.

    >>> curved = CurvedDirections(latent_dim=8, num_directions=3)
    >>> moved = curved(torch.zeros(2, 8), 1, -1.5)
    >>> [round(length, 4) for length in moved.norm(dim=1).tolist()]
    [1.5, 1.5]
    """

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        hidden_dim: int = 128,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers, columns)
        self.hidden_dim = check_count("hidden_dim", hidden_dim)
        self.network = nn.Sequential(
            nn.Linear(num_directions, hidden_dim),
            nn.ELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ELU(),
            nn.Linear(hidden_dim, latent_dim),
        )

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        step = torch.zeros(len(latent), self.num_directions, dtype=latent.dtype, device=latent.device)
        step = step.scatter(1, index[:, None], magnitude[:, None])
        # Subtracting the network's value at zero makes a zero magnitude leave the latent where it is.
        raw = self.network(step) - self.network(torch.zeros_like(step[:1]))
        step_NL: Tensor = magnitude.abs()[:, None] * raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-8)
        return step_NL

    def arguments(self) -> dict[str, Any]:
        return {**self.common_arguments(), "hidden_dim": self.hidden_dim}
