"""The ways BigGAN's weights are stored, translated to ours: Hugging Face's and Brock's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.generators._reparametrized import folded
from contrafact.generators._settings import UNKNOWN, Settings, lookup
from contrafact.generators._stored import state_dicts, take

State = Mapping[str, Tensor]


_ACTIVATIONS = {"relu": "relu", "inplace_relu": "relu", "ir": "relu"}


class Translated(NamedTuple):
    """Arguments and state dict of our BigGAN."""

    arguments: dict[str, Any]
    tensors: dict[str, Tensor]


def translate(content: Any, settings: Settings) -> Translated | None:
    """Recognise and translate what a checkpoint holds; None if it is no BigGAN.

    Raises:
        ValueError: missing tensors or a missing ``config.json``.
    """
    for state in state_dicts(content):
        if any(name.startswith("generator.gen_z.weight") for name in state):
            config = content.get("config.json")
            if not isinstance(config, dict):
                raise ValueError(
                    "Hugging Face's BigGAN needs its config.json beside the weights; give the folder that holds both"
                )
            return _from_hugging_face(folded(state), config)
        if "blocks.0.0.conv1.weight" in state and "output_layer.0.gain" in state:
            return _from_brock(state, settings)
    return None


def _take(state: State, name: str) -> Tensor:
    return take(state, name, "BigGAN")


def _from_hugging_face(state: State, config: Mapping[str, Any]) -> Translated:
    try:
        width, plan = int(config["channel_width"]), config["layers"]
        layers = [(bool(up), width * int(before), width * int(after)) for up, before, after in plan]
        eps, rows, position = float(config["eps"]), int(config["n_stats"]), int(config["attention_layer_position"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"config.json is not Hugging Face's BigGAN configuration ({error!r})") from error
    # Attention takes a place of its own in their list of layers.
    places = [i if i < position else i + 1 for i in range(len(layers))]
    embedding = _take(state, "embeddings.weight").T
    first = _take(state, "generator.gen_z.weight")
    channels = layers[0][1]
    side = int((len(first) // channels) ** 0.5)
    tensors = {
        "embed.weight": embedding,
        # Their first map has its channels last.
        "first.weight": first.view(side, side, channels, -1).permute(2, 0, 1, 3).flatten(0, 2),
        "first.bias": _take(state, "generator.gen_z.bias").view(side, side, channels).permute(2, 0, 1).flatten(),
        "to_image.weight": _take(state, "generator.conv_to_rgb.weight")[:3],
        "to_image.bias": _take(state, "generator.conv_to_rgb.bias")[:3],
        "norm.weight": _take(state, "generator.bn.weight"),
        "norm.bias": _take(state, "generator.bn.bias"),
        "norm.means": _take(state, "generator.bn.running_means"),
        "norm.variances": _take(state, "generator.bn.running_vars"),
    }
    for i, place in enumerate(places):
        for j in range(4):
            theirs, ours = f"generator.layers.{place}", f"blocks.{i}"
            tensors |= {
                f"{ours}.convs.{j}.weight": _take(state, f"{theirs}.conv_{j}.weight"),
                f"{ours}.convs.{j}.bias": _take(state, f"{theirs}.conv_{j}.bias"),
                f"{ours}.norms.{j}.gain.weight": _take(state, f"{theirs}.bn_{j}.scale.weight"),
                f"{ours}.norms.{j}.offset.weight": _take(state, f"{theirs}.bn_{j}.offset.weight"),
                f"{ours}.norms.{j}.means": _take(state, f"{theirs}.bn_{j}.running_means"),
                f"{ours}.norms.{j}.variances": _take(state, f"{theirs}.bn_{j}.running_vars"),
            }
    attention = [position] if 0 <= position < len(layers) else []
    for place in attention:
        theirs, ours = f"generator.layers.{place}", f"attentions.{place}"
        for name, part in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o_conv")):
            tensors[f"{ours}.{name}.weight"] = _take(state, f"{theirs}.snconv1x1_{part}.weight")
        tensors[f"{ours}.gamma"] = _take(state, f"{theirs}.gamma").reshape(())
    arguments = {
        "layers": layers,
        "z_dim": first.shape[1] - embedding.shape[1],
        "embed_dim": embedding.shape[1],
        "classes": len(embedding),
        "deep": True,
        "conditioning": "all",
        "attention": attention,
        "statistics": rows,
        "prior_bound": 2.0,
        "base": side,
        "eps": eps,
        "last_eps": eps,
    }
    return Translated(arguments, tensors)


def _depth(layers: list[tuple[int, int]], config: Mapping[str, Any], settings: Settings) -> int:
    """How many of BigGAN-deep's blocks share a side; the last of them doubles it.

    Raises:
        ValueError: a number that does not divide the blocks.
    """
    if any(before != after for before, after in layers):
        return 2  # the first keeps the channels, the second brings them down: no other number of blocks fits together
    # All channels are equal in the program's setting for 32 pixels alone, which has three sides.
    guess = len(layers) // 3 if len(layers) % 3 == 0 else 2
    depth: int = settings.choose("depth", guess, lookup(config, "G_depth"))
    if not isinstance(depth, int) or depth < 1 or len(layers) % depth:
        raise ValueError(f"depth must divide the {len(layers)} blocks of this BigGAN-deep, got {depth!r}")
    return depth


def _config(settings: Settings) -> Mapping[str, Any]:
    """The training's options, which lie beside the weights in a file of the same suffix."""
    name = settings.file_name if settings.file_name.endswith(".pth") else "G_ema.pth"
    return settings.part_beside(re.sub(r"^(G_ema|G)", "state_dict", name), "config")


def _from_brock(state: State, settings: Settings) -> Translated:
    found = {int(m.group(1)) for name in state if (m := re.match(r"blocks\.(\d+)\.0\.conv1\.weight", name))}
    count = len(found)
    deep = "blocks.0.0.conv4.weight" in state
    per_block = 4 if deep else 2
    shared = "shared.weight" in state
    tensors: dict[str, Tensor] = {}
    sizes = []
    for i in range(count):
        theirs, ours = f"blocks.{i}.0", f"blocks.{i}"
        for j in range(per_block):
            tensors[f"{ours}.convs.{j}.weight"] = _normalised(state, f"{theirs}.conv{j + 1}")
            tensors[f"{ours}.convs.{j}.bias"] = _take(state, f"{theirs}.conv{j + 1}.bias")
            norm = f"{theirs}.bn{j + 1}"
            for mine, name in (("gain", "gain"), ("offset", "bias")):
                weight = _normalised(state, f"{norm}.{name}")
                tensors[f"{ours}.norms.{j}.{mine}.weight"] = weight if shared else weight.T  # a table by class
            _statistics(state, norm, tensors, f"{ours}.norms.{j}")
        if not deep:
            tensors[f"{ours}.bypass.weight"] = _normalised(state, f"{theirs}.conv_sc")
            tensors[f"{ours}.bypass.bias"] = _take(state, f"{theirs}.conv_sc.bias")
        before = tensors[f"{ours}.convs.0.weight"].shape[1]
        after = tensors[f"{ours}.convs.{per_block - 1}.weight"].shape[0]
        sizes.append((before, after))
    config = _config(settings)
    depth = _depth(sizes, config, settings) if deep else 1
    layers = [(i % depth == depth - 1, before, after) for i, (before, after) in enumerate(sizes)]
    attention = [i + 1 for i in range(count) if {f"blocks.{i}.1.theta.weight", f"blocks.{i}.1.gamma"} & state.keys()]
    for position in attention:
        for name in ("theta", "phi", "g", "o"):
            tensors[f"attentions.{position}.{name}.weight"] = _normalised(state, f"blocks.{position - 1}.1.{name}")
        tensors[f"attentions.{position}.gamma"] = _take(state, f"blocks.{position - 1}.1.gamma").reshape(())
    condition = tensors["blocks.0.norms.0.gain.weight"].shape[1]
    # Without a shared embedding, gains and offsets are looked up by class: an embedding of ones and zeros does that.
    embedding = _take(state, "shared.weight") if shared else torch.eye(condition)
    embed_dim = embedding.shape[1]
    first = _normalised(state, "linear")
    tensors |= {
        "embed.weight": embedding,
        "first.weight": first,
        "first.bias": _take(state, "linear.bias"),
        "norm.weight": _take(state, "output_layer.0.gain"),
        "norm.bias": _take(state, "output_layer.0.bias"),
        "to_image.weight": _normalised(state, "output_layer.2"),
        "to_image.bias": _take(state, "output_layer.2.bias"),
    }
    _statistics(state, "output_layer.0", tensors, "norm")
    if condition == embed_dim:
        conditioning, z_dim = "class", first.shape[1]
    elif deep:
        conditioning, z_dim = "all", first.shape[1] - embed_dim
        for name in [n for n in tensors if n.endswith(("gain.weight", "offset.weight")) or n == "first.weight"]:
            # They put the embedding before the noise.
            tensors[name] = torch.cat((tensors[name][:, embed_dim:], tensors[name][:, :embed_dim]), dim=1)
    else:
        conditioning, z_dim = "hierarchical", (condition - embed_dim) * (count + 1)
    arguments = {
        "layers": layers,
        "z_dim": z_dim,
        "embed_dim": embed_dim,
        "classes": len(embedding),
        "deep": deep,
        "conditioning": conditioning,
        "attention": attention,
        "base": int((len(first) // layers[0][1]) ** 0.5),
        "image_channels": len(tensors["to_image.weight"]),
        "eps": settings.choose("eps", 1e-5, lookup(config, "BN_eps")),
        "activation": settings.choose("activation", "relu", _ACTIVATIONS.get(str(config.get("G_nl")), UNKNOWN)),
    }
    return Translated(arguments, tensors)


def _normalised(state: State, name: str) -> Tensor:
    """A weight divided by its spectral norm, one power iteration from the stored left vector."""
    weight = _take(state, f"{name}.weight")
    if f"{name}.u0" not in state:
        return weight
    matrix = weight.flatten(1)
    right = F.normalize(_take(state, f"{name}.u0") @ matrix)
    largest: Tensor = (right @ matrix.T).norm()
    return weight / largest


def _statistics(state: State, theirs: str, tensors: dict[str, Tensor], ours: str) -> None:
    for mine, names in (
        ("means", ("stored_mean", "bn.stored_mean", "bn.running_mean")),
        ("variances", ("stored_var", "bn.stored_var", "bn.running_var")),
    ):
        name = next((n for n in names if f"{theirs}.{n}" in state), names[0])
        tensors[f"{ours}.{mine}"] = _take(state, f"{theirs}.{name}")[None]
