"""Other programs' DCGANs, told by the shapes and the order of their weights; names only say what shapes leave open.

A state dict lists modules in the order in which they run (safetensors lists them by name). So channel counts that fit
one another say which layer follows which, whether a kernel is transposed, and what a batch normalisation belongs to.
Gaps in the numbers of an ``nn.Sequential`` say where functions without weights stand between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from contrafact.generators._dcgan_stages import Stage, both, joined
from contrafact.generators._settings import UNKNOWN, Settings

_KERNELS: dict[tuple[int, ...], tuple[list[int], list[int]]] = {
    (3, 4, 3, 4): ([2, 1, 2, 2], [0, 0, 0, 0]),
    (4, 4, 4, 4, 1): ([1, 2, 2, 2, 1], [0, 1, 1, 1, 2]),
    (1, 7, 4, 4): ([1, 1, 2, 2], [0, 0, 1, 1]),
}
"""Strides and paddings of networks for 28 pixels whose kernels follow no rule."""

_RELU = {"activation": "relu", "final": "tanh"}
_SPELLINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"(main\.\d+ ?)+", _RELU),
    (r"main\.initial.*", _RELU),
    (r"(deconv\d+ ?)+", _RELU),
    (r"l1\.0 (conv_blocks\.\d+ ?)+", {"activation": "lrelu", "final": "tanh", "eps": 0.8, "slope": 0.2}),
)
"""What programs do that call their layers so: PyTorch's tutorial, its predecessor, znxlwm's, PyTorch-GAN."""


@dataclass
class Link:
    """A layer and its normalisation.

    Attributes:
        name: the layer's.
        kind: as in :class:`~contrafact.generators._dcgan_stages.Stage`.
        gap: modules without weights between the last link and this layer; None where names do not say.
    """

    name: str
    kind: Literal["dense", "transposed", "convolution"]
    layer: Mapping[str, Tensor]
    gap: int | None
    norm: Mapping[str, Tensor] = field(default_factory=dict)
    map_shape: tuple[int, int, int] | None = None

    @property
    def out(self) -> int:
        """Units or channels that the layer makes."""
        return self.layer["weight"].shape[1 if self.kind == "transposed" else 0]

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel; 1 for a dense layer."""
        height, width = (1, 1) if self.kind == "dense" else self.layer["weight"].shape[2:]
        return height, width

    @property
    def over(self) -> Literal["none", "units", "channels"]:
        """What the normalisation is over."""
        if not self.norm:
            return "none"
        return "units" if self.kind == "dense" and len(self.norm["running_mean"]) == self.out else "channels"


@dataclass(frozen=True)
class Chain:
    """Links from the noise to the image."""

    links: tuple[Link, ...]

    @property
    def latent_dim(self) -> int:
        """Numbers of the noise."""
        first = self.links[0]
        return first.layer["weight"].shape[1 if first.kind == "dense" else 0]

    def spelling(self) -> dict[str, Any]:
        """What the program does by whose names the layers go; empty for other names."""
        names = " ".join(link.name for link in self.links)
        return next((does for pattern, does in _SPELLINGS if re.fullmatch(pattern, names)), {})

    def weights(self) -> dict[str, Tensor]:
        """State of a generator of these stages."""
        found: dict[str, Tensor] = {}
        for number, link in enumerate(self.links):
            parts = {f"layer.{name}": tensor for name, tensor in link.layer.items()}
            if norm := dict(link.norm):
                norm.setdefault("weight", norm["running_var"].new_ones(len(norm["running_var"])))
                norm.setdefault("bias", norm["running_mean"].new_zeros(len(norm["running_mean"])))
                parts |= {f"norm.{name}": tensor for name, tensor in norm.items()}
            found |= {f"stages.{number}.{name}": tensor.detach().float() for name, tensor in parts.items()}
        return found

    def stages(self, settings: Settings) -> list[Stage]:
        """The stages of these links; strides, paddings and enlargements are asked of ``settings`` where shapes leave
        them open.

        Raises:
            ValueError: lists given that are not one whole number for every convolution, or an image of no or too large
                a size.
        """
        convolutions = [link for link in self.links if link.kind != "dense"]
        down, across = self._steps(convolutions, 0), self._steps(convolutions, 1)
        sure = down[2] and across[2]
        strides, paddings = (
            _numbers(name, settings, list(map(joined, *ends)), sure, len(convolutions))
            for name, ends in (("strides", (down[0], across[0])), ("paddings", (down[1], across[1])))
        )
        enlarged = [self._enlarges(link) for link in convolutions]
        told = all(link.kind == "transposed" or link.gap is not None for link in convolutions)
        enlarge = _numbers("enlarge", settings, enlarged, told, len(convolutions))
        known = self.spelling().get("eps", 1e-5)
        eps = settings.choose("eps", known, known)
        found, number = [], 0
        for place, link in enumerate(self.links):
            common: dict[str, Any] = {"bias": "bias" in link.layer, "norm": link.over, "active": self._is_active(place)}
            if link.kind == "dense":
                found.append(Stage("dense", link.out, map_shape=_map_shape(link, settings), **common))
                continue
            stride, padding = strides[number], paddings[number]
            added = joined(
                *(
                    1 if link.kind == "transposed" and s + 2 * p - k == 1 < s else 0
                    for k, s, p in zip(link.kernel, both(stride), both(padding), strict=True)
                )
            )
            common["eps"] = eps if link.kind == "convolution" else 1e-5
            kernel = joined(*link.kernel)
            found.append(Stage(link.kind, link.out, kernel, stride, padding, added, enlarge[number], **common))
            number += 1
        return found

    def _steps(self, convolutions: list[Link], axis: int) -> tuple[list[int], list[int], bool]:
        """Strides and paddings down or across, and whether kernels leave no doubt of them."""
        kernels = tuple(link.kernel[axis] for link in convolutions)
        if kernels in _KERNELS and len(convolutions) == len(self.links):
            return (*_KERNELS[kernels], True)
        first = self.links[0].map_shape
        at_point = self.links[0].kind != "dense" or (first is not None and first[1] == 1)
        on_maps = convolutions[1:] if at_point else convolutions
        doubles = any(link.kind == "transposed" and link.kernel[axis] % 2 == 0 for link in on_maps)
        strides, paddings, sure = [], [], True
        for number, (link, kernel) in enumerate(zip(convolutions, kernels, strict=True)):
            transposed = link.kind == "transposed"
            if number == 0 and at_point:
                stride, padding = 1, 0
            elif transposed and kernel % 2 == 0:
                stride, padding = 2, (kernel - 2) // 2
            else:
                stride, padding = (2 if transposed and not doubles and kernel > 1 else 1), (kernel - 1) // 2
                sure = sure and not transposed
            strides.append(stride)
            paddings.append(padding)
        return strides, paddings, sure

    def _before(self, link: Link) -> Link | None:
        place = next(n for n, other in enumerate(self.links) if other is link)
        return self.links[place - 1] if place else None

    def _enlarges(self, link: Link) -> int:
        before = self._before(link)
        if link.kind != "convolution" or before is None or link.gap is None:
            return 1
        needed = 1 if before.kind == "dense" and before.over == "channels" else 2
        return 2 if link.gap >= needed else 1

    def _is_active(self, place: int) -> bool:
        if place == len(self.links) - 1:
            return False
        link, after = self.links[place], self.links[place + 1]
        if after.gap is None:
            return link.kind != "dense" or after.kind == "dense" or bool(link.norm)
        if link.kind != "dense" or after.kind == "dense":
            return after.gap >= 1
        # What makes a map of a dense layer's units, or enlarges it, is a module without weights, too.
        return after.gap >= (1 if link.over == "channels" and after.kind == "transposed" else 2)


def _map_shape(link: Link, settings: Settings) -> tuple[int, int, int] | None:
    """What a dense layer's units are taken for; of a map that is no square its sides must be given."""
    if link.map_shape is None or link.map_shape[1]:
        return link.map_shape
    channels, _, pixels = link.map_shape
    height = max(side for side in range(1, math.isqrt(pixels) + 1) if pixels % side == 0)
    sides = settings.choose("map_sides", None)
    if not (_is_whole(sides, (2,)) and isinstance(sides, list | tuple) and sides[0] * sides[1] == pixels):
        raise ValueError(
            f"the linear layer of this DCGAN makes {channels} channels of {pixels} pixels, which are no square: give "
            f'their height and width, such as {{"map_sides": [{pixels // height}, {height}]}}, or --set '
            f"map_sides=[{pixels // height},{height}]"
        )
    return channels, sides[0], sides[1]


def _numbers(name: str, settings: Settings, default: list[Any], sure: bool, count: int) -> list[Any]:
    """One for every convolution, or two, of height and width; of enlargements one."""
    given = settings.choose(name, default, default if sure else UNKNOWN)
    of_two = () if name == "enlarge" else (2,)
    if not (isinstance(given, list | tuple) and len(given) == count and all(_is_whole(n, of_two) for n in given)):
        or_two = " (or two: height and width)" if of_two else ""
        raise ValueError(f"{name} must be {count} whole numbers, one for every convolution{or_two}, such as {default}")
    return [tuple(n) if isinstance(n, list) else n for n in given]


def _is_whole(value: Any, lengths: tuple[int, ...]) -> bool:
    if isinstance(value, list | tuple):
        return len(value) in lengths and all(_is_whole(inner, ()) for inner in value)
    return type(value) is int and value >= 0


def chain_of(state: Mapping[str, Tensor]) -> Chain | None:
    """The chain of a state dict whose tensors all belong to one; None where some do not, or do not fit."""
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        module, _, part = name.rpartition(".")
        modules.setdefault(module, {})[part] = tensor
    kinds = {name: _kind(parts) for name, parts in modules.items()}
    if "other" in kinds.values() or "layer" not in kinds.values():
        return None
    for is_square in (True, False):
        for order in _orders(kinds, modules):
            links = _links(order, modules, kinds, is_square)
            if links is not None:
                return Chain(tuple(links))
    return None


def _kind(parts: Mapping[str, Tensor]) -> str:
    tensors = {name: t for name, t in parts.items() if name != "num_batches_tracked"}
    weight = tensors.get("weight")
    if "running_mean" in tensors:
        size = tensors["running_mean"].shape
        known = tensors.keys() <= {"weight", "bias", "running_mean", "running_var"} and "running_var" in tensors
        return "norm" if known and len(size) == 1 and all(t.shape == size for t in tensors.values()) else "other"
    if weight is None or not tensors.keys() <= {"weight", "bias"} or 0 in weight.shape:
        return "other"
    return "layer" if weight.ndim in (2, 4) else "other"


def _orders(kinds: Mapping[str, str], modules: Mapping[str, Mapping[str, Tensor]]) -> Iterable[list[str]]:
    """Orders that the modules may run in, the likeliest first."""
    written = list(kinds)
    by_number = sorted(written, key=_natural)
    is_dense = {name: kinds[name] == "layer" and modules[name]["weight"].ndim == 2 for name in written}
    dense_first = [*(n for n in by_number if is_dense[n]), *(n for n in by_number if not is_dense[n])]
    # A file sorted by name puts layer 10 before layer 3.
    yield from ([by_number, dense_first] if written == sorted(written) else [written, by_number])
    layers = [name for name in dense_first if kinds[name] == "layer"]
    norms = [name for name in by_number if kinds[name] == "norm"]
    paired = []
    for name in layers:
        paired.append(name)
        size = len(modules[norms[0]]["running_mean"]) if norms else 0
        if size and size in modules[name]["weight"].shape[:2] and name != layers[-1]:
            paired.append(norms.pop(0))
    if not norms:
        yield paired


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _links(
    order: list[str], modules: Mapping[str, dict[str, Tensor]], kinds: Mapping[str, str], is_square: bool
) -> list[Link] | None:
    """Links in that order, None if they do not fit one another; ``is_square`` asks that of a dense layer's map."""
    links: list[Link] = []
    last = ""
    for name in order:
        parts = modules[name]
        if kinds[name] == "norm":
            if not links or not _takes(links[-1], parts, _gap(last, name)):
                return None
            links[-1].norm = {part: tensor for part, tensor in parts.items() if part != "num_batches_tracked"}
        else:
            link = _fitting(links[-1] if links else None, name, parts, _gap(last, name), is_square)
            if link is None:
                return None
            links.append(link)
        last = name
    spatial = [link for link in links if link.kind != "dense"]
    if not spatial or links[-1].kind == "dense" or links[-1].norm or links[-1].out not in (1, 3, 4):
        return None
    return links


def _takes(link: Link, norm: Mapping[str, Tensor], gap: int | None) -> bool:
    """Whether a normalisation belongs to the link before it; a function between them is of another network."""
    size = len(norm["running_mean"])
    if link.norm or (gap and (gap > 1 or link.kind != "dense" or size == link.out)):
        return False
    return size == link.out or (link.kind == "dense" and link.out % size == 0)


def _gap(last: str, name: str) -> int | None:
    """Modules between two of one ``nn.Sequential``."""
    (before, _, first), (after, _, second) = last.rpartition("."), name.rpartition(".")
    if before == after and last and first.isdecimal() and second.isdecimal():
        return int(second) - int(first) - 1
    return None


def _fitting(
    before: Link | None, name: str, parts: Mapping[str, Tensor], gap: int | None, is_square: bool
) -> Link | None:
    weight = parts["weight"]
    if gap is not None and gap < 0:
        return None
    if weight.ndim == 2:
        fits = before is None or (
            before.kind == "dense" and before.over != "channels" and weight.shape[1] == before.out
        )
        link = Link(name, "dense", parts, gap) if fits else None
    elif before is None:
        link = Link(name, "transposed", parts, gap)
    else:
        link = _convolution(before, name, parts, gap, is_square)
    bias = parts.get("bias")
    return link if link is not None and (bias is None or bias.shape == (link.out,)) else None


def _convolution(before: Link, name: str, parts: Mapping[str, Tensor], gap: int | None, is_square: bool) -> Link | None:
    weight = parts["weight"]
    kinds: list[Literal["transposed", "convolution"]] = ["transposed", "convolution"]
    if {*weight.shape[2:]} <= {1, 3} and re.search("transpos|convt|deconv|tconv", name) is None:
        kinds.reverse()
    for kind in kinds:
        channels = weight.shape[0 if kind == "transposed" else 1]
        if before.kind != "dense":
            if channels == before.out:
                return Link(name, kind, parts, gap)
            continue
        if before.over == "channels" and channels != len(before.norm["running_mean"]):
            continue
        pixels, left = divmod(before.out, channels)
        side = math.isqrt(pixels)
        if pixels and not left and (side * side == pixels or not is_square):
            # Of other maps only the number of pixels is known: see _map_shape.
            before.map_shape = (channels, side, side) if side * side == pixels else (channels, 0, pixels)
            return Link(name, kind, parts, gap)
    return None
