"""StyleGAN3's weights as NVIDIA's program stores them, translated to ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from contrafact.generators._settings import UNKNOWN, Settings, attributes
from contrafact.generators._stored import StoredModule, state_dicts, take
from contrafact.generators._style_layouts import Tensors, Translated, count_names
from contrafact.generators._stylegan3_bands import bands_of, checked

_LAYER = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.(?:weight|bias)")
_EMBEDDING = ("embed.weight", "embed.bias")

Filters = list[tuple[Tensor | None, Tensor | None]]
"""Of each layer, that of upsampling and that of downsampling, where the file has them."""


def translate(content: Any, settings: Settings) -> tuple[Translated, Filters] | None:
    """Recognise and translate what a checkpoint holds, and its filters; None if it is no StyleGAN3.

    Raises:
        ValueError: missing tensors, or a variant that is not supported.
    """
    if isinstance(content, dict) and isinstance(stored := content.get("G_ema", content.get("G")), StoredModule):
        return _translated(stored, settings) if _is_one(stored.tensors) else None
    if isinstance(content, StoredModule) and _is_one(content.tensors):
        return _translated(content, settings)
    found = (state for state in state_dicts(content) if _is_one(state))
    return next((_translated(StoredModule("Generator", {}, state), settings) for state in found), None)


def _is_one(state: Tensors) -> bool:
    return "synthesis.input.freqs" in state or any(_LAYER.fullmatch(name) for name in state)


def _take(state: Tensors, name: str) -> Tensor:
    return take(state, name, "StyleGAN3")


def _optional(state: Tensors, name: str) -> Tensor | None:
    return state[name].detach().float() if name in state else None


def _translated(stored: StoredModule, settings: Settings) -> tuple[Translated, Filters]:
    state = stored.tensors
    found = sorted({(int(m[2]), m[1], int(m[3])) for name in state if (m := _LAYER.fullmatch(name))})
    names, sides = [name for _, name, _ in found], [side for *_, side in found]
    # StyleGAN-XL's embedding is a table, without a bias; between its stages a number is left out.
    is_xl = "mapping.embed.weight" in state and "mapping.embed.bias" not in state
    if ([number for number, *_ in found] != list(range(len(found))) and not is_xl) or len(found) < 4:
        raise ValueError(f"the StyleGAN3 checkpoint lacks layers: it has {', '.join(names) or 'none'}")
    tensors = {f"input.{part}": _take(state, f"synthesis.input.{part}") for part in ("weight", "freqs", "phases")}
    if "synthesis.input.transform" in state:
        tensors["input.transform"] = _take(state, "synthesis.input.transform")
    ours = ["input", *(f"layers.{i}" for i in range(len(names) - 1)), "to_image"]
    for our, their in zip(ours, ["input", *names], strict=True):
        for part in ("affine.weight", "affine.bias", *(("weight", "bias", "magnitude_ema") if our != "input" else ())):
            tensor = _take(state, f"synthesis.{their}.{part}")
            tensors[f"{our}.{part}"] = tensor.flatten(1) if (our, part) == ("to_image", "weight") else tensor
    if "mapping.embed_proj.weight" in state:
        means = tensors["class_means"] = _take(state, "mapping.w_avg")
        tensors["w_avg"] = means.mean(dim=0)
        # The table has a row for each class that the embedding network knew, of which these are the first.
        tensors["embed.weight"] = _take(state, "mapping.embed.weight")[: len(means)]
        for part in ("weight", "bias"):
            tensors[f"embed.projection.{part}"] = _take(state, f"mapping.embed_proj.{part}")
    else:
        is_embedded = not is_xl and {"mapping.embed.weight", "mapping.embed.bias"} & state.keys()
        for name in (*(("w_avg",) if "mapping.w_avg" in state else ()), *(_EMBEDDING if is_embedded else ())):
            tensors[name] = _take(state, f"mapping.{name}")
    mapping = count_names(state, r"mapping\.fc(\d+)\.(?:weight|bias)")
    for i in range(mapping):
        for part in ("weight", "bias"):
            tensors[f"mapping.{i}.{part}"] = _take(state, f"mapping.fc{i}.{part}")
    if not mapping:
        raise ValueError("the StyleGAN3 checkpoint has no mapping network")
    filters = [
        (_optional(state, f"synthesis.{name}.up_filter"), _optional(state, f"synthesis.{name}.down_filter"))
        for name in names[:-1]
    ]
    return Translated(_arguments(stored, names, sides, tensors, filters, settings), tensors), filters


def _arguments(
    stored: StoredModule,
    names: list[str],
    sides: list[int],
    tensors: Tensors,
    filters: Filters,
    settings: Settings,
) -> dict[str, Any]:
    """What the pickle's layers know of themselves; else its or its training's arguments; else what is assumed."""
    # A program's arguments say everything: what they leave out has its default.
    arguments = stored.arguments or settings.part_beside("training_options.json", "G_kwargs")

    def argued(name: str, default: Any, part: str = "synthesis_kwargs") -> Any:
        rest = arguments if part == "synthesis_kwargs" else {}
        said = {**rest, **attributes(arguments.get(part))}
        return said.get(name, default) if arguments else UNKNOWN

    def layer(place: str, name: str, unsaid: Any = UNKNOWN) -> Any:
        # A setting of None may be left out where others of its layer are not.
        known = any(key.startswith(f"{place}.") for key in stored.settings)
        return stored.settings.get(f"{place}.{name}", unsaid if known else UNKNOWN)

    first, layers = f"synthesis.{names[0]}", len(names) - 1
    has_filters = any(filter is not None for pair in filters for filter in pair)
    said = [layer(f"synthesis.{name}", "is_critically_sampled") for name in names[:-1]]
    counted = sum(said) if all(isinstance(value, bool) for value in said) else UNKNOWN
    critical = settings.choose("critical", 2, counted, argued("num_critical", 2), 2 if has_filters else UNKNOWN)
    clamp = settings.choose("clamp", 256.0, layer(first, "conv_clamp", None), argued("conv_clamp", 256))
    radial = any(down is not None and down.ndim == 2 for _, down in filters)
    channels = [tensors[f"layers.{i}.weight"].shape[0] for i in range(layers)]
    kernel = tensors["layers.0.weight"].shape[-1]
    classes = embedding = beside = 0
    latent_dim, taken = tensors["input.affine.weight"].shape[1], tensors["mapping.0.weight"].shape[1]
    if "embed.projection.weight" in tensors:
        beside, (classes, embedding) = taken // 2, tensors["embed.weight"].shape
    elif "embed.weight" in tensors:
        beside, classes = latent_dim, tensors["embed.weight"].shape[1]
    return {
        "size": sides[-1],
        "latent_dim": latent_dim,
        "prior_dim": taken - beside,
        "channels": channels,
        "bands": _bands(names, sides, critical, has_filters, argued, layer, settings),
        "critical": critical,
        "kernel": kernel,
        "radial": settings.choose(
            "radial", kernel == 1, radial if has_filters else argued("use_radial_filters", False)
        ),
        "taps": settings.choose("taps", 6, argued("filter_size", 6), 6 if has_filters else UNKNOWN),
        "oversampling": settings.choose(
            "oversampling", 2, argued("lrelu_upsampling", 2), 2 if has_filters else UNKNOWN
        ),
        "mapping_layers": sum(bool(re.fullmatch(r"mapping\.\d+\.weight", name)) for name in tensors),
        "mapping_lr": settings.choose(
            "mapping_lr", 0.01, layer("mapping.fc0", "bias_gain"), argued("lr_multiplier", 0.01, "mapping_kwargs")
        ),
        "image_channels": tensors["to_image.weight"].shape[0],
        "classes": classes,
        "embedding": embedding,
        "clamp": float(clamp) if isinstance(clamp, int) else clamp,
        "output_scale": settings.choose(
            "output_scale", 0.25, layer("synthesis", "output_scale"), argued("output_scale", 0.25)
        ),
    }


def _bands(
    names: list[str],
    sides: list[int],
    critical: int,
    has_filters: bool,
    argued: Callable[[str, Any], Any],
    layer: Callable[[str, str], Any],
    settings: Settings,
) -> Any:
    """The bands that the layers name; else those that the paper's rule gives, which filters in the file prove."""
    parts = ("out_sampling_rate", "out_cutoff", "out_half_width")
    said = [[layer(f"synthesis.{name}", part) for part in parts] for name in names]
    if all(isinstance(value, int | float) for band in said for value in band):
        found: Any = [[side, int(rate), float(f), float(h)] for side, (rate, f, h) in zip(sides, said, strict=True)]
    elif (first_cutoff := argued("first_cutoff", 2)) is not UNKNOWN:
        found = [
            list(band)
            for band in bands_of(
                sides[-1],
                len(names) - 1,
                critical,
                float(first_cutoff),
                float(argued("first_stopband", 2**2.1)),
                float(argued("last_stopband_rel", 2**0.3)),
                int(argued("margin_size", 10)),
            )
        ]
    else:
        found = len(names) - 1 if has_filters else UNKNOWN
    bands = settings.choose("bands", len(names) - 1, found)
    made = bands_of(sides[-1], bands, critical) if isinstance(bands, int) else checked(bands, sides[-1])
    if [band.side for band in made] != sides:
        raise ValueError(
            f"the StyleGAN3 checkpoint's layers have the sides {sides}, its settings give "
            f"{[band.side for band in made]}; give the bands it was made with, (side, rate, cutoff, half-width) of "
            'each layer: load_generator(..., {"bands": [[36, 16, 2.0, 6.0], ...]})'
        )
    return bands
