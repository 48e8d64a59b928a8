"""FastGAN: gated layers, and early maps that weigh channels of late ones (Liu et al. 2021).

Liu, Zhu, Song & Elgammal, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis", ICLR
2021, https://arxiv.org/abs/2101.04775. Reads the checkpoints of FastGAN-pytorch and the network pickles of
autonomousvision/projected-gan (Sauer et al. 2021, https://arxiv.org/abs/2111.01007), which normalises the latent, may
double its layers everywhere, and has classes. Those programs draw noise for each image anew; here it is fixed, the same
for all. Their weights' spectral norms are divided out on reading.

Shape suffixes: N samples, L latent dimensions, E class embedding, C channels, H, W sides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator, Truncated
from contrafact.generators._reparametrized import folded
from contrafact.generators._settings import UNKNOWN, Settings
from contrafact.generators._stored import StoredModule, state_dicts, take

GATED = range(4, 8)
"""Stages whose channels those of the stage four sides earlier weigh: 64 to 512 pixels."""


class Normalisation(nn.Module):
    """Batch normalisation by the statistics of training; with classes, scale and shift are linear in the embedding."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, affine=not embed_dim)
        self.gain = nn.Linear(embed_dim, channels) if embed_dim else None
        self.shift = nn.Linear(embed_dim, channels) if embed_dim else None

    def forward(self, x: Tensor, embedded: Tensor | None) -> Tensor:
        """``(N, C, H, W)`` and ``(N, E)`` to ``(N, C, H, W)``."""
        x = self.bn(x)
        if self.gain is not None and self.shift is not None:
            x = x * (1 + self.gain(embedded))[:, :, None, None] + self.shift(embedded)[:, :, None, None]
        return x


class Layer(nn.Module):
    """A convolution, noise, normalisation, and half of the channels as gates of the other half."""

    noise: Tensor

    def __init__(self, before: int, after: int, side: int, noisy: bool, embed_dim: int, seed: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 2 * after, 3, padding=1, bias=False)
        self.norm = Normalisation(2 * after, embed_dim)
        self.strength = nn.Parameter(torch.zeros(1)) if noisy else None
        if noisy:
            drawn = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed))
            self.register_buffer("noise", drawn, persistent=False)

    def forward(self, x: Tensor, embedded: Tensor | None) -> Tensor:
        """``(N, C, H, W)`` to as many pixels of other channels."""
        x = self.conv(x)
        if self.strength is not None:
            x = x + self.strength * self.noise
        return F.glu(self.norm(x, embedded), dim=1)


class Gate(nn.Module):
    """Weighs the channels of a map by an earlier one."""

    def __init__(self, early: int, late: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(early, late, 4, bias=False)
        self.weigh = nn.Conv2d(late, late, 1, bias=False)

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        """``late``, each channel times a number from 0 to 1."""
        return late * torch.sigmoid(self.weigh(F.silu(self.look(F.adaptive_avg_pool2d(early, 4)))))


class FastGAN(Generator):
    """FastGAN's generator; its latent is standard normal, followed by the class's embedding while a class is open.

    Args:
        z_dim: dimensions of the noise.
        channels: channel count at 4, 8, … pixels up to the image's side.
        doubled: of every side from 8 pixels on, whether it has two convolutions, with noise, or one without.
        image_channels: C.
        normalize: whether only the noise's direction counts, as in projected-gan; there is no truncation then.
        tanh: whether the image passes through a hyperbolic tangent, as FastGAN-pytorch's of 1024 pixels do.
        classes: number of classes, 0 for none.
        label: fix the class.

    >>> FastGAN(8, [16, 8, 8], [True, False]).image_shape
    (3, 16, 16)
    """

    def __init__(
        self,
        z_dim: int = 256,
        channels: Sequence[int] = (1024, 512, 256, 128, 128, 64, 32),
        doubled: Sequence[bool] = (True, False, True, False, True, False),
        image_channels: int = 3,
        normalize: bool = False,
        tanh: bool = False,
        classes: int = 0,
        label: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = [check_count("channels", count) for count in channels]
        self.doubled = [bool(two) for two in doubled]
        if len(self.channels) != len(self.doubled) + 1:
            raise ValueError(
                "channels must list a count for every side from 4 pixels on, doubled one less, from 8 pixels on; got "
                f"{len(self.channels)} and {len(self.doubled)}"
            )
        self.z_dim = self.prior_dim = check_count("z_dim", z_dim)
        self.normalize, self.tanh = bool(normalize), bool(tanh)
        self.classes = self.num_classes = classes
        embed_dim = z_dim if classes else 0
        self.latent_dim = z_dim + embed_dim
        side = 2 << len(self.channels)
        self.image_shape = (check_count("image_channels", image_channels), side, side)
        self.truncated_in: Truncated = "nowhere" if normalize else "latents"
        self.first = nn.ConvTranspose2d(z_dim, 2 * self.channels[0], 4, bias=False)
        self.first_norm = Normalisation(2 * self.channels[0], 0)
        self.stages = nn.ModuleList()
        self.gates = nn.ModuleDict()
        for place, (before, after) in enumerate(itertools.pairwise(self.channels), start=1):
            counts = [before, after, after][: 2 + self.doubled[place - 1]]
            self.stages.append(
                nn.ModuleList(
                    Layer(i, o, 4 << place, len(counts) == 3, embed_dim, 2 * place + n)
                    for n, (i, o) in enumerate(itertools.pairwise(counts))
                )
            )
            if place in GATED:
                self.gates[str(place)] = Gate(self.channels[place - 4], after)
        self.to_image = nn.Conv2d(self.channels[-1], image_channels, 3, padding=1)
        self.embed = nn.Embedding(classes, embed_dim) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                inputs = z_dim if module is self.first else module.weight[0].numel()
                nn.init.normal_(module.weight, std=1.6 * inputs**-0.5)  # gates halve what passes
        self.layer_names = ("first", *(f"stages.{i}" for i in range(len(self.stages))))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        if label is not None:
            self.fix_label(label)

    @classmethod
    def tiny(cls) -> FastGAN:
        """A small instance for examples and contract tests."""
        return cls(5, [6, 4, 4, 3, 3], [True, False, True, False])

    def fix_label(self, label: int) -> None:
        super().fix_label(label)
        self.latent_dim = self.z_dim

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        z = z * self.check_condition(label, truncation)
        return z if label is None or self.embed is None else torch.cat((z, self.embed(label)), dim=1)

    def forward(self, latent: Tensor) -> Tensor:
        image: Tensor = self.to_image(self._run(latent, len(self.stages)))
        return ((image.tanh() if self.tanh else image) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer))

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        rows = [F.pad(self.first.weight.flatten(1).T, (0, self.latent_dim - self.z_dim))]
        if self.latent_dim > self.z_dim:
            norms = (module for module in self.modules() if isinstance(module, Normalisation))
            linear = [part.weight for norm in norms for part in (norm.gain, norm.shift) if part is not None]
            rows += [F.pad(weight, (self.z_dim, 0)) for weight in linear]
        return torch.cat(rows)

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        latent = self.check_latent(latent)
        z, embedded = latent[:, : self.z_dim], latent[:, self.z_dim :]
        if self.label is not None and self.embed is not None:
            embedded = self.embed.weight[self.label].expand(len(latent), -1)
        if self.normalize:
            z = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        x = self.first(z[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        maps = [F.glu(self.first_norm(x, None), dim=1)]
        for place, stage in enumerate(self.stages[:depth], start=1):
            assert isinstance(stage, nn.ModuleList)
            x = F.interpolate(maps[-1], scale_factor=2.0, mode="nearest")
            for layer in stage:
                x = layer(x, embedded)
            maps.append(self.gates[str(place)](maps[place - 4], x) if place in GATED else x)
        return maps[-1]

    def arguments(self) -> dict[str, Any]:
        return {
            "z_dim": self.z_dim,
            "channels": self.channels,
            "doubled": self.doubled,
            "image_channels": self.image_shape[0],
            "normalize": self.normalize,
            "tanh": self.tanh,
            "classes": self.classes,
            "label": self.label,
        }


def read(content: Any, settings: Settings) -> FastGAN | None:
    """The generator of a foreign checkpoint, None if it is no FastGAN.

    Raises:
        ValueError: a FastGAN that is incomplete, or of shapes that do not fit together.
    """
    beside = content if isinstance(content, Mapping) else {}
    network = content if isinstance(content, StoredModule) else beside.get("G_ema")
    for state in state_dicts(content):
        if any(re.match(r"(synthesis\.)?feat_8\.(1|conv1?)\.", name) for name in state):
            said = network.arguments if isinstance(network, StoredModule) else {}
            return _from_state(folded(_averaged(state, beside.get("g_ema"))), said, settings)
    return None


def _averaged(state: Mapping[str, Tensor], averages: Any) -> Mapping[str, Tensor]:
    """The state with the running averages of its parameters, which FastGAN-pytorch's ``all_*.pth`` lists unnamed."""
    names = [name for name in state if not re.search(r"weight_[uv]|running_|num_batches", name)]
    if not isinstance(averages, list) or len(averages) != len(names):
        return state
    pairs = dict(zip(names, averages, strict=True))
    known = all(isinstance(average, Tensor) and average.shape == state[name].shape for name, average in pairs.items())
    return {**state, **pairs} if known else state


def _take(state: Mapping[str, Tensor], name: str) -> Tensor:
    return take(state, name, "FastGAN")


def _from_state(found: Mapping[str, Tensor], said: Mapping[str, Any], settings: Settings) -> FastGAN:
    state = {name.removeprefix("synthesis."): tensor for name, tensor in found.items()}
    first, last = _take(state, "init.init.0.weight"), _take(state, "to_big.weight")
    weights = {"first.weight": first, "to_image.weight": last, **_normalisation(state, "init.init.1", "first_norm")}
    classes = 0
    if "embed.weight" in state:
        # The embedding has a thousand rows, whatever the number of classes.
        classes = len(_take(state, "embed.weight"))
        named = said.get("c_dim")
        classes = named if isinstance(named, int) and 0 < named < classes else classes
        weights["embed.weight"] = _take(state, "embed.weight")[:classes]
    channels, doubled = [first.shape[1] // 2], list[bool]()
    for place in range(1, _doublings(state, last.shape[1]) + 1):
        layers = _layers(state, f"feat_{4 << place}.")
        for number, (conv, noise, norm) in enumerate(layers):
            ours = f"stages.{place - 1}.{number}"
            weights[f"{ours}.conv.weight"] = _take(state, f"{conv}.weight")
            if len(layers) == 2:
                weights[f"{ours}.strength"] = _take(state, f"{noise}.weight") if noise else torch.zeros(1)
            weights |= _normalisation(state, norm, f"{ours}.norm")
        channels.append(weights[f"stages.{place - 1}.0.conv.weight"].shape[0] // 2)
        doubled.append(len(layers) == 2)
        if place in GATED:
            for mine, number in (("look", 1), ("weigh", 3)):
                weights[f"gates.{place}.{mine}.weight"] = _take(state, f"se_{4 << place}.main.{number}.weight")
    # FastGAN-pytorch makes a small image besides; projected-gan's layers are alike on all sides, the last has a bias.
    first_program = any(name.startswith("to_128.") for name in state)
    later = not first_program and ("to_big.bias" in state or state.keys() != found.keys() or len(set(doubled)) == 1)
    known = first_program or later
    weights["to_image.bias"] = _take(state, "to_big.bias") if later else last.new_zeros(len(last))
    largest = len(channels) == 9
    normalize = settings.choose("normalize", False, later if known else UNKNOWN)
    tanh = settings.choose("tanh", largest, (largest and first_program) if known else UNKNOWN)
    generator = FastGAN(first.shape[0], channels, doubled, len(last), normalize, tanh, classes)
    counters = {name: t for name, t in generator.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        generator.load_state_dict(weights | counters)
    except RuntimeError as error:
        raise ValueError(f"the FastGAN checkpoint's shapes do not fit together: {error}") from error
    return generator


def _doublings(state: Mapping[str, Tensor], width: int) -> int:
    """How often 4 pixels double to the image, which ``width`` channels are made into.

    Programs build the layers of 256 pixels for smaller images, too.
    """
    places = sorted({int(found[1]).bit_length() - 3 for name in state if (found := re.match(r"feat_(\d+)\.", name))})
    for place in reversed(places):
        layers = _layers(state, f"feat_{4 << place}.") if 0 < place < 10 else []
        if layers and _take(state, f"{layers[-1][0]}.weight").shape[0] == 2 * width:
            return place
    raise ValueError(f"the FastGAN checkpoint has no layer whose {width} channels its last one takes")


def _layers(state: Mapping[str, Tensor], stage: str) -> list[tuple[str, str, str]]:
    """Names of a stage's convolutions, each with its noise's strength and its normalisation."""
    if f"{stage}conv.weight" in state:
        return [(f"{stage}conv", "", f"{stage}bn")]
    if f"{stage}conv1.weight" in state:
        return [(f"{stage}conv{n}", f"{stage}noise", f"{stage}bn{n}") for n in (1, 2)]
    found: list[list[str]] = []
    numbers = {int(name.split(".")[1]) for name in state if re.match(rf"{re.escape(stage)}\d+\.", name)}
    for name in (f"{stage}{number}" for number in sorted(numbers)):
        weight = _take(state, f"{name}.weight")
        if weight.ndim == 4:
            found.append([name, "", ""])
        elif found:
            found[-1][2 if f"{name}.running_mean" in state else 1] = name
    if len(found) == 2 and any(noise for _, noise, _ in found):  # not in a fork that leaves noise out
        for layer, number in zip(found, (2, 6), strict=True):
            layer[1] = f"{stage}{number}"
    if not found:
        _take(state, f"{stage}1.weight")
    return [(conv, noise, norm) for conv, noise, norm in found][:2]


def _normalisation(state: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    if f"{theirs}.stored_mean" in state:
        names = {"gain.weight": "gain.weight", "gain.bias": "gain.bias", "bn.running_mean": "stored_mean"}
        names |= {"shift.weight": "bias.weight", "shift.bias": "bias.bias", "bn.running_var": "stored_var"}
    else:
        names = {f"bn.{part}": part for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{ours}.{mine}": _take(state, f"{theirs}.{part}") for mine, part in names.items()}
