"""What the readers of NVIDIA's TensorFlow programs share: ProgGAN's, StyleGAN's, StyleGAN2's and StyleGAN2-ADA's.

Those programs pickle a tuple of networks, ``(G, D, Gs)``, the last with running averages of the first one's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from contrafact.core.inert_records import Record
from contrafact.generators._stored import NoGenerator, TensorFlowNetwork, take
from contrafact.generators._style_layouts import Tensors


def tensorflow_generator(content: Any) -> TensorFlowNetwork | None:
    """The generator among a file's networks, running averages where there are any; None if it holds no such network.

    Raises:
        NoGenerator: there are networks, and none makes images.
    """
    held = _held(content)
    if any(isinstance(part, Record) and part.name == "network.Network" for part in held):
        raise NoGenerator(
            "the file is of ProgGAN's program in Theano, which is not read; the later program, in TensorFlow, reads it "
            "(misc.load_pkl) and what that writes is read here"
        )
    found = [part for part in held if isinstance(part, TensorFlowNetwork)]
    makers = [network for network in found if any("ToRGB" in name for name in network.variables)]
    if found and not makers:
        names = ", ".join(f"{network.name[:60]!r} ({network.function[:60]})" for network in found[:3])
        raise NoGenerator(
            f"of NVIDIA's TensorFlow networks the file holds {names}, none of which makes images; expected the tuple "
            "(G, D, Gs) that the programs write, or one of its generators"
        )
    averaged = [network for network in makers if network.name == "Gs"]
    return (averaged or makers)[-1] if makers else None


def _held(content: Any) -> list[Any]:
    if isinstance(content, Mapping):
        return list(content.values())
    return list(content) if isinstance(content, tuple | list) else [content]


def count_sides(variables: Tensors, place: str = "") -> int:
    """How many of the sides 4, 8, … have layers."""
    held = {name.removeprefix(place).partition("/")[0] for name in variables if name.startswith(place)}
    count = 0
    while f"{4 << count}x{4 << count}" in held:
        count += 1
    return count


def take_kernel(variables: Tensors, name: str, family: str) -> Tensor:
    """A convolution's weights ``(H, W, I, O)`` as ``(O, I, H, W)``.

    Raises:
        ValueError: it is missing, or has other sides.
    """
    kernel = take(variables, name, family)
    if kernel.ndim != 4:
        raise ValueError(f"the {family} checkpoint's {name!r} must be of 4 sides, got shape {tuple(kernel.shape)}")
    return kernel.permute(3, 2, 0, 1)


def mapping_tensors(variables: Tensors, family: str, bias_gain: float = 1.0) -> dict[str, Tensor]:
    """Our mapping network's tensors; ``bias_gain`` scales its biases."""
    tensors: dict[str, Tensor] = {}
    count = sum(name.startswith("mapping/Dense") and name.endswith("/weight") for name in variables)
    for i in range(max(count, 1)):
        tensors[f"mapping.{i}.weight"] = take(variables, f"mapping/Dense{i}/weight", family).T
        tensors[f"mapping.{i}.bias"] = take(variables, f"mapping/Dense{i}/bias", family) * bias_gain
    if "dlatent_avg" in variables:
        tensors["w_avg"] = take(variables, "dlatent_avg", family)
    return tensors


def check_usual(arguments: Mapping[str, Any], usual: Mapping[str, Any], family: str) -> None:
    """Refuse a network that was built with another than the usual value of an option (ValueError)."""
    for name, value in usual.items():
        given = arguments.get(name, value)
        same = given == value if isinstance(given, bool | int | float | str | None) else False
        if not same:
            raise ValueError(f"the {family} was built with {name} = {given!r:.60}; only {value!r} is supported")
