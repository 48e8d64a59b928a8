"""Writes one randomly initialised StyleGAN2 in each of the three layouts that people's checkpoints have.

    python benchmarks/stylegan2_checkpoints.py FOLDER [--size 256] [--channels config-f]

FOLDER gets ``rosinality.pt``, ``nvidia.pkl`` and ``genforce.pth``: the same weights under each program's names, in its
orientation and nesting. They are then read back and must give the same images. The ``.pkl`` is built as NVIDIA's are
but carries no program text, so only readers that need none can load it.
"""

from __future__ import annotations

import argparse
import collections
import pickle
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.generators import StyleGAN2
from contrafact.generators.checkpoints import load_generator


def rosinality(generator: StyleGAN2) -> dict[str, Any]:
    ours = generator.state_dict()
    state = {"input.input": ours["const"][None]}
    for i in range(len(generator.mapping)):
        state |= {f"style.{i + 1}.{part}": ours[f"mapping.{i}.{part}"] for part in ("weight", "bias")}
    for i in range(len(generator.convs)):
        name = "conv1" if i == 0 else f"convs.{i - 1}"
        state |= {
            f"{name}.conv.weight": ours[f"convs.{i}.weight"][None],
            f"{name}.conv.modulation.weight": ours[f"convs.{i}.affine.weight"],
            f"{name}.conv.modulation.bias": ours[f"convs.{i}.affine.bias"],
            f"{name}.noise.weight": ours[f"convs.{i}.noise_strength"].view(1),
            f"{name}.activate.bias": ours[f"convs.{i}.bias"],
            f"noises.noise_{i}": ours[f"convs.{i}.noise"][None, None],
        }
    for i in range(len(generator.to_images)):
        name = "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
        state |= {
            f"{name}.conv.weight": ours[f"to_images.{i}.weight"][None, :, :, None, None],
            f"{name}.conv.modulation.weight": ours[f"to_images.{i}.affine.weight"],
            f"{name}.conv.modulation.bias": ours[f"to_images.{i}.affine.bias"],
            f"{name}.bias": ours[f"to_images.{i}.bias"].view(1, -1, 1, 1),
        }
    return {"g_ema": state, "latent_avg": ours["w_avg"]}


def genforce(generator: StyleGAN2) -> dict[str, Any]:
    ours = generator.state_dict()
    state = {"synthesis.early_layer.const": ours["const"][None], "truncation.w_avg": ours["w_avg"]}
    for i in range(len(generator.mapping)):
        state |= {f"mapping.dense{i}.{part}": ours[f"mapping.{i}.{part}"] for part in ("weight", "bias")}
    layers = [(f"convs.{i}", f"layer{i}") for i in range(len(generator.convs))]
    layers += [(f"to_images.{i}", f"output{i}") for i in range(len(generator.to_images))]
    for mine, theirs in layers:
        weight = ours[f"{mine}.weight"]
        if mine.startswith("to"):
            weight = weight[:, :, None, None]
        elif generator.get_submodule(mine).up:
            weight = weight.flip(2, 3)
        state |= {
            f"synthesis.{theirs}.weight": weight,
            f"synthesis.{theirs}.bias": ours[f"{mine}.bias"],
            f"synthesis.{theirs}.style.weight": ours[f"{mine}.affine.weight"],
            f"synthesis.{theirs}.style.bias": ours[f"{mine}.affine.bias"] - 1,
        }
        if mine.startswith("convs"):
            state[f"synthesis.{theirs}.noise"] = ours[f"{mine}.noise"][None, None]
            state[f"synthesis.{theirs}.noise_strength"] = ours[f"{mine}.noise_strength"]
    return {"generator": state, "generator_smooth": state, "discriminator": {}}


def nvidia(generator: StyleGAN2) -> dict[str, Any]:
    ours = generator.state_dict()
    state = {"synthesis.b4.const": ours["const"], "mapping.w_avg": ours["w_avg"]}
    for i in range(len(generator.mapping)):
        state |= {f"mapping.fc{i}.{part}": ours[f"mapping.{i}.{part}"] for part in ("weight", "bias")}
    layers = [(f"convs.{i}", name) for i, name in enumerate(generator.layer_names)]
    layers += [(f"to_images.{i}", f"b{4 << i}.torgb") for i in range(len(generator.to_images))]
    for mine, theirs in layers:
        weight = ours[f"{mine}.weight"]
        state[f"synthesis.{theirs}.weight"] = weight[:, :, None, None] if mine.startswith("to") else weight
        state |= {f"synthesis.{theirs}.{p}": ours[f"{mine}.{p}"] for p in ("bias", "affine.weight", "affine.bias")}
        if mine.startswith("convs"):
            state[f"synthesis.{theirs}.noise_const"] = ours[f"{mine}.noise"]
            state[f"synthesis.{theirs}.noise_strength"] = ours[f"{mine}.noise_strength"]
    network = Persistent("Generator")
    for name, tensor in state.items():
        *parents, leaf = name.split(".")
        network.descendant(parents).state["_parameters"][leaf] = tensor
    network.descendant(["mapping", "fc0"]).state["bias_gain"] = generator.mapping_lr
    return {"G": None, "D": None, "G_ema": network, "augment_pipe": None, "training_set_kwargs": {}}


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise RuntimeError("written, never read")


class Persistent:
    """An object as NVIDIA's ``torch_utils.persistence`` pickles them."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": collections.OrderedDict()}

    def descendant(self, path: list[str]) -> Persistent:
        if not path:
            return self
        return self.state["_modules"].setdefault(path[0], Persistent(path[0])).descendant(path[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": "", "class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


def write_pickle(content: Any, path: Path) -> None:
    """The pickle must name NVIDIA's module, which need not be installed."""
    module = types.ModuleType("torch_utils.persistence")
    module.__dict__["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    _reconstruct_persistent_obj.__module__ = module.__name__
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), module.__name__: module}
    path.write_bytes(pickle.dumps(content))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", default="config-f")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    generator = StyleGAN2(options.size, channels=options.channels).freeze()
    generator.w_avg.copy_(0.1 * torch.randn(generator.latent_dim))
    torch.save(rosinality(generator), options.folder / "rosinality.pt")
    torch.save(genforce(generator), options.folder / "genforce.pth")
    write_pickle(nvidia(generator), options.folder / "nvidia.pkl")
    z = torch.randn(1, generator.prior_dim)
    expected: Tensor = generator(generator.map(z, truncation=0.7))
    for name in ("rosinality.pt", "nvidia.pkl", "genforce.pth"):
        begin = time.perf_counter()
        read = load_generator(options.folder / name)
        seconds = time.perf_counter() - begin
        difference = float((read(read.map(z, truncation=0.7)) - expected).abs().max())
        assert difference < 1e-5, f"{name}: images differ by {difference:.1e}"
        print(f"{options.folder / name}: read in {seconds:.1f} s, images equal (largest difference {difference:.0e})")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
