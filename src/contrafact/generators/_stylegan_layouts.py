"""The ways StyleGAN's weights are stored, translated to ours: NVIDIA's (TensorFlow), genforce's, rosinality's."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from contrafact.generators._settings import UNKNOWN, Settings
from contrafact.generators._stored import NoGenerator, TensorFlowNetwork, state_dicts, take
from contrafact.generators._style_layouts import (
    Tensors,
    Translated,
    check_grown,
    count_names,
    joint_embedding,
    mapping_arguments,
    mapping_lr,
    noise_for_sides,
)
from contrafact.generators._tensorflow import (
    check_usual,
    count_sides,
    mapping_tensors,
    take_kernel,
    tensorflow_generator,
)

_FUSED_FROM = 128
"""Pixels from which on programs upsample by a transposed convolution unless they are told otherwise."""

_OLD_NAMES = (
    (r"\.epilogue\.", "."),
    (r"\.style_mod\.dense\.", ".style."),
    (r"\.(linear|fc|conv)\.weight$", ".weight"),
    (r"\.wscale\.bias$", ".bias"),
    (r"\.first_layer$", ".const"),
)
"""What genforce's earlier programs (InterFaceGAN, HiGAN) call what the later ones call otherwise."""


def translate(content: Any, settings: Settings) -> Translated | None:
    """Recognise and translate what a checkpoint holds; None if it is no StyleGAN.

    Raises:
        ValueError: missing tensors, a half-grown network, or a variant that is not supported.
    """
    network = tensorflow_generator(content)
    if network is not None:
        styled = any(name.endswith("/StyleMod/weight") for name in network.variables)
        return _from_tensorflow(network, settings) if styled else None
    for state in state_dicts(content):
        if any(".apply_noise." in name for name in state):
            return _from_genforce(state, settings)
        if "generator.progression.0.conv1.input" in state:
            return _from_rosinality(state, settings)
        if "progression.0.conv1.input" in state:
            raise ValueError(
                "the file holds the synthesis of a StyleGAN of rosinality's program, without its mapping network; "
                "expected the state dict of the whole StyledGenerator (generator.…, style.…)"
            )
        if "from_rgb.0.conv.weight_orig" in state or {"input0.weight", "layer0.weight"} <= state.keys():
            raise NoGenerator("the file holds a discriminator of StyleGAN or ProgGAN, not a generator")
    return None


def _take(state: Tensors, name: str) -> Tensor:
    return take(state, name, "StyleGAN")


def _arguments(tensors: Tensors, **given: Any) -> dict[str, Any]:
    """Constructor arguments that follow from the shapes of our state dict."""
    layers = count_names(tensors, r"convs\.(\d+)\.bias")
    return {
        "size": 2 << (layers // 2),
        "channels": [tensors[f"convs.{i}.bias"].numel() for i in range(0, layers, 2)],
        "image_channels": tensors["to_image.weight"].shape[0],
        **mapping_arguments(tensors),
        **given,
    }


def _is_fused(side: int, fused: object) -> bool:
    """Whether an upsampling layer's kernel is stored as a transposed convolution reads it."""
    if fused not in (True, False, "auto"):
        raise ValueError(
            "fused says whether the upsampling layers are transposed convolutions: true, false, or auto, which is from "
            f"{_FUSED_FROM} pixels on; got {fused!r}"
        )
    return side >= _FUSED_FROM if fused == "auto" else bool(fused)


_HALVES = ("Conv0_up", "Conv1")
"""Names of a side's two layers."""

_USUAL = {
    "use_styles": True,
    "const_input_layer": True,
    "use_noise": True,
    "use_wscale": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "normalize_latents": True,
}
"""Options of NVIDIA's program that its networks leave as they are."""


def _from_tensorflow(network: TensorFlowNetwork, settings: Settings) -> Translated:
    values, arguments = network.variables, network.arguments
    check_usual(arguments, _USUAL, "StyleGAN")
    check_grown(values.get("lod"), "StyleGAN")
    tensors = mapping_tensors(values, "StyleGAN", 1 / math.sqrt(2))
    if "mapping/LabelConcat/weight" in values:
        tensors["embed.weight"] = joint_embedding(_take(values, "mapping/LabelConcat/weight"))
    tensors["const"] = _take(values, "synthesis/4x4/Const/const")[0]
    sides = [4 << i for i in range(max(count_sides(values, "synthesis/"), 1))]
    for i, (side, name) in enumerate((s, n) for s in sides for n in (("Const", "Conv") if s == 4 else _HALVES)):
        ours, theirs = f"convs.{i}", f"synthesis/{side}x{side}/{name}"
        if i:
            weight = take_kernel(values, f"{theirs}/weight", "StyleGAN")
            straight = name != "Conv0_up" or _is_fused(side, arguments.get("fused_scale", "auto"))
            tensors[f"{ours}.weight"] = weight if straight else weight.flip(2, 3)
        tensors |= {
            f"{ours}.bias": _take(values, f"{theirs}/bias"),
            f"{ours}.noise_strength": _take(values, f"{theirs}/Noise/weight"),
            f"{ours}.affine.weight": _take(values, f"{theirs}/StyleMod/weight").T,
            f"{ours}.affine.bias": _take(values, f"{theirs}/StyleMod/bias"),
        }
        if f"synthesis/noise{i}" in values:
            tensors[f"{ours}.noise"] = _take(values, f"synthesis/noise{i}")[0, 0]
    tensors["to_image.weight"] = take_kernel(values, "synthesis/ToRGB_lod0/weight", "StyleGAN").flatten(1)
    tensors["to_image.bias"] = _take(values, "synthesis/ToRGB_lod0/bias")
    kernel = arguments.get("blur_filter", [1, 2, 1])
    given = {
        "mapping_lr": mapping_lr(settings, tensors, arguments.get("mapping_lrmul", 0.01)),
        "activation": arguments.get("nonlinearity", "lrelu"),
        "mapping_activation": arguments.get("mapping_nonlinearity", "lrelu"),
        "kernel": [0, 1, 0] if kernel is None else kernel,
    }
    return Translated(_arguments(tensors, **given), tensors)


def _modern(state: Tensors) -> tuple[dict[str, Tensor], Any]:
    """Under genforce's later names; and the sides whose upsampling is fused, where the earlier names say so."""
    if not any(".epilogue." in name for name in state):
        return dict(state), UNKNOWN
    renamed, fused = {}, set()
    for name, tensor in state.items():
        if (match := re.fullmatch(r"synthesis\.layer(\d+)\.weight", name)) and tensor.ndim == 4:
            fused.add(4 << (int(match.group(1)) // 2))
            tensor = tensor.permute(3, 2, 0, 1)
        for pattern, ours in _OLD_NAMES:
            name = re.sub(pattern, ours, name)
        renamed[name] = tensor
    return renamed, fused


def _from_genforce(state: Tensors, settings: Settings) -> Translated:
    state, known = _modern(state)
    early = known is not UNKNOWN  # programs without options
    check_grown(state.get("synthesis.lod"), "StyleGAN")
    count = count_names(state, r"synthesis\.layer(\d+)\.bias")
    _check_genforce(state)
    fused = known if early else settings.choose("fused", "auto", settings.beside("fused_scale"))
    tensors: dict[str, Tensor] = {"const": _take(state, "synthesis.layer0.const")[0]}
    if "truncation.w_avg" in state:
        tensors["w_avg"] = _take(state, "truncation.w_avg")
    for i in range(max(count_names(state, r"mapping\.dense(\d+)\.(?:weight|bias)"), 1)):
        tensors[f"mapping.{i}.weight"] = _take(state, f"mapping.dense{i}.weight")
        tensors[f"mapping.{i}.bias"] = _take(state, f"mapping.dense{i}.bias") / math.sqrt(2)
    if "mapping.label_weight" in state:
        tensors["embed.weight"] = joint_embedding(_take(state, "mapping.label_weight"))
    for i in range(count):
        ours, theirs = f"convs.{i}", f"synthesis.layer{i}"
        if i:
            weight, side = _take(state, f"{theirs}.weight"), 4 << (i // 2)
            transposed = side in fused if isinstance(fused, set) else _is_fused(side, fused)
            tensors[f"{ours}.weight"] = weight if i % 2 or transposed else weight.flip(2, 3)
        tensors |= {
            f"{ours}.bias": _take(state, f"{theirs}.bias"),
            f"{ours}.noise_strength": _take(state, f"{theirs}.apply_noise.weight"),
            f"{ours}.affine.weight": _take(state, f"{theirs}.style.weight"),
            f"{ours}.affine.bias": _take(state, f"{theirs}.style.bias"),
        }
        if f"{theirs}.apply_noise.noise" in state:
            tensors[f"{ours}.noise"] = _take(state, f"{theirs}.apply_noise.noise")[0, 0]
    last = f"synthesis.output{count // 2 - 1}"
    tensors["to_image.weight"] = _take(state, f"{last}.weight").flatten(1)
    tensors["to_image.bias"] = _take(state, f"{last}.bias")
    arguments = _arguments(
        tensors,
        mapping_lr=mapping_lr(settings, tensors, 0.01 if early else settings.beside("mapping_lr_mul")),
        tanh=settings.choose("tanh", False, False if early else settings.beside("final_tanh")),
    )
    return Translated(arguments, tensors)


def _check_genforce(state: Tensors) -> None:
    """Refuse the variants that genforce's program offers beside the paper's (ValueError)."""
    if "synthesis.layer0.weight" in state:
        raise ValueError("the StyleGAN begins with a layer on the latent (const_input=False), which is not supported")
    noise = state.get("synthesis.layer1.apply_noise.noise")
    if noise is not None and (noise.ndim != 4 or noise.shape[1] != 1):
        raise ValueError("the StyleGAN's noise is a number per channel (noise_type='channel'), which is not supported")
    dims = [weight.shape[-1] for name, weight in state.items() if name == "synthesis.layer1.style.weight"]
    if dims and state.get("truncation.w_avg", torch.zeros(dims[0])).numel() != dims[0]:
        raise ValueError("the StyleGAN's mapping makes a W for each layer (repeat_w=False), which is not supported")


def _from_rosinality(state: Tensors, settings: Settings) -> Translated:
    blocks = _rosinality_blocks(state, settings)
    tensors: dict[str, Tensor] = {"const": _take(state, "generator.progression.0.conv1.input")[0]}
    for i in range(max(count_names(state, r"style\.(\d+)\.linear\.(?:weight_orig|bias)"), 1)):
        # Each layer is followed by its activation, which has a number too; the first is the normalisation.
        tensors[f"mapping.{i}.weight"] = _take(state, f"style.{2 * i + 1}.linear.weight_orig")
        tensors[f"mapping.{i}.bias"] = _take(state, f"style.{2 * i + 1}.linear.bias") / math.sqrt(2)
    noises = noise_for_sides(blocks)
    for i in range(blocks):
        theirs = f"generator.progression.{i}"
        first, second = f"convs.{2 * i}", f"convs.{2 * i + 1}"
        tensors |= {
            f"{second}.weight": _take(state, f"{theirs}.conv2.conv.weight_orig"),
            f"{second}.bias": _take(state, f"{theirs}.conv2.conv.bias"),
        }
        if i == 0:
            tensors[f"{first}.bias"] = torch.zeros_like(tensors[f"{second}.bias"])
        elif f"{theirs}.conv1.0.weight" in state:  # transposed; it takes the mean of four copies, ours their sum
            tensors[f"{first}.weight"] = _take(state, f"{theirs}.conv1.0.weight").transpose(0, 1) / 4
            tensors[f"{first}.bias"] = _take(state, f"{theirs}.conv1.0.bias")
        else:
            tensors[f"{first}.weight"] = _take(state, f"{theirs}.conv1.1.conv.weight_orig").flip(2, 3)
            tensors[f"{first}.bias"] = _take(state, f"{theirs}.conv1.1.conv.bias")
        for half, ours in ((1, first), (2, second)):
            strength = _take(state, f"{theirs}.noise{half}.weight_orig").flatten()
            style = _take(state, f"{theirs}.adain{half}.style.linear.bias").clone()
            style[: len(strength)] -= 1  # the scales' part, to which ours adds one
            tensors |= {
                f"{ours}.noise_strength": strength * math.sqrt(2 / len(strength)),
                f"{ours}.affine.weight": _take(state, f"{theirs}.adain{half}.style.linear.weight_orig") * math.sqrt(2),
                f"{ours}.affine.bias": style,
                f"{ours}.noise": noises[i],  # one image for both layers of a side
            }
    last = f"generator.to_rgb.{blocks - 1}.conv"
    tensors["to_image.weight"] = _take(state, f"{last}.weight_orig").flatten(1) * math.sqrt(2)
    tensors["to_image.bias"] = _take(state, f"{last}.bias")
    arguments = _arguments(tensors, mapping_lr=1.0, epsilon=1e-5, blurred_bias=True)
    return Translated(arguments, tensors, {"noise": "drawn: the file holds none"})


def _rosinality_blocks(state: Tensors, settings: Settings) -> int:
    """How many sides were trained: the file holds layers for 1024 pixels whatever its size."""
    held = count_names(state, r"generator\.to_rgb\.(\d+)\.conv\.bias")
    biases = (state.get(f"generator.to_rgb.{i}.conv.bias") for i in range(held))
    trained = [4 << i for i, bias in enumerate(biases) if bias is not None and bool(bias.any())]
    largest = 2 << held
    size = settings.choose("size", largest, *trained[::-1][:1])
    if size not in [4 << i for i in range(1, held)]:
        raise ValueError(f"the StyleGAN checkpoint holds layers for 8, 16, … {largest} pixels, got size {size!r}")
    return int(math.log2(size)) - 1
