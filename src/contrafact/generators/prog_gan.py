"""ProgGAN: the progressively grown GAN, fully grown, frozen (Karras et al. 2018).

Progressive Growing of GANs, ICLR 2018, https://arxiv.org/abs/1710.10196. Reads the authors' TensorFlow pickles, the
checkpoints of the PyTorch port used by GANLatentDiscovery (``features.*``, ``output.*``) and those of genforce
(``layer*``, ``output*``). Their run-time weight scales are folded into the weights.

Shape suffixes: N samples, L latent dimensions, C channels, H, W sides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator, Truncated
from contrafact.generators._settings import Settings
from contrafact.generators._stored import TensorFlowNetwork, state_dicts, take
from contrafact.generators._style_layouts import check_grown
from contrafact.generators._tensorflow import check_usual, count_sides, take_kernel, tensorflow_generator


class ProgGAN(Generator):
    """ProgGAN's generator; its latent is standard normal and only its direction counts (it is normalised first).

    So there is no truncation: no direction is the mean of all.

    Args:
        latent_dim: L.
        channels: channel count at 4, 8, … pixels.
        image_channels: C.
        tanh: whether the image passes through a hyperbolic tangent at the end (genforce's ``final_tanh``).

    >>> ProgGAN(16, [8, 8, 4]).image_shape
    (3, 16, 16)
    """

    truncated_in: Truncated = "nowhere"

    def __init__(
        self,
        latent_dim: int = 512,
        channels: Sequence[int] = (512,) * 4,
        image_channels: int = 3,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(tanh, bool):
            raise ValueError(f"tanh is true or false, got {tanh!r}")
        self.tanh = tanh
        counts = [check_count("channels", count) for count in channels]
        check_count("the number of channel counts", len(counts))
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        self.channels = counts
        side = 2 << len(counts)
        self.image_shape = (image_channels, side, side)
        self.convs = nn.ModuleList([nn.Conv2d(latent_dim, counts[0], 4, padding=3)])
        self.convs.append(nn.Conv2d(counts[0], counts[0], 3, padding=1))
        for before, after in itertools.pairwise(counts):
            self.convs.append(nn.Conv2d(before, after, 3, padding=1))
            self.convs.append(nn.Conv2d(after, after, 3, padding=1))
        self.to_image = nn.Conv2d(counts[-1], image_channels, 1)
        for name, weight in self.convs.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(weight, a=0.2)
        self.layer_names = tuple(f"convs.{i}" for i in range(len(self.convs)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> ProgGAN:
        """A small instance for examples and contract tests."""
        return cls(6, [8, 6, 4])

    def forward(self, latent: Tensor) -> Tensor:
        x = self.to_image(_pixel_norm(self._run(latent, len(self.convs))))
        image: Tensor = ((x.tanh() if self.tanh else x) + 1) / 2
        return image

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer) + 1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        kernel = self.convs[0].weight
        assert isinstance(kernel, Tensor)
        return kernel.permute(0, 2, 3, 1).flatten(0, 2)  # on a map of 1×1 every tap of the kernel is an output

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        x = self.check_latent(latent)[:, :, None, None].contiguous(memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs[:depth]):
            x = _pixel_norm(x)
            if index >= 2 and index % 2 == 0:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.leaky_relu(conv(x), 0.2)
        return x

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "channels": self.channels,
            "image_channels": self.image_shape[0],
            "tanh": self.tanh,
        }


def _pixel_norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def read(content: Any, settings: Settings) -> ProgGAN | None:
    """The generator of a foreign checkpoint, None if it is no ProgGAN.

    Raises:
        ValueError: a ProgGAN that is incomplete or not fully grown.
    """
    network = tensorflow_generator(content)
    if network is not None:
        return _build(_from_tensorflow(network)) if "4x4/Dense/weight" in network.variables else None
    for state in state_dicts(content):
        if "features.0.wscale.scale" in state:
            return _build(_from_features(state))
        if "layer0.weight" in state and "output0.weight" in state:
            weights = _from_genforce(state, settings)
            return _build(weights, settings.choose("tanh", False, settings.beside("final_tanh")))
    return None


def _build(weights: dict[str, Tensor], tanh: bool = False) -> ProgGAN:
    convs = sum(name.endswith(".weight") for name in weights) - 1
    image = weights["to_image.weight"]
    generator = ProgGAN(
        weights["convs.0.weight"].shape[1],
        [weights[f"convs.{i}.weight"].shape[0] for i in range(1, convs, 2)],
        image.shape[0],
        tanh,
    )
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the ProgGAN checkpoint's shapes do not fit together: {error}") from error
    return generator


def _from_features(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    count = sum(name.endswith(".conv.weight") and name.startswith("features.") for name in state)
    names = [(f"convs.{i}", f"features.{i}") for i in range(count)] + [("to_image", "output")]
    for ours, theirs in names:
        scale = take(state, f"{theirs}.wscale.scale", "ProgGAN")
        weights[f"{ours}.weight"] = take(state, f"{theirs}.conv.weight", "ProgGAN") * scale
        weights[f"{ours}.bias"] = take(state, f"{theirs}.wscale.b", "ProgGAN")
    return weights


def _from_genforce(state: Mapping[str, Tensor], settings: Settings) -> dict[str, Tensor]:
    check_grown(state.get("lod"), "ProgGAN")
    count = sum(name.startswith("layer") and name.endswith(".weight") for name in state)
    kernels = [take(state, f"layer{i}.weight", "ProgGAN") for i in range(count)]
    # Upsampling layers that are stored for a transposed convolution show it where the channel counts differ.
    growing = range(2, count, 2)
    if all(kernels[i].shape[0] == kernels[i].shape[1] for i in growing):
        fused = len(growing) > 0 and settings.choose("fused", False, settings.beside("fused_scale"))
        if not isinstance(fused, bool):
            raise ValueError(f"fused says whether the upsampling layers are transposed convolutions, got {fused!r}")
    else:
        fused = any(kernels[i].shape[1] != kernels[i - 1].shape[0] for i in growing)
    weights = {}
    for i, kernel in enumerate(kernels):
        if fused and i in growing:
            kernel = kernel.transpose(0, 1).flip(2, 3)
        weights[f"convs.{i}.weight"] = kernel * math.sqrt(2 / kernel[0].numel())
        weights[f"convs.{i}.bias"] = take(state, f"layer{i}.bias", "ProgGAN")
    last = f"output{count // 2 - 1}"
    kernel = take(state, f"{last}.weight", "ProgGAN")
    weights["to_image.weight"] = kernel * math.sqrt(1 / kernel[0].numel())
    weights["to_image.bias"] = take(state, f"{last}.bias", "ProgGAN")
    return weights


_USUAL = {
    "label_size": 0,
    "normalize_latents": True,
    "use_wscale": True,
    "use_pixelnorm": True,
    "pixelnorm_epsilon": 1e-8,
    "use_leakyrelu": True,
}
"""Options of the authors' program that its networks leave as they are."""


def _from_tensorflow(network: TensorFlowNetwork) -> dict[str, Tensor]:
    values = network.variables
    check_usual(network.arguments, _USUAL, "ProgGAN")
    check_grown(values.get("lod"), "ProgGAN")
    weights: dict[str, Tensor] = {}
    for i, name in enumerate(_tensorflow_layers(values)):
        bias = take(values, f"{name}/bias", "ProgGAN")
        if i == 0:  # a dense layer to 4×4 pixels; on a map of 1×1 a convolution reads its kernel from behind
            dense = take(values, f"{name}/weight", "ProgGAN")
            kernel = dense.reshape(len(dense), len(bias), 4, 4).transpose(0, 1).flip(2, 3)
            gain = math.sqrt(2) / 4 / math.sqrt(len(dense))
        else:
            kernel = take_kernel(values, f"{name}/weight", "ProgGAN")
            if name.endswith("_up"):
                kernel = kernel.flip(2, 3)
                if network.program.startswith("tfutil"):  # the first program, which keeps outputs before inputs there
                    kernel = kernel.transpose(0, 1)
            gain = math.sqrt(2 / kernel[0].numel())
        weights[f"convs.{i}.weight"], weights[f"convs.{i}.bias"] = kernel * gain, bias
    kernel = take_kernel(values, "ToRGB_lod0/weight", "ProgGAN")
    weights["to_image.weight"] = kernel * math.sqrt(1 / kernel[0].numel())
    weights["to_image.bias"] = take(values, "ToRGB_lod0/bias", "ProgGAN")
    return weights


def _tensorflow_layers(values: Mapping[str, Tensor]) -> list[str]:
    names = ["4x4/Dense", "4x4/Conv"]
    for i in range(1, count_sides(values)):
        place = f"{4 << i}x{4 << i}"
        fused = f"{place}/Conv0_up/weight" in values  # a transposed convolution
        names += [f"{place}/{'Conv0_up' if fused else 'Conv0'}", f"{place}/Conv1"]
    return names
