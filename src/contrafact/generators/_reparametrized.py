"""Weights that a program computes of others before it uses them: by spectral norm, by weight norm, by pruning.

torch keeps what such a weight is computed of in its place (``weight_orig`` and ``weight_u``; ``weight_g`` and
``weight_v``; ``parametrizations.weight.…``). Here the weight itself comes out, as a network in evaluation uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_PARTS = ("_orig", "_u", "_v", "_g", "_mask")
"""Ends of the names that torch's hooks give what a tensor is computed of."""
_LATER = {"original": "_orig", "original0": "_g", "original1": "_v", "0._u": "_u", "0._v": "_v"}
"""The same, in the names of ``torch.nn.utils.parametrizations``; of weight norm length and direction."""
_INFIX = "parametrizations."


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with such weights in place of their parts, in the order of the file; itself where it has none.

    Args:
        state: by name.

    Raises:
        ValueError: parts whose shapes do not belong together.

    >>> half = {"0.weight_orig": torch.eye(2) * 2, "0.weight_u": torch.eye(2)[0], "0.weight_v": torch.eye(2)[0]}
    >>> folded(half)["0.weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        base, part = _whose(name)
        found.setdefault(base, {})[part] = tensor
    done: dict[str, Tensor] = {}
    for base, held in found.items():
        if held.keys() == {"_g", "_v"} or ("_orig" in held and len(held) > 1):
            done[base] = held[""] if "" in held else _computed(base, held)  # files of old versions keep it, too
        else:
            done |= {f"{base}{part}": tensor for part, tensor in held.items()}
    return done


def _whose(name: str) -> tuple[str, str]:
    """The tensor that ``name`` is a part of, and which part; the name itself and nothing for others."""
    if _INFIX in name:
        module, _, rest = name.partition(_INFIX)
        owned, _, part = rest.partition(".")
        return (f"{module}{owned}", _LATER[part]) if part in _LATER else (name, "")
    part = next((end for end in _PARTS if name.endswith(f"weight{end}")), "")
    return name.removesuffix(part), part


def _computed(name: str, parts: Mapping[str, Tensor]) -> Tensor:
    try:
        if "_g" in parts:
            return _of_length(parts["_v"].float(), parts["_g"].float())
        weight = parts["_orig"].float()
        if "_mask" in parts:
            return weight * parts["_mask"]
        return _divided(weight, parts["_u"].float(), parts.get("_v"))
    except (KeyError, RuntimeError) as error:
        shapes = ", ".join(f"{name}{part} {list(tensor.shape)}" for part, tensor in parts.items())
        raise ValueError(f"what {name} is computed of does not fit together: {shapes}") from error


def _of_length(direction: Tensor, length: Tensor) -> Tensor:
    kept = [axis for axis in range(length.ndim) if length.shape[axis] > 1]
    axes = [axis for axis in range(direction.ndim) if axis not in kept]
    scaled: Tensor = direction * (length / torch.linalg.vector_norm(direction, dim=axes, keepdim=True))
    return scaled


def _divided(weight: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
    """The weight over its largest singular value, which the stored vectors give.

    A transposed convolution's rows are its second axis. Where the vectors' lengths fit both, the axis that they are the
    singular vectors of gives the larger product.
    """
    found = []
    for axis in (0, 1):
        rows = weight.movedim(axis, 0).flatten(1)
        # Files of old versions lack the right vector; it follows from the left one.
        columns = F.normalize(rows.T @ left, dim=0) if right is None and len(rows) == len(left) else right
        if columns is not None and rows.shape == (len(left), len(columns)):
            found.append(torch.dot(left, rows @ columns.float()))
    if not found:
        raise RuntimeError("no axis fits")
    return weight / max(found, key=abs)
