"""The ways StyleGAN2's weights are stored, translated to ours: rosinality's, NVIDIA's two, genforce's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from contrafact.generators._settings import UNKNOWN, Settings, attributes, lookup
from contrafact.generators._stored import NoGenerator, StoredModule, TensorFlowNetwork, state_dicts, take
from contrafact.generators._style_layouts import (
    Tensors,
    Translated,
    count_names,
    joint_embedding,
    mapping_arguments,
    mapping_lr,
)
from contrafact.generators._tensorflow import (
    check_usual,
    count_sides,
    mapping_tensors,
    take_kernel,
    tensorflow_generator,
)


def translate(content: Any, settings: Settings) -> Translated | None:
    """Recognise and translate what a checkpoint holds; None if it is no StyleGAN2.

    Raises:
        ValueError: a discriminator alone, missing tensors, or a variant that is not supported.
    """
    network = tensorflow_generator(content)
    if network is not None:
        modulated = any(name.endswith("/mod_weight") for name in network.variables)
        return _from_tensorflow(network, settings) if modulated else None
    if isinstance(content, dict) and isinstance(stored := content.get("G_ema", content.get("G")), StoredModule):
        translated = _from_nvidia(stored, settings)
        return _from_state(stored.tensors, content, settings) if translated is None else translated
    if not isinstance(content, dict):
        return _from_any(content, {}, settings)
    for part in ("g_ema", "generator_smooth", "g", "generator"):
        if isinstance(content.get(part), dict):
            return _from_state(content[part], content, settings)
    for part in ("d", "discriminator", "D"):
        if isinstance(content.get(part), dict | StoredModule) and next(state_dicts(content), None) is None:
            raise NoGenerator(
                f"the file holds {', '.join(map(str, content))} but no generator; a generator is expected under "
                "g_ema, g (rosinality), G_ema, G (NVIDIA), generator_smooth or generator (genforce)"
            )
    return _from_any(content, content, settings)


def _from_any(content: Any, beside: Mapping[str, Any], settings: Settings) -> Translated | None:
    if isinstance(content, StoredModule) and (translated := _from_nvidia(content, settings)) is not None:
        return translated
    found = (_from_state(state, beside, settings) for state in state_dicts(content))
    return next((translated for translated in found if translated is not None), None)


def _without_prefix(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {str(k).removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}


def _from_state(part: Mapping[str, Any], content: Mapping[str, Any], settings: Settings) -> Translated | None:
    state = _without_prefix(part)
    if "style.1.weight" in state or "conv1.conv.modulation.weight" in state:
        return _from_rosinality(state, content, settings)
    if "mapping.dense0.weight" in state:
        return _from_genforce(state, settings)
    if any(name.startswith("synthesis.b4.") for name in state):
        return _from_nvidia(StoredModule("Generator", {}, state), settings)
    if "final_linear.1.weight" in state or "b4.out.weight" in state:
        raise NoGenerator("the file holds a StyleGAN2 discriminator, not a generator")
    return None


def _take(state: Tensors, name: str) -> Tensor:
    return take(state, name, "StyleGAN2")


def _arguments(tensors: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Constructor arguments that follow from the shapes of our state dict."""
    image_layers = count_names(tensors, r"to_images\.(\d+)\.weight")
    mapping_layers = count_names(tensors, r"mapping\.(\d+)\.weight")
    if image_layers < 2 or mapping_layers < 1:
        raise ValueError(
            f"the StyleGAN2 checkpoint has {image_layers} image layers and {mapping_layers} mapping layers"
        )
    height, width = tensors["const"].shape[-2:]
    if height != width:
        raise ValueError(
            f"the StyleGAN2 checkpoint makes images of {height} : {width} (height to width, as its learned constant), "
            "and only square ones are read. Build its network yourself and pass it through contrafact.generators.wrap, "
            "which takes any shape"
        )
    return {
        "size": 2 << image_layers,
        "channels": [tensors[f"to_images.{i}.weight"].shape[1] for i in range(image_layers)],
        "image_channels": tensors["to_images.0.weight"].shape[0],
        **mapping_arguments(tensors),
        **given,
    }


def _taps(kernel: Tensor | None) -> Any:
    """Four taps of a stored filter, 1-D or the product of two, of any gain; ``UNKNOWN`` if there is none."""
    if kernel is None:
        return UNKNOWN
    plane = kernel.detach().float().squeeze()
    taps = plane.sum(dim=0) if plane.ndim == 2 else plane
    taps = taps * (8 / taps.sum())
    product = torch.outer(taps, taps) * (plane.sum() / 64)
    if plane.ndim == 2 and not torch.allclose(plane, product, atol=1e-4 * float(plane.abs().max())):
        raise ValueError("the StyleGAN2 checkpoint's resampling filter is no product of two 1-D filters")
    return [round(float(tap), 6) for tap in taps]


_KERNEL = [1.0, 3.0, 3.0, 1.0]


def _from_rosinality(state: Tensors, content: Mapping[str, Any], settings: Settings) -> Translated:
    latent_avg = content.get("latent_avg")
    said = {**attributes(content.get("opts")), **attributes(content.get("args"))}
    tensors: dict[str, Tensor] = {"const": _take(state, "input.input")[0]}
    for i in range(count_names(state, r"style\.(\d+)\.(?:weight|bias)")):
        tensors[f"mapping.{i}.weight"] = _take(state, f"style.{i + 1}.weight")
        tensors[f"mapping.{i}.bias"] = _take(state, f"style.{i + 1}.bias")
    # Two to each image layer: of a file cut short either may be missing.
    convs = count_names(state, r"convs\.(\d+)\.conv\.weight")
    blocks = max(count_names(state, r"to_rgbs\.(\d+)\.conv\.weight"), (convs + 1) // 2)
    for ours, theirs in enumerate(["conv1", *(f"convs.{i}" for i in range(2 * blocks))]):
        tensors |= {
            f"convs.{ours}.weight": _take(state, f"{theirs}.conv.weight")[0],
            f"convs.{ours}.affine.weight": _take(state, f"{theirs}.conv.modulation.weight"),
            f"convs.{ours}.affine.bias": _take(state, f"{theirs}.conv.modulation.bias"),
            f"convs.{ours}.noise_strength": _take(state, f"{theirs}.noise.weight").reshape(()),
            f"convs.{ours}.bias": _take(state, f"{theirs}.activate.bias"),
        }
        if f"noises.noise_{ours}" in state:
            tensors[f"convs.{ours}.noise"] = state[f"noises.noise_{ours}"][0, 0]
    for ours, theirs in enumerate(["to_rgb1", *(f"to_rgbs.{i}" for i in range(blocks))]):
        tensors |= {
            f"to_images.{ours}.weight": _take(state, f"{theirs}.conv.weight")[0, :, :, 0, 0],
            f"to_images.{ours}.affine.weight": _take(state, f"{theirs}.conv.modulation.weight"),
            f"to_images.{ours}.affine.bias": _take(state, f"{theirs}.conv.modulation.bias"),
            f"to_images.{ours}.bias": _take(state, f"{theirs}.bias").flatten(),
        }
    if isinstance(latent_avg, Tensor):
        # pSp and its like keep one row for each layer, all the same.
        tensors["w_avg"] = latent_avg.detach().float().reshape(-1, latent_avg.shape[-1]).mean(dim=0)
    learning_rate = mapping_lr(settings, tensors, lookup(said, "lr_mlp"), settings.beside("lr_mlp"))
    taps = _taps(state.get("convs.0.conv.blur.kernel"))
    taps = settings.choose("kernel", _KERNEL, taps, lookup(said, "blur_kernel"), settings.beside("blur_kernel"))
    return Translated(_arguments(tensors, kernel=taps, mapping_lr=learning_rate), tensors)


def _from_nvidia(stored: StoredModule, settings: Settings) -> Translated | None:
    state = stored.tensors
    if "synthesis.b4.const" not in state:
        if any(name.startswith("synthesis.L") or name == "synthesis.input.freqs" for name in state):
            return None  # StyleGAN3's
        if "b4.out.weight" in state or stored.class_name == "Discriminator":
            raise NoGenerator("the file holds a StyleGAN2 discriminator, not a generator")
        return None
    if any(".skip." in name for name in state) or "synthesis.b4.torgb.weight" not in state:
        raise ValueError("the StyleGAN2 checkpoint is not of the skip architecture, the one supported")
    tensors: dict[str, Tensor] = {"const": _take(state, "synthesis.b4.const")}
    if "mapping.w_avg" in state:
        tensors["w_avg"] = _take(state, "mapping.w_avg")
    for i in range(count_names(state, r"mapping\.fc(\d+)\.(?:weight|bias)")):
        tensors[f"mapping.{i}.weight"] = _take(state, f"mapping.fc{i}.weight")
        tensors[f"mapping.{i}.bias"] = _take(state, f"mapping.fc{i}.bias")
    if {"mapping.embed.weight", "mapping.embed.bias"} & state.keys():
        tensors["embed.weight"] = _take(state, "mapping.embed.weight")
        tensors["embed.bias"] = _take(state, "mapping.embed.bias")
    sides = [4 << i for i in range(count_names(state, r"synthesis\.b(\d+)\.(?:torgb|conv1)\.weight"))]
    convs = ["b4.conv1", *(f"b{side}.conv{i}" for side in sides[1:] for i in (0, 1))]
    for ours, theirs in [(f"convs.{i}", n) for i, n in enumerate(convs)] + [
        (f"to_images.{i}", f"b{side}.torgb") for i, side in enumerate(sides)
    ]:
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            tensor = _take(state, f"synthesis.{theirs}.{part}")
            tensors[f"{ours}.{part}"] = tensor.flatten(1) if ours.startswith("to") and part == "weight" else tensor
        if ours.startswith("convs"):
            # Without noise (use_noise=False) both are absent; a strength of zero says the same.
            noisy, const = f"synthesis.{theirs}.noise_strength", f"synthesis.{theirs}.noise_const"
            has_noise = noisy in state or const in state
            tensors[f"{ours}.noise_strength"] = _take(state, noisy) if has_noise else torch.zeros(())
            if const in state:
                tensors[f"{ours}.noise"] = _take(state, const)
    return Translated(_arguments(tensors, **_nvidia_settings(stored, tensors, settings)), tensors)


def _nvidia_settings(stored: StoredModule, tensors: Tensors, settings: Settings) -> dict[str, Any]:
    """What a network pickle's layers know of themselves; else its or its training's arguments; else what is assumed."""
    layers, kernel = stored.settings, _taps(stored.tensors.get("synthesis.b4.resample_filter"))
    # A program's arguments say everything: what they leave out has its default.
    arguments = stored.arguments or settings.part_beside("training_options.json", "G_kwargs")

    def argued(part: str, name: str, default: Any) -> Any:
        rest = {} if part == "mapping_kwargs" else arguments  # later programs give synthesis its arguments unnested
        said = {**rest, **attributes(arguments.get(part))}
        return said.get(name, default) if arguments else UNKNOWN

    def layer(place: str, name: str) -> Any:
        # A setting of None may be left out where others of its layer are not.
        known = any(key.startswith(f"{place}.") for key in layers)
        return layers.get(f"{place}.{name}", UNKNOWN if name != "conv_clamp" or not known else None)

    clamp = settings.choose(
        "clamp", None, layer("synthesis.b4.conv1", "conv_clamp"), argued("synthesis_kwargs", "conv_clamp", None)
    )
    chosen = {
        "mapping_lr": mapping_lr(
            settings,
            tensors,
            layer("mapping.fc0", "bias_gain"),
            argued("mapping_kwargs", "lr_multiplier", 0.01),
        ),
        "clamp": float(clamp) if isinstance(clamp, int) else clamp,
        "kernel": settings.choose("kernel", _KERNEL, kernel, argued("synthesis_kwargs", "resample_filter", _KERNEL)),
    }
    for name, place, part in (
        ("activation", "synthesis.b4.conv1", "synthesis_kwargs"),
        ("mapping_activation", "mapping.fc0", "mapping_kwargs"),
    ):
        chosen[name] = settings.choose(name, "lrelu", layer(place, "activation"), argued(part, "activation", "lrelu"))
    for pattern in (r"mapping\.fc\d+", r"synthesis\.b\d+\.conv\d"):
        found = {str(value) for key, value in layers.items() if re.fullmatch(rf"{pattern}\.activation", key)}
        if len(found) > 1:
            raise ValueError(f"the StyleGAN2 checkpoint's layers differ in activation: {', '.join(sorted(found))}")
    return chosen


def _from_genforce(state: Tensors, settings: Settings) -> Translated:
    if "synthesis.layer0.weight" not in state or "synthesis.layer0.style.weight" not in state:
        raise ValueError("the file holds a mapping network but no synthesis of StyleGAN or StyleGAN2")
    if any("skip" in name for name in state) or "synthesis.output0.weight" not in state:
        raise ValueError("the StyleGAN2 checkpoint is not of the skip architecture, the one supported")
    tensors: dict[str, Tensor] = {"const": _take(state, "synthesis.early_layer.const")[0]}
    if "truncation.w_avg" in state:
        tensors["w_avg"] = _take(state, "truncation.w_avg")
    for i in range(count_names(state, r"mapping\.dense(\d+)\.(?:weight|bias)")):
        tensors[f"mapping.{i}.weight"] = _take(state, f"mapping.dense{i}.weight")
        tensors[f"mapping.{i}.bias"] = _take(state, f"mapping.dense{i}.bias")
    joint = "mapping.label_weight" in state
    if joint:
        tensors["embed.weight"] = joint_embedding(_take(state, "mapping.label_weight"))
    elif "mapping.LabelEmbed.weight" in state:
        tensors["embed.weight"] = _take(state, "mapping.LabelEmbed.weight")
        tensors["embed.bias"] = _take(state, "mapping.LabelEmbed.bias")
    layers = count_names(state, r"synthesis\.layer(\d+)\.weight")
    images = max(count_names(state, r"synthesis\.output(\d+)\.weight"), layers // 2 + 1)
    names = [(f"convs.{i}", f"layer{i}") for i in range(2 * images - 1)]
    for ours, theirs in names + [(f"to_images.{i}", f"output{i}") for i in range(images)]:
        theirs = f"synthesis.{theirs}"
        weight = _take(state, f"{theirs}.weight")
        if ours.startswith("to"):
            weight = weight.flatten(1)
        elif int(ours[6:]) % 2 == 1:
            weight = weight.flip(2, 3)  # their upsampling layers store it the other way round
        tensors |= {
            f"{ours}.weight": weight,
            f"{ours}.bias": _take(state, f"{theirs}.bias"),
            f"{ours}.affine.weight": _take(state, f"{theirs}.style.weight"),
            f"{ours}.affine.bias": _take(state, f"{theirs}.style.bias") + 1,  # added when run, not stored
        }
        if ours.startswith("convs"):
            tensors[f"{ours}.noise_strength"] = _take(state, f"{theirs}.noise_strength")
            if f"{theirs}.noise" in state:
                tensors[f"{ours}.noise"] = _take(state, f"{theirs}.noise")[0, 0]
    arguments = _arguments(
        tensors,
        conditioning="joint" if joint else "separate",
        mapping_lr=mapping_lr(settings, tensors, settings.beside("mapping_lr_mul")),
        kernel=settings.choose("kernel", _KERNEL, _taps(state.get("synthesis.layer1.filter.kernel"))),
        tanh=settings.choose("tanh", False, settings.beside("final_tanh")),
    )
    return Translated(arguments, tensors)


def _from_tensorflow(network: TensorFlowNetwork, settings: Settings) -> Translated:
    """Of the programs of StyleGAN2 and StyleGAN2-ADA."""
    values, arguments = network.variables, network.arguments
    check_usual(arguments, {"normalize_latents": True}, "StyleGAN2")
    if "synthesis/4x4/ToRGB/weight" not in values:
        raise ValueError("the StyleGAN2 checkpoint is not of the skip architecture (configurations E and F)")
    tensors = mapping_tensors(values, "StyleGAN2")
    joint = "mapping/LabelConcat/weight" in values
    if joint:
        tensors["embed.weight"] = joint_embedding(_take(values, "mapping/LabelConcat/weight"))
    elif "mapping/LabelEmbed/weight" in values:
        tensors["embed.weight"] = _take(values, "mapping/LabelEmbed/weight").T
        tensors["embed.bias"] = _take(values, "mapping/LabelEmbed/bias")
    tensors["const"] = _take(values, "synthesis/4x4/Const/const")[0]
    sides = [4 << i for i in range(count_sides(values, "synthesis/"))]
    convs = ["4x4/Conv", *(f"{side}x{side}/{name}" for side in sides[1:] for name in ("Conv0_up", "Conv1"))]
    for ours, theirs in [(f"convs.{i}", name) for i, name in enumerate(convs)] + [
        (f"to_images.{i}", f"{side}x{side}/ToRGB") for i, side in enumerate(sides)
    ]:
        theirs = f"synthesis/{theirs}"
        weight = take_kernel(values, f"{theirs}/weight", "StyleGAN2")
        if ours.startswith("to"):
            weight = weight.flatten(1)
        elif theirs.endswith("Conv0_up"):
            weight = weight.flip(2, 3)  # stored the other way round
        tensors |= {
            f"{ours}.weight": weight,
            f"{ours}.bias": _take(values, f"{theirs}/bias"),
            f"{ours}.affine.weight": _take(values, f"{theirs}/mod_weight").T,
            f"{ours}.affine.bias": _take(values, f"{theirs}/mod_bias") + 1,  # added when run, not stored
        }
        if ours.startswith("convs"):
            # Without noise (use_noise=False) there is neither; a strength of zero says the same.
            image, strength = f"synthesis/noise{ours[6:]}", f"{theirs}/noise_strength"
            has_noise = image in values or strength in values
            tensors[f"{ours}.noise_strength"] = _take(values, strength) if has_noise else torch.zeros(())
            if image in values:
                tensors[f"{ours}.noise"] = _take(values, image)[0, 0]
    clamp = arguments.get("conv_clamp")
    given = {
        "conditioning": "joint" if joint else "separate",
        "mapping_lr": mapping_lr(settings, tensors, arguments.get("mapping_lrmul", 0.01)),
        "kernel": arguments.get("resample_kernel", _KERNEL),
        "clamp": float(clamp) if isinstance(clamp, int) else clamp,
        "activation": arguments.get("nonlinearity", "lrelu"),
        "mapping_activation": arguments.get("mapping_nonlinearity", "lrelu"),
    }
    return Translated(_arguments(tensors, **given), tensors)
