"""DCGANs in the spellings that people's programs have: plain torch modules, written from what the programs say."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.generators.kinds import Kind

NOISE = 6


def up(i: int, o: int, kernel: int = 4, stride: int = 2, padding: int = 1, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(i, o, kernel, stride, padding, bias=bias)


def normed(layer: nn.Module, channels: int, activation: nn.Module | None = None) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(channels), activation or nn.ReLU()]


class Column(nn.Module):
    """Noise as a map of one pixel."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :, None, None]


class Whole(nn.Module):
    """Parts by name, run one after the other; ``between`` are functions without a name, run after a part."""

    def __init__(self, parts: dict[str, nn.Module], **between: nn.Module) -> None:
        super().__init__()
        self.__dict__["between"] = between
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        for name, part in self.named_children():
            x = part(x)
            x = self.between[name](x) if name in self.between else x
        return x


def tutorial(channels: tuple[int, ...] = (24, 12, 8), image: int = 3, activation: nn.Module | None = None) -> nn.Module:
    """PyTorch's tutorial: ``main``, of any size and width."""
    layers: list[nn.Module] = normed(up(NOISE, channels[0], 4, 1, 0), channels[0], activation)
    for before, after in itertools.pairwise(channels):
        layers += normed(up(before, after), after, activation)
    return Whole({"main": nn.Sequential(*layers, up(channels[-1], image), nn.Tanh())})


def wasserstein() -> nn.Module:
    """martinarjovsky/WassersteinGAN: layers called by what they do, and extra ones that keep the size."""
    named: dict[str, nn.Module] = {
        "initial:6-16:convt": up(NOISE, 16, 4, 1, 0),
        "initial:16:batchnorm": nn.BatchNorm2d(16),
        "initial:16:relu": nn.ReLU(),
        "pyramid:16-8:convt": up(16, 8),
        "pyramid:8:batchnorm": nn.BatchNorm2d(8),
        "pyramid:8:relu": nn.ReLU(),
        "extra-layers-0:8:conv": nn.Conv2d(8, 8, 3, 1, 1, bias=False),
        "extra-layers-0:8:batchnorm": nn.BatchNorm2d(8),
        "extra-layers-0:8:relu": nn.ReLU(),
        "final:8-3:convt": up(8, 3),
        "final:3:tanh": nn.Tanh(),
    }
    return Whole({"main": nn.Sequential(OrderedDict(named))})


def numbered(layer: str, norm: str, bias: bool) -> nn.Module:
    """Layers and normalisations under names of their own, functions between."""
    sizes = (16, 12, 8)
    parts: dict[str, nn.Module] = {}
    for n, (i, o) in enumerate(zip((NOISE, *sizes), (*sizes, 1), strict=False), start=1):
        parts[layer.format(n)] = up(i, o, 4, *((1, 0) if n == 1 else (2, 1)), bias=bias)
        if n <= len(sizes):
            parts[norm.format(n)] = nn.BatchNorm2d(o)
    last = layer.format(len(sizes) + 1)
    functions: dict[str, nn.Module] = {norm.format(n): nn.ReLU() for n in range(1, len(sizes) + 1)}
    return Whole(parts, **functions, **{last: nn.Tanh()})


def pytorch_gan() -> nn.Module:
    """eriklindernoren/PyTorch-GAN: a linear layer, then enlarge and convolve; its second eps is 0.8."""
    blocks = [nn.BatchNorm2d(16)]
    for i, o in ((16, 16), (16, 8)):
        blocks += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(i, o, 3, padding=1),
            nn.BatchNorm2d(o, 0.8),
            nn.LeakyReLU(0.2),
        ]
    blocks += [nn.Conv2d(8, 1, 3, padding=1), nn.Tanh()]
    linear = nn.Sequential(nn.Linear(NOISE, 16 * 16))
    return Whole({"l1": linear, "conv_blocks": nn.Sequential(*blocks)}, l1=nn.Unflatten(1, (16, 4, 4)))


def nested(name: str) -> nn.Module:
    """A sequence of sequences: aladdinpersson's, Lightning's, torchgan's."""
    blocks = [nn.Sequential(*normed(up(NOISE, 16, 4, 1, 0), 16)), nn.Sequential(*normed(up(16, 8), 8))]
    return Whole({name: nn.Sequential(*blocks, up(8, 3, bias=True), nn.Tanh())})


def unflattened() -> nn.Module:
    """One sequence that begins with a linear layer, normalised by units."""
    begin = [nn.Linear(NOISE, 16 * 16), nn.BatchNorm1d(256), nn.ReLU(), nn.Unflatten(1, (16, 4, 4))]
    return nn.Sequential(*begin, *normed(up(16, 8), 8), up(8, 3), nn.Tanh())


def linear_and_blocks() -> nn.Module:
    """diegoalejogm/gans: nothing follows the linear layer."""
    parts = {
        "linear": nn.Linear(NOISE, 16 * 16),
        "conv1": nn.Sequential(*normed(up(16, 8), 8)),
        "conv2": nn.Sequential(up(8, 3)),
    }
    return Whole(parts, linear=nn.Unflatten(1, (16, 4, 4)), conv2=nn.Tanh())


def course() -> nn.Module:
    """The GANs course's network for 28 pixels: kernels of 3 and 4, no padding."""
    sizes = ((NOISE, 16, 3, 2), (16, 12, 4, 1), (12, 8, 3, 2))
    blocks = [nn.Sequential(*normed(up(i, o, kernel, stride, 0, bias=True), o)) for i, o, kernel, stride in sizes]
    last = nn.Sequential(up(8, 1, 4, 2, 0, bias=True), nn.Tanh())
    return Whole({"gen": nn.Sequential(*blocks, last)})


def wgan_gp() -> nn.Module:
    """caogang/wgan-gp for CIFAR: kernels of 2."""
    parts: dict[str, nn.Module] = {
        "preprocess": nn.Sequential(nn.Linear(NOISE, 256), nn.BatchNorm1d(256), nn.ReLU()),
        "block1": nn.Sequential(*normed(up(16, 8, 2, 2, 0, bias=True), 8)),
        "deconv_out": up(8, 3, 2, 2, 0, bias=True),
    }
    return Whole(parts, preprocess=nn.Unflatten(1, (16, 4, 4)), deconv_out=nn.Tanh())


def rectangular() -> nn.Module:
    """PyTorch's tutorial with a first kernel of 4×2."""
    first = nn.ConvTranspose2d(NOISE, 16, (4, 2), 1, 0, bias=False)
    return Whole({"main": nn.Sequential(*normed(first, 16), *normed(up(16, 8), 8), up(8, 3), nn.Tanh())})


def divided(divide: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """PyTorch's tutorial whose layers pass through ``divide``: spectral norm, weight norm."""
    network = tutorial()
    for module in list(network.modules()):
        if isinstance(module, nn.ConvTranspose2d):
            divide(module)
    return network


def trained(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network whose normalisations have the statistics of its own activations, as training leaves them."""
    torch.manual_seed(seed)
    network = make().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.5)
    for _ in range(4):
        network(noise_for(network, torch.randn(256, NOISE)))
    return network.eval()


def noise_for(network: nn.Module, z: Tensor) -> Tensor:
    """Noise in the shape that the network takes."""
    first = next(module for module in network.modules() if isinstance(module, nn.Linear | nn.ConvTranspose2d))
    return z if isinstance(first, nn.Linear) else z[:, :, None, None]


def original(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """What the network makes of some latents."""
    network, latent = trained(make), torch.randn(4, NOISE, generator=torch.Generator().manual_seed(1))
    return {"latent": latent, "image": network(noise_for(network, latent))}


def _write(make: Callable[[], nn.Module], file: str, wrapped: Callable[[dict[str, Tensor]], Any], folder: Path) -> Path:
    content, path = wrapped(trained(make).state_dict()), folder / file
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def _under(name: str) -> Callable[[dict[str, Tensor]], Any]:
    """Of a training loop: beside it lie the critic's weights and both optimisers' states."""
    return lambda state: {
        name: state,
        "discriminator": {"main.0.weight": torch.zeros(8, 3, 4, 4)},
        "optimizerG": {"state": {}, "param_groups": [{"lr": 2e-4}]},
        "epoch": 5,
    }


def _parallel(state: dict[str, Tensor]) -> Any:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def _lightning(state: dict[str, Tensor]) -> Any:
    both = {f"generator.{name}": tensor for name, tensor in state.items()}
    return {"state_dict": both | {"discriminator.disc.0.weight": torch.zeros(8, 3, 4, 4)}, "epoch": 3}


def _kind(program: str, file: str, read: str, make: Callable[[], nn.Module], wrapped: Any = dict, at: str = "") -> Kind:
    written = partial(_write, make, at or file.strip("`"), wrapped)
    return Kind("DCGAN", program, file, read, written, partial(original, make))


_NAMED = partial(numbered, "tconv{}", "bn{}", False)
_SPECTRAL = partial(divided, nn.utils.spectral_norm)
_PARAMETRIZED = partial(divided, nn.utils.parametrizations.spectral_norm)
_WEIGHT_NORM = partial(divided, partial(nn.utils.parametrizations.weight_norm, dim=1))
_ZNXLWM = partial(numbered, "deconv{}", "deconv{}_bn", True)

KINDS = [
    _kind("PyTorch's tutorial", "`netG.pth`", "`main.0` …", tutorial),
    _kind("PyTorch's tutorial", "`weights.tar`", "under `netG_state_dict`", tutorial, _under("netG_state_dict")),
    _kind("PyTorch's tutorial", "`netG.pth`", "of several GPUs (`module.`)", tutorial, _parallel),
    _kind("PyTorch's tutorial", "`model.safetensors`", "its layers sorted by name", tutorial),
    _kind("PyTorch's tutorial", "`netG.pth`", "128 px, grey", partial(tutorial, (32, 16, 12, 8, 4), 1)),
    _kind("martinarjovsky/WassersteinGAN", "`netG.pth`", "with extra layers", wasserstein),
    _kind(
        "Natsu6767/DCGAN-PyTorch", "`model.pth`", "`tconv1`, `bn1` …, under `generator`", _NAMED, _under("generator")
    ),
    _kind("znxlwm's", "`generator_param.pkl`", "`deconv1`, `deconv1_bn` …", _ZNXLWM),
    _kind("eriklindernoren/PyTorch-GAN", "`generator.pth`", "`l1.0`, `conv_blocks` …", pytorch_gan),
    _kind("aladdinpersson's, torchgan", "`gen.pth`", "`net.0.0` …", partial(nested, "net")),
    _kind("Lightning", "`last.ckpt`", "`generator.gen.0.0` …", partial(nested, "gen"), _lightning),
    _kind("a bare `nn.Sequential`", "`model.pt`", "a linear layer first", unflattened),
    _kind("diegoalejogm/gans", "`generator.pt`", "`linear`, `conv1.0` …", linear_and_blocks),
    _kind("the GANs course", "`gen.pth`", "28 px, kernels of 3 and 4", course),
    _kind("caogang/wgan-gp", "`netG.pth`", "`preprocess.0`, `block1.0` …", wgan_gp),
    _kind("any", "`netG.pth`", "64 × 32 and such: a first kernel that is no square", rectangular),
    _kind("any", "`netG.pth`", "spectral norm: `weight_orig`, `weight_u`, `weight_v`", _SPECTRAL),
    _kind("any", "`netG.pth`", "spectral norm: `parametrizations.weight.original`", _PARAMETRIZED),
    _kind("any", "`netG.pth`", "weight norm: `parametrizations.weight.original0`, `original1`", _WEIGHT_NORM),
]
