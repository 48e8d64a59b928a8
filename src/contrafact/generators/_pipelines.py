"""Reading pipelines of the diffusers library from their folders: plain configurations and safetensors, nothing else.

A pipeline's folder may hold pickles and programs of its own. Neither is opened: networks are those that are listed
here, built without memory first and compared with the tensors that the files hold. Where a prompt is embedded, the
tokenizer and the text encoder are those of transformers, from the folder's plain files and safetensors too.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.describe import open_safetensors
from contrafact.core.files import read_json
from contrafact.core.foreign import first_line, reading
from contrafact.core.generator import Generator
from contrafact.core.skeleton import build
from contrafact.generators._denoisers import DENOISERS, KINDS, denoiser_of
from contrafact.generators._networks import EXTRA, VAES, Part, library, part_arguments
from contrafact.generators.autoencoder_kl import AutoencoderKL
from contrafact.generators.diffusion import Diffusion

INDEX, CONFIG, WEIGHTS = "model_index.json", "config.json", "diffusion_pytorch_model"
_CLIP, _CLIP_POOLED, _T5 = ("CLIPTextModel",), ("CLIPTextModelWithProjection",), ("T5EncoderModel",)
_CLIP_WORDS, _T5_WORDS = ("CLIPTokenizer", "CLIPTokenizerFast"), ("T5TokenizerFast", "T5Tokenizer")
_TEXT_PARTS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "StableDiffusionPipeline": ((_CLIP_WORDS, _CLIP),),
    "StableDiffusionXLPipeline": ((_CLIP_WORDS, _CLIP), (_CLIP_WORDS, _CLIP_POOLED)),
    "StableDiffusion3Pipeline": ((_CLIP_WORDS, _CLIP_POOLED), (_CLIP_WORDS, _CLIP_POOLED), (_T5_WORDS, _T5)),
    "FluxPipeline": ((_CLIP_WORDS, _CLIP), (_T5_WORDS, _T5)),
}
"""Classes of the tokenizers and encoders of each pipeline of texts, in their order."""
_TRANSFORMERS = ("DiTPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
_PIPELINES = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline", "LDMPipeline", "DiTPipeline", *_TEXT_PARTS)
_UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "watermark")
_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of attention by the names they had before diffusers 0.12."""


def is_pipeline(path: Path) -> bool:
    """Whether a folder is a pipeline's, or holds one network of diffusers."""
    return path.is_dir() and ((path / INDEX).is_file() or _class_named(path) is not None)


def _class_named(folder: Path) -> str | None:
    """The class of diffusers that a folder's configuration names; None where it names none."""
    if not (folder / CONFIG).is_file():
        return None
    config = read_json(folder / CONFIG, finite=False)
    name = config.get("_class_name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def read_pipeline(path: Path, changes: dict[str, Any]) -> Generator:
    """The generator of a pipeline's folder, or of one network's.

    Args:
        path: the folder.
        changes: settings by name; those that are used here are taken out.

    Raises:
        ValueError: diffusers (or, for a text, transformers) is not installed; a pipeline or network that is not
            supported, one with a program of its own, without safetensors, or with tensors that are not those of its
            configuration; a setting that does not fit.
    """
    library()
    try:
        return _read_whole(path, changes) if (path / INDEX).is_file() else _read_alone(path)
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error


def _read_whole(path: Path, changes: dict[str, Any]) -> Generator:
    """A pipeline's."""
    index = read_json(path / INDEX, finite=False)
    parts = _listed(index, path)
    vae_name = "vae" if "vae" in parts else "vqvae"
    denoiser, tensors = _read_network(path / _denoiser_name(index), DENOISERS, "denoiser")
    arguments: dict[str, Any] = {"denoiser": denoiser, "solver": _scheduler(path / "scheduler")}
    state = {f"denoiser.{name}": tensor for name, tensor in tensors.items()}
    if vae_name in parts:
        arguments["vae"], tensors = _read_network(path / vae_name, VAES, "VAE")
        state |= {f"vae.{name}": tensor for name, tensor in tensors.items()}
    for name in ("steps", "guidance", "scheduler", "space", "module", "edit_guidance", "size", "label"):
        if name in changes:
            arguments[name] = changes.pop(name)
    if KINDS[denoiser["class"]].has_text:
        prompt = str(changes.pop("prompt", ""))
        state |= _embedded(path, index, parts, prompt, denoiser)
        told = state["told_TD"]
        arguments |= {"text": (told.shape[0], told.shape[1]), "prompt": prompt}
        if "told_P" in state:
            arguments["pooled"] = len(state["told_P"])
    elif "prompt" in changes:
        arguments["prompt"] = changes.pop("prompt")
    generator = Diffusion(**arguments)
    generator.load_state_dict({**state, "unit": generator.unit})
    generator.freeze().note = {"pipeline": index["_class_name"]}
    if generator.space != "noise":
        generator.measure(torch.Generator().manual_seed(0), progress=True)
    return generator


def _listed(index: Any, path: Path) -> dict[str, tuple[str, str]]:
    """The parts that an index lists, those of no use here left out."""
    if not isinstance(index, dict) or "_class_name" not in index:
        raise ValueError(
            f"{path / INDEX} names no pipeline; expected the folder that a pipeline of diffusers was saved to"
        )
    named = index["_class_name"]
    if named not in _PIPELINES:
        own = f", which is a program of its own ({named[0]})" if isinstance(named, list) and named else ""
        raise ValueError(
            f"{path} is a pipeline {named[-1:] if isinstance(named, list) else named}{own}; known: "
            f"{', '.join(_PIPELINES)}. Code that a folder brings along is never run"
        )
    parts: dict[str, tuple[str, str]] = {}
    for name, said in index.items():
        if name.startswith("_") or name in _UNUSED or not isinstance(said, list) or said in ([None, None], []):
            continue
        place = str(said[0])
        if place not in ("diffusers", "transformers"):
            raise ValueError(
                f"{path} asks for {'.'.join(map(str, said))} as its {name}, a program that the folder brings along; "
                "none is ever run. Known are the networks of diffusers and the text encoders of transformers"
            )
        parts[name] = (place, str(said[-1]))
    for name in (_denoiser_name(index), "scheduler"):
        if name not in parts:
            raise ValueError(f"the pipeline {path} has no {name}; it lists {', '.join(parts) or 'nothing'}")
    return parts


def _denoiser_name(index: Mapping[str, Any]) -> str:
    return "transformer" if index["_class_name"] in _TRANSFORMERS else "unet"


def _scheduler(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "scheduler_config.json", finite=False)
    if not isinstance(config, dict) or not isinstance(config.get("_class_name"), str):
        raise ValueError(f"{folder / 'scheduler_config.json'} names no scheduler")
    return {"class": config["_class_name"], "config": _plain(config)}


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _read_network(folder: Path, known: tuple[str, ...], what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A network's class and configuration, and its tensors in float32."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"the pipeline has no {folder / CONFIG}, which says what its {what} is")
    config = read_json(folder / CONFIG, finite=False)
    name = config.get("_class_name") if isinstance(config, dict) else None
    if name == "Transformer2DModel" and config.get("norm_type") == "ada_norm_zero":
        name = "DiTTransformer2DModel"  # its name before diffusers 0.28
    if name not in known:
        raise ValueError(unknown_name_message(what, str(name), known))
    files = _weight_files(folder)
    stored: dict[str, tuple[tuple[int, ...], bool]] = {}
    for file in files:
        stored |= {
            _today(key): shape for key, shape in open_safetensors(file, "weights of a network of diffusers")[1].items()
        }
    part = {"class": name, "config": _plain(config)}
    cls = getattr(library(), name)
    # Without memory, and only if it is what the files hold: a configuration can ask for anything.
    with torch.device("meta"):
        build(cls, part_arguments(cls, part["config"]), stored, max(files, key=lambda file: file.stat().st_size))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= {_today(key): tensor.float() for key, tensor in _tensors(file).items()}
    return part, tensors


def _tensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with reading(file, "safetensors file"):
        return load_file(file)


def _today(name: str) -> str:
    """A tensor's name as diffusers has it now."""
    before, _, last = name.rpartition(".")
    stem, _, layer = before.rpartition(".")
    return f"{stem}.{_RENAMED[layer]}.{last}" if layer in _RENAMED and "attentions" in stem else name


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a network: one, several that an index names, or those of a variant such as fp16."""
    for pattern in (f"{WEIGHTS}.safetensors", f"{WEIGHTS}-*-of-*.safetensors", f"{WEIGHTS}.*.safetensors"):
        found = sorted(folder.glob(pattern))
        if found:
            return found if "-of-" in pattern else found[:1]
    others = sorted(
        file.name for file in folder.iterdir() if file.is_file() and file.suffix in (".bin", ".pt", ".ckpt")
    )
    why = f"; {', '.join(others[:4])} can run programs when they are read, and are not" if others else ""
    raise ValueError(
        f"{folder} holds no safetensors ({WEIGHTS}.safetensors){why}: load the pipeline with diffusers where you trust "
        "it, and pipeline.save_pretrained(folder, safe_serialization=True)"
    )


def _read_alone(path: Path) -> Generator:
    """A VAE's folder (ValueError for another network's)."""
    part, tensors = _read_network(path, ("AutoencoderKL",), "network that is a generator alone")
    generator = AutoencoderKL(part["config"])
    generator.load_state_dict({f"vae.{name}": tensor for name, tensor in tensors.items()})
    generator.freeze().note = {"pipeline": "AutoencoderKL"}
    return generator


@torch.no_grad()
def _embedded(
    path: Path, index: Mapping[str, Any], parts: Mapping[str, Any], prompt: str, denoiser: Part
) -> dict[str, Tensor]:
    """The embeddings of a prompt and of none, as the pipeline's own program makes them."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(f"{path} turns texts into images, which needs the package transformers: {EXTRA}") from error
    named = index["_class_name"]
    if named not in _TEXT_PARTS:
        raise ValueError(f"{path}: texts of a {named} are not supported; of {', '.join(_TEXT_PARTS)} they are")
    cls = getattr(library(), named)
    accepted = list(inspect.signature(cls.__init__).parameters)
    more = dict.fromkeys(set(accepted) & {"vae", "unet", "scheduler", "safety_checker", "feature_extractor"})
    if "requires_safety_checker" in accepted:
        more["requires_safety_checker"] = False
    if "force_zeros_for_empty_prompt" in accepted:
        more["force_zeros_for_empty_prompt"] = bool(index.get("force_zeros_for_empty_prompt", True))
    if "transformer" in accepted:  # its configuration says how wide a text's tokens are where an encoder is left out
        with torch.device("meta"):
            more["transformer"] = denoiser_of(denoiser)[0]
    for number, (words, encoders) in enumerate(_TEXT_PARTS[named], start=1):
        for name, known in (("tokenizer", words), ("text_encoder", encoders)):
            name = name if number == 1 else f"{name}_{number}"
            more[name] = _of_transformers(transformers, path / name, parts[name][1], known) if name in parts else None
    print("embedding the prompt", file=sys.stderr)
    try:
        told, empty = _encoded(cls(**more), prompt)
    except Exception as error:  # the documented border: a folder's text encoder fails in any way
        raise ValueError(f"{path} cannot embed a prompt: {first_line(error)}") from error
    found: dict[str, Tensor] = {}
    for name, (tokens, pooled) in (("told", told), ("empty", empty)):
        found[f"{name}_TD"] = tokens[0].float()
        if pooled is not None:
            found[f"{name}_P"] = pooled[0].float()
    return found


def _encoded(pipeline: Any, prompt: str) -> list[tuple[Tensor, Tensor | None]]:
    """Tokens and perhaps the pooled embedding that a pipeline gives a prompt, and those that it gives none."""
    takes = inspect.signature(pipeline.encode_prompt).parameters
    settings: dict[str, Any] = {name: None for name in takes if name.startswith("prompt_")}  # further prompts
    settings |= {"device": torch.device("cpu"), "num_images_per_prompt": 1}
    if "negative_prompt" in takes:
        tokens, empty, *pooled = pipeline.encode_prompt(prompt, do_classifier_free_guidance=True, **settings)
        return list(zip((tokens, empty), pooled or (None, None), strict=True))
    return [pipeline.encode_prompt(text, **settings)[:2] for text in (prompt, "")]


def _of_transformers(transformers: Any, folder: Path, named: str, known: tuple[str, ...]) -> Any:
    """A tokenizer or text encoder, from its folder's plain files and safetensors."""
    if named not in known:
        raise ValueError(unknown_name_message(folder.name, named, known))
    encoder = "encoder" in folder.name
    if encoder and not list(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} holds no safetensors; pickles are not read")
    with reading(folder, f"{folder.name} of transformers"):
        cls = getattr(transformers, known[0])
        return cls.from_pretrained(folder, local_files_only=True, **({"use_safetensors": True} if encoder else {}))
