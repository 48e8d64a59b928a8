"""Directions as other programs write them, told by what their files hold, and turned the way they are meant.

A magnitude of 1 means here what it means there. Each reader below says how its program applies what it stores:

- GANSpace: ``w + σ·lat_comp[i]·lat_stdev[i]``; latents of lat_stdev 1 are prior noise, others W.
- SeFa (genforce), InterFaceGAN and bare vectors: ``w + d·row``. InterFaceGAN first moves a latent (N, L)
  onto the boundary; here a step is counted from where the latent is.
- rosinality's closed-form factorisation: ``w + degree·eigvec[:, i]``: columns.
- LatentDiscovery: ``z + deformator(ε·e_i)``: columns of the weight, or of the matrix exponential of the
  skew-symmetric part.
- LatentCLR: ``z + α·unit(net_i(z))``.

Shape suffixes: N samples, L latent dimensions, D directions, K layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.core.artefact_names import find_named
from contrafact.core.describe import what_is
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.files import read_json
from contrafact.core.foreign import first_line
from contrafact.editing.deformator import DeformatorDirections, Kind
from contrafact.editing.foreign_content import is_array, numbers, read_content, refuse_styleclip, texts

EXPECTED = (
    "directions of contrafact's (a run folder or *.safetensors), GANSpace's .npz (lat_comp, lat_stdev), vectors (D, L) "
    "or one for each layer (K, L) as .npy, .npz, .pt, .safetensors or text (SeFa, InterFaceGAN), rosinality's "
    "factor.pt (eigvec), LatentDiscovery's deformator_*.pt or LatentCLR's model (params, or nets.0.linear_1.weight)"
)

_VECTORS = (
    *("boundary", "boundaries", "direction", "directions", "vector", "vectors", "components", "comp"),
    *("eigen_vectors", "eigenvectors", "weight"),
)
_LATENTS = ("w", "wp", "ws", "z", "latent", "latents", "latent_codes", "projected_w")
_BESIDES = ("layers", "layer_idx", "values", "eigen_values", "eigenvalues", "meta_data", "names")
_NET = re.compile(r"nets\.(\d+)\.(linear|batchnorm)_(\d+)\.(\w+)")
_MOST_NETS = 4096
_MOST_OF_A_DIMENSION, _FEW_DIMENSIONS = 4, 64
"""Directions for each dimension, and dimensions of a small latent space, beyond which rows are no directions."""


@dataclass(frozen=True)
class Found:
    """Directions of a file.

    Attributes:
        program: whose they are.
        content: vectors ``(D, L)``, vectors per layer ``(D, K, L)``, or directions that are more than vectors.
        unit: what a magnitude of 1 is.
        names: D names, or none.
        space: edit space that the program found them in; None where it does not say.
        layers: style layers they act on; None for all.
        is_bare: whether rows ``(D, L)`` may as well be the layers of one direction.
        remarks: what a reader should know.
    """

    program: str
    content: Tensor | Directions = field(repr=False)
    unit: str
    names: tuple[str, ...] = ()
    space: str | None = None
    layers: tuple[int, ...] | None = None
    is_bare: bool = False
    remarks: tuple[str, ...] = ()


def find_directions(path: Path) -> Found:
    """The directions in another program's file.

    Raises:
        ValueError: no such file, damaged, of no kind known here (the message says what it holds), or of numbers that
            cannot be directions.
    """
    content = read_content(path, EXPECTED)
    refuse_styleclip(content, path)
    found = None
    if isinstance(content, Mapping):
        for reader in (_ganspace, _rosinality, _deformator, _latentclr, _named):
            found = found or reader(content, path)
    elif is_array(content) or (isinstance(content, list | tuple) and content and all(map(is_array, content))):
        found = _rows(content, path, path.stem)
    if found is None:
        raise ValueError(f"{path} holds no directions known here: it is {what_is(path)}; expected {EXPECTED}")
    return found


def _ganspace(content: Mapping[Any, Any], path: Path) -> Found | None:
    """``lat_comp (D, 1, L)`` and ``lat_stdev (D,)``; ``comp`` and ``std`` in e4e's copy of it."""
    comp, stdev = ("lat_comp", "lat_stdev") if "lat_comp" in content else ("comp", "std")
    if comp not in content or (comp == "comp" and stdev not in content):
        return None
    vectors = _vectors(content[comp], f"{path}, {comp}")
    if stdev not in content:
        raise ValueError(f"{path} is of GANSpace but has no {stdev}, by which it scales its steps; get the file again")
    deviations = numbers(content[stdev], f"{path}, {stdev}").flatten()
    if len(deviations) != len(vectors) or not (deviations > 0).all():
        raise ValueError(
            f"{path}: expected a positive {stdev} for each of the {len(vectors)} components, got {len(deviations)}, "
            f"the smallest {float(deviations.min()):g}"
        )
    scaled = vectors * deviations.view(-1, *[1] * (vectors.ndim - 1))
    space = "z" if (deviations == 1).all() else "w"  # it measures them in W alone
    return Found("GANSpace", scaled, "a standard deviation along the component", space=space)


def _rosinality(content: Mapping[Any, Any], path: Path) -> Found | None:
    """``eigvec (L, D)`` of closed_form_factorization.py, a direction in each column."""
    if "eigvec" not in content:
        return None
    columns = numbers(content["eigvec"], f"{path}, eigvec")
    if columns.ndim != 2:
        raise ValueError(f"{path}: expected eigvec of shape (L, D), got {tuple(columns.shape)}")
    return Found(
        "rosinality's closed-form factorisation", columns.T.contiguous(), "a latent step of length 1", space="w"
    )


# -- LatentDiscovery --------------------------------------------------------------------------------------------------


def _deformator(content: Mapping[Any, Any], path: Path) -> Found | None:
    """``deformator_*.pt``, or the ``deformator`` of a checkpoint; its kind stands in args.json beside or above it."""
    state = content["deformator"] if isinstance(content.get("deformator"), Mapping) else content
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    program, unit = "LatentDiscovery", "a deformator's input of 1"
    if "log_mat_half" in state:
        half = numbers(state["log_mat_half"], f"{path}, log_mat_half").double()
        if half.ndim != 2 or half.shape[0] != half.shape[1]:
            raise ValueError(f"{path}: expected a square log_mat_half, got {tuple(half.shape)}")
        return Found(program, torch.matrix_exp(half - half.T).T.float(), unit)
    if "fc1.weight" in state and "fc4.weight" in state:
        return Found(program, _built(path, state, "fc"), unit)
    if set(state) not in ({"linear.weight"}, {"linear.weight", "linear.bias"}):
        return None
    said = _said_beside(path)
    if said == "proj":
        return Found(program, _built(path, state, "proj"), unit)
    weight = numbers(state["linear.weight"], f"{path}, linear.weight")
    if weight.ndim != 2:
        raise ValueError(f"{path}: expected linear.weight of shape (L, D), got {tuple(weight.shape)}")
    remarks = []
    if said is None:
        remarks.append("read as a deformator of the kind linear; for proj put its args.json beside it, which says so")
    bias = numbers(state["linear.bias"], f"{path}, linear.bias") if "linear.bias" in state else torch.zeros(1)
    if bias.any():
        remarks.append(
            f"its bias (length {float(bias.norm()):.3g}), which the original adds at every magnitude, 0 included, is "
            "left out"
        )
    return Found(program, weight.T.contiguous(), unit, remarks=tuple(remarks))


def _said_beside(path: Path) -> str | None:
    """Kind of a deformator as args.json says it, beside the file or in the folder above."""
    for place in (path.parent / "args.json", path.parent.parent / "args.json"):
        if place.is_file():
            said = read_json(place, finite=False)
            kind = said.get("deformator") if isinstance(said, dict) else None
            if isinstance(kind, str):
                return kind
    return None


def _built(path: Path, state: Mapping[str, Any], kind: Kind) -> Directions:
    """A deformator with the weights of a file, once they are known to belong together."""
    weights = {key: _number_or_numbers(value, f"{path}, {key}") for key, value in state.items()}
    first, last = ("linear.weight", "linear.weight") if kind == "proj" else ("fc1.weight", "fc4.weight")
    if weights[first].ndim != 2 or weights[last].ndim != 2:
        raise ValueError(f"{path}: expected matrices {first} and {last}, got {tuple(weights[first].shape)}")
    count, latent_dim = weights[first].shape[1], weights[last].shape[0]
    with torch.device("meta"):
        directions = DeformatorDirections(latent_dim, count, kind, weights[first].shape[0])
    try:
        directions.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"{path} is no deformator of the kind {kind}: {str(error).splitlines()[-1].strip()}"
        ) from error
    return directions


def _number_or_numbers(value: Any, what: str) -> Tensor:
    found = numbers(value, what)
    return found.long() if found.ndim == 0 else found  # the count of batches that normalisation has seen


# -- LatentCLR --------------------------------------------------------------------------------------------------------


def _latentclr(content: Mapping[Any, Any], path: Path) -> Found | None:
    """``model`` of a checkpoint: ``params (D, L)``, or networks ``nets.0.linear_1.weight`` …"""
    state = content["model"] if isinstance(content.get("model"), Mapping) else content
    program, unit = "LatentCLR", "a latent step of length 1 (α = 1)"
    if set(state) == {"params"}:
        vectors = _vectors(state["params"], f"{path}, params")
        if vectors.ndim != 2:
            raise ValueError(f"{path}: expected params of shape (D, L), got {tuple(vectors.shape)}")
        _refuse_zeros(vectors, path)
        return Found(program, GlobalDirections.of(vectors), unit)
    if "nets.0.linear_1.weight" not in state:
        return None
    nets: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        part = _NET.fullmatch(str(key))
        if part is None:
            raise ValueError(
                f"{path}: LatentCLR's models have no {str(key)[:60]!r}; expected nets.0.linear_1.weight, …"
            )
        nets.setdefault(int(part[1]), {})[f"{part[2]}.{int(part[3]) - 1}.{part[4]}"] = numbers(value, f"{path}, {key}")
    if sorted(nets) != list(range(len(nets))) or len(nets) > _MOST_NETS:
        raise ValueError(f"{path}: expected networks nets.0, nets.1, …, got {len(nets)} up to nets.{max(nets)}")
    depth = sum(key.startswith("linear.") and key.endswith(".weight") for key in nets[0])
    try:
        layers = [[_folded(net, layer) for net in nets.values()] for layer in range(depth)]
        stacked = [(torch.stack([w for w, _ in each]), torch.stack([b for _, b in each])) for each in layers]
        (_, hidden_dim, latent_dim), has_last_bias = stacked[0][0].shape, bool(stacked[-1][1].any())
        with torch.device("meta"):  # a first layer may claim sizes that the others do not have
            directions = find_named("directions/latent")(
                latent_dim, len(nets), depth, hidden_dim, last_bias=has_last_bias
            )
        biases = [bias_DO[:, None] for _, bias_DO in stacked[: len(directions.biases_D1O)]]
        weights = {f"weights_DIO.{i}": w.transpose(1, 2).contiguous() for i, (w, _) in enumerate(stacked)}
        weights |= {f"biases_D1O.{i}": bias for i, bias in enumerate(biases)}
        directions.load_state_dict(weights, assign=True)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path}: the layers of its LatentCLR networks do not fit together ({first_line(error)}); get it again"
        ) from error
    return Found(program, directions, unit)


def _folded(net: Mapping[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    """Weight ``(O, I)`` and bias ``(O,)`` of a linear layer and the batch normalisation behind it, as in evaluation."""
    weight = net[f"linear.{layer}.weight"].double()
    bias = net.get(f"linear.{layer}.bias", torch.zeros(len(weight))).double()
    if f"batchnorm.{layer}.weight" in net:
        gain, offset, mean, variance = (
            net[f"batchnorm.{layer}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gain / (variance + 1e-5).sqrt()
        weight, bias = gain[:, None] * weight, gain * (bias - mean) + offset
    return weight.float(), bias.float()


# -- vectors ----------------------------------------------------------------------------------------------------------


def _named(content: Mapping[Any, Any], path: Path) -> Found | None:
    """One array under any name, or under a known one beside others; or vectors of one shape, each with its name."""
    arrays = {str(key): value for key, value in content.items() if is_array(value) and str(key) not in _BESIDES}
    known = [name for name in _VECTORS if name in arrays]
    if len(arrays) == 1 and not known:
        only = next(iter(arrays))
        if "." in only or only in _LATENTS:  # a network's weight, or latents
            return None
    if len(arrays) == 1 or known:
        name = known[0] if known else next(iter(arrays))
        called = path.stem if known or re.fullmatch(r"arr_\d+", name) else name
        found = _rows(arrays[name], path, called, f"{path}, {name}")
        names = None if isinstance(found.content, Directions) else texts(content.get("names"), len(found.content))
        if names is not None:
            found = replace(found, names=names, is_bare=False)
        return replace(found, layers=_layers(content, path))
    if not arrays or len(arrays) != len(content):
        return None
    vectors = {name: _vectors(value, f"{path}, {name}") for name, value in arrays.items() if _is_vector(value)}
    if len(vectors) != len(arrays) or len({vector.shape for vector in vectors.values()}) != 1:
        return None
    if any(len(vector) != 1 for vector in vectors.values()):  # (K, L) each: a direction with a vector per layer
        vectors = {name: vector[None] for name, vector in vectors.items() if vector.ndim == 2}
        if len(vectors) != len(arrays):
            return None
    together = torch.cat(list(vectors.values()))
    _refuse_zeros(together, path)
    return Found("named vectors", together, "a latent step of its length", tuple(vectors))


def _is_vector(value: Any) -> bool:
    return bool(1 <= value.ndim <= 3 and value.shape[-1] > 1)


def _layers(content: Mapping[Any, Any], path: Path) -> tuple[int, ...] | None:
    """Style layers that a file names beside its vectors."""
    if "layers" not in content:
        return None
    found = numbers(content["layers"], f"{path}, layers").flatten()
    whole = sorted({int(number) for number in found.tolist()})
    if len(whole) != len(found) or whole[0] < 0 or not torch.equal(found.sort().values, torch.tensor(whole).float()):
        raise ValueError(f"{path}: expected numbers of layers, each once, got {found.tolist()[:8]}")
    return tuple(whole)


def _rows(value: Any, path: Path, called: str, what: str | None = None) -> Found:
    vectors = _vectors(value, what or str(path))
    _refuse_zeros(vectors, path)
    # Only a plain (D, L) leaves open what its rows are: (D, 1, L) has told.
    is_bare = vectors.ndim == 2 and len(vectors) > 1 and is_array(value) and value.ndim == 2
    if len(vectors) > _MOST_OF_A_DIMENSION * max(vectors.shape[-1], _FEW_DIMENSIONS):
        raise ValueError(
            f"{what or path}: {len(vectors)} rows of {vectors.shape[-1]} numbers are more than directions ever are; "
            "they seem to be latents (give them as --latents), such as StyleCLIP's W.npy; save the rows you mean"
        )
    names = (called,) if len(vectors) == 1 or is_bare else ()
    return Found("vectors", vectors, "a latent step of the vector's length", names, is_bare=is_bare)


def _vectors(value: Any, what: str) -> Tensor:
    """``(D, L)`` of ``(L,)``, ``(L, 1)``, ``(D, L)`` or ``(D, 1, L)``; ``(D, K, L)``, also of ``(D, 1, K, L)``."""
    found = numbers(value, what)
    shape = tuple(found.shape)
    if found.ndim == 2 and shape[1] == 1 < shape[0]:
        found = found.T
    elif found.ndim == 1 and shape[0] > 1:
        found = found[None]
    elif (found.ndim == 3 and shape[1] == 1) or (found.ndim == 4 and shape[1] == 1):
        found = found[:, 0]
    if found.ndim not in (2, 3) or found.shape[-1] < 2:
        raise ValueError(
            f"{what}: expected a vector (L,), directions (D, L) or (D, 1, L), or directions with a vector for each of "
            f"K layers (D, K, L), got {shape}"
        )
    return found.contiguous()


def _refuse_zeros(vectors: Tensor, path: Path) -> None:
    still = [number for number, vector in enumerate(vectors) if not vector.any()]
    if still:
        raise ValueError(
            f"{path}: {'row' if len(still) == 1 else 'rows'} {', '.join(map(str, still[:8]))} of {len(vectors)} hold "
            "only zeros, which point nowhere; save the file without them"
        )
