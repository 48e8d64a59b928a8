"""BigGAN, Glow, ProgGAN and SNGAN as their programs write them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from contrafact.core.generator import Generator
from contrafact.generators import BigGAN
from tests.generators.kinds import Kind, difference_of_images
from tests.generators.recorded import Recorded


def _biggan(name: str, folder: Path) -> Path:
    recorded = Recorded(name)
    if name.endswith("hugging_face"):
        (folder / "config.json").write_text(json.dumps(recorded.meta["config"]))
        torch.save(recorded.state, folder / "pytorch_model.bin")
        return folder
    torch.save(recorded.state, folder / "G_ema.pth")
    return folder / "G_ema.pth"


def _of_classes(generator: Generator, recorded: Recorded) -> float:
    assert isinstance(generator, BigGAN)
    with torch.no_grad():
        images = generator(torch.cat((recorded["latent"], generator.embed(recorded["label"])), dim=1))
    return float((images - (recorded["image"] + 1) / 2).abs().max())


def _glow(name: str, folder: Path) -> Path:
    torch.save({f"module.{k}": v for k, v in Recorded(name).state.items()}, folder / "model.pt")
    return folder / "model.pt"


def _prog_gan(name: str, folder: Path) -> Path:
    state, path = Recorded(name).state, folder / "model.pth"
    torch.save(state if name.endswith("features") else {"generator_smooth": state, "discriminator": {}}, path)
    return path


def _sngan(name: str, folder: Path) -> Path:
    recorded = Recorded(name)
    (folder / "args.json").write_text(json.dumps(recorded.meta["args"]))
    torch.save(recorded.state, folder / "generator.pt")
    return folder


_BROCK = "ajbrock/BigGAN-PyTorch"
_DISCOVERY = "GANLatentDiscovery"


def _big(name: str, family: str, program: str, file: str, read: str) -> Kind:
    return Kind(family, program, file, read, partial(_biggan, name), name, {}, _of_classes)


def _flow(name: str, read: str) -> Kind:
    compare = partial(difference_of_images, black=-0.5, white=0.5)
    return Kind("Glow", "rosinality/glow-pytorch", "`.pt`", read, partial(_glow, name), name, {"size": 8}, compare)


def _grown(name: str, program: str, read: str) -> Kind:
    return Kind("ProgGAN", program, "`.pth`", read, partial(_prog_gan, name), name)


_FOLDER = "`config.json`, `pytorch_model.bin`"

KINDS = [
    _big("biggan_hugging_face", "BigGAN-deep", "huggingface/pytorch-pretrained-BigGAN", "folder", _FOLDER),
    _big("biggan_brock", "BigGAN", _BROCK, "`G_ema.pth`", "one shared embedding"),
    _big("biggan_brock_hierarchical", "BigGAN", _BROCK, "`G_ema.pth`", "its noise by parts"),
    _big("biggan_brock_unshared", "BigGAN", _BROCK, "`G_ema.pth`", "an embedding per layer"),
    _big("biggan_brock_deep", "BigGAN-deep", _BROCK, "`G_ema.pth`", "one shared embedding"),
    _flow("glow_affine", 'its image side is not in the file: `{"size": 64}` unless given'),
    _flow("glow_additive", "additive couplings; the same"),
    _grown("prog_gan_features", f"{_DISCOVERY}'s port", "a state dict"),
    _grown("prog_gan_genforce_plain", "genforce", "`generator_smooth`"),
    _grown("prog_gan_genforce_fused", "genforce", "fused upsampling"),
    Kind("SNGAN", _DISCOVERY, "folder", "`args.json`, `generator.pt`", partial(_sngan, "sngan"), "sngan"),
]
