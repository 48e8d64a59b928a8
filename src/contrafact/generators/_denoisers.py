"""How each kind of denoiser of the diffusers library is spoken to: its shapes, where its h is, and what it is told.

U-Nets have their h in the bottleneck. Transformers have none: their h is what the block in the middle gives for each
patch of the image, numbers by patches.

Shape suffixes: N samples, T tokens, D numbers of a token, P numbers of a pooled text, C, H, W sides.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.generators._networks import Part, built, watched

Guided = Literal["passes", "number", "no"]
_BLOCK = re.compile(r"transformer_blocks\.\d+")


@dataclass(frozen=True)
class Told:
    """What a network is told besides an image and its time; None for what it is not told.

    Attributes:
        tokens: ``(N, T, D)`` of a text.
        pooled: ``(N, P)`` of the whole text.
        classes: ``(N,)``.
        size: ``(H, W)`` of the images that are to come.
        guidance: how much it is to follow the text, for those that are told such a number.
    """

    tokens: Tensor | None = None
    pooled: Tensor | None = None
    classes: Tensor | None = None
    size: tuple[int, int] = (0, 0)
    guidance: float = 1.0

    @staticmethod
    def joined(parts: Sequence[Told]) -> Told:
        """Of several passes in one."""

        def along(name: str) -> Tensor | None:
            tensors = [tensor for part in parts if (tensor := getattr(part, name)) is not None]
            return torch.cat(tensors) if tensors else None

        return Told(along("tokens"), along("pooled"), along("classes"), parts[0].size, parts[0].guidance)

    def hollow(self) -> Told:
        """The same without memory or content."""
        hollow = [None if part is None else part.to("meta") for part in (self.tokens, self.pooled, self.classes)]
        return replace(self, tokens=hollow[0], pooled=hollow[1], classes=hollow[2])


class Kind(ABC):
    """A kind of denoiser, as one of them is configured.

    Attributes:
        has_text: whether it is told a text.
        has_pooled: whether it is always told that text's pooled embedding too.
        flow: whether it says flows, whatever the solver; else the solver decides.
        guided: by a second pass that is told nothing, by a number that it is told, or not at all.
        classes: how many it is told one of; 0 for none.
        no_class: what it is told in place of a class, for guidance; None where there is no such thing.
        channels: of the images or latents that it is shown.
        said: of what it says of them.
        sides: of the images or latents that it was trained on; none if it does not say.
        grain: what sides must divide by.
        cut: and why.
        largest: the largest side; None for any.
        square: whether sides must be alike.
        module: where h is unless told otherwise.
        layers: modules whose activations can be asked for, by short names.
    """

    has_text: ClassVar[bool] = False
    has_pooled: ClassVar[bool] = False
    flow: ClassVar[bool] = False
    square: ClassVar[bool] = False
    cut: ClassVar[str]
    guided: Guided = "passes"
    classes: int = 0
    no_class: int | None = None
    largest: int | None = None
    grain: int
    module: str
    layers: Mapping[str, str]

    def __init__(self, config: Any) -> None:
        self.channels = int(config.in_channels)
        self.said = int(config.get("out_channels") or self.channels)
        sample = config.get("sample_size")
        self.sides = [sample, sample] if isinstance(sample, int) else list(sample or ())

    @abstractmethod
    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        """What a network says of ``x (N, C, H, W)`` at a time: of the same shape."""

    def schedule(self, solver: Any, steps: int, shape: tuple[int, int, int]) -> dict[str, Any]:
        """What its pipeline gives a solver's ``set_timesteps`` for noise of a shape ``(C, H, W)``."""
        return {"num_inference_steps": steps}

    @contextmanager
    def watched(self, network: nn.Module, name: str, shift: Tensor | None = None) -> Iterator[list[Tensor]]:
        """What its module of that name gives while this lasts, each ``(N, C, …)``, before ``shift`` is added to it."""
        with watched(network.get_submodule(name), shift) as seen:
            yield seen


class UNet(Kind):
    """U-Nets of images alone (Ho, Jain & Abbeel 2020), some of which are told a class."""

    cut = "halved as often"
    guided: Guided = "no"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classes = int(config.get("num_class_embeds") or 0)
        levels = len(config.block_out_channels)
        self.grain = 2 ** (levels - 1)
        self.module = "mid_block"
        self.layers = {f"up{number}": f"up_blocks.{number}" for number in range(levels)}

    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        more = {} if told.classes is None else {"class_labels": told.classes}
        said: Tensor = network(x, time, return_dict=False, **more)[0]
        return said


class TextUNet(UNet):
    """U-Nets that attend to a text (Rombach et al. 2022, https://arxiv.org/abs/2112.10752)."""

    has_text = True
    guided: Guided = "passes"

    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        more: dict[str, Any] = {}
        if told.pooled is not None:
            numbers = torch.tensor([*told.size, 0, 0, *told.size], device=x.device, dtype=x.dtype)
            more = {"added_cond_kwargs": {"text_embeds": told.pooled, "time_ids": numbers.expand(len(x), -1)}}
        said: Tensor = network(x, time, encoder_hidden_states=told.tokens, return_dict=False, **more)[0]
        return said


class Transformer(Kind):
    """What transformers share: a sequence of blocks over the patches of an image."""

    cut = "cut into the patches"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.grain = int(config.patch_size)
        count = int(config.num_layers)
        self.module = f"transformer_blocks.{(count - 1) // 2}"
        self.layers = {f"block{number}": f"transformer_blocks.{number}" for number in range(count)}

    def schedule(self, solver: Any, steps: int, shape: tuple[int, int, int]) -> dict[str, Any]:
        more = {}
        if solver.config.get("use_dynamic_shifting"):
            more = {"mu": _shift(solver.config, shape[1] // self.grain * (shape[2] // self.grain))}
        return {"num_inference_steps": steps, **more}

    @contextmanager
    def watched(self, network: nn.Module, name: str, shift: Tensor | None = None) -> Iterator[list[Tensor]]:
        # Blocks of a text and an image give the image's patches second; what is within them gives those first.
        place = 1 if self.has_text and _BLOCK.search(name + "$") else 0
        with watched(network.get_submodule(name), shift, place, tokens=True) as seen:
            yield seen


class DiT(Transformer):
    """Transformers that are told a class (Peebles & Xie 2023, https://arxiv.org/abs/2212.09748)."""

    square = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classes = self.no_class = int(config.num_embeds_ada_norm)
        if self.said == 2 * self.channels:  # the other half is how sure it is of the first
            self.said = self.channels

    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        said = network(x, timestep=time.expand(len(x)), class_labels=told.classes, return_dict=False)[0]
        first: Tensor = said[:, : self.said]
        return first


class SD3(Transformer):
    """Stable Diffusion 3 and 3.5 (Esser et al. 2024, https://arxiv.org/abs/2403.03206)."""

    has_text = has_pooled = flow = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        places = config.get("pos_embed_max_size")
        self.largest = None if places is None else int(places) * self.grain

    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        said: Tensor = network(
            x,
            encoder_hidden_states=told.tokens,
            pooled_projections=told.pooled,
            timestep=time.expand(len(x)),
            return_dict=False,
        )[0]
        return said


def _shift(config: Any, patches: int) -> float:
    """How far a solver moves its times towards noise: on the line through what it has for two numbers of patches."""
    share = (patches - config.base_image_seq_len) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(config.base_shift + share * (config.max_shift - config.base_shift))


class Flux(Transformer):
    """Flux dev and schnell (Black Forest Labs 2024): images are shown in patches of 2 × 2 numbers of each channel."""

    has_text = has_pooled = flow = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.channels, self.said = self.channels // 4, self.said // 4
        self.grain = 2
        self.sides = [128, 128]  # its configuration says nothing of them, its pipeline this
        self.guided = "number" if config.guidance_embeds else "no"
        singles = {
            f"single{number}": f"single_transformer_blocks.{number}" for number in range(config.num_single_layers)
        }
        self.layers = {**self.layers, **singles}

    def schedule(self, solver: Any, steps: int, shape: tuple[int, int, int]) -> dict[str, Any]:
        more = super().schedule(solver, steps, shape)
        del more["num_inference_steps"]
        return {**more, "sigmas": np.linspace(1.0, 1 / steps, steps)}

    def say(self, network: nn.Module, x: Tensor, time: Tensor, told: Told) -> Tensor:
        rows, columns = x.shape[2] // 2, x.shape[3] // 2
        patches = F.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2)
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        said = network(
            patches,
            encoder_hidden_states=told.tokens,
            pooled_projections=told.pooled,
            timestep=time.expand(len(x)) / 1000,
            img_ids=F.pad(places, (1, 0)).to(x),
            txt_ids=torch.zeros(0 if told.tokens is None else told.tokens.shape[1], 3, device=x.device),
            guidance=torch.full((len(x),), told.guidance, device=x.device) if self.guided == "number" else None,
            return_dict=False,
        )[0]
        grid = said.transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(grid, 2)


KINDS: Mapping[str, type[Kind]] = {
    "UNet2DModel": UNet,
    "UNet2DConditionModel": TextUNet,
    "DiTTransformer2DModel": DiT,
    "SD3Transformer2DModel": SD3,
    "FluxTransformer2DModel": Flux,
}
"""By their names in the library."""
DENOISERS = tuple(KINDS)


def denoiser_of(part: Part) -> tuple[nn.Module, Kind]:
    """A denoiser with random weights, and its kind (ValueError for one that is, or is told, what is not supported)."""
    network: nn.Module = built(part, DENOISERS, "denoiser")
    config: Any = network.config
    if embedded := config.get("class_embed_type"):
        raise ValueError(
            f"this {part['class']} is told {embedded!r} embeddings in place of classes, which is not supported; take "
            "one that is told class numbers (num_class_embeds alone) or none"
        )
    kind = KINDS[str(part["class"])](config)
    if kind.said != kind.channels:
        raise ValueError(
            f"this {part['class']} is shown {kind.channels} channels and says {kind.said} of them; take one that says "
            "as many as it is shown, not one that is shown a mask or another image besides"
        )
    if kind.classes and kind.has_text:
        raise ValueError(
            f"this {part['class']} is told classes besides its text, which is not supported; take one that is not"
        )
    return network, kind


def noise_shape(kind: Kind, vae: Any, size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Shape of the noise for images of a size; None for what the denoiser was trained on.

    Raises:
        ValueError: a VAE of other channels than the denoiser's, or a size that does not fit.
    """
    factor = 1
    if vae is not None:
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        taken = vae.config.get("vq_embed_dim") or vae.config.latent_channels
        if kind.said != taken:
            raise ValueError(
                f"the denoiser gives {kind.said} channels, and the {type(vae).__name__} beside it decodes {taken}; "
                "they belong to different pipelines"
            )
    if size is None and not kind.sides:
        raise ValueError('the pipeline does not say how large its images are; give {"size": [512, 512]}')
    height, width = (factor * side for side in kind.sides) if size is None else size
    deepest, largest = factor * kind.grain, kind.largest
    if height % deepest or width % deepest or min(height, width) < deepest:
        raise ValueError(
            f"images of {height}×{width} pixels cannot be {kind.cut} as these networks do; give sides that "
            f"{deepest} divides"
        )
    if largest is not None and max(height, width) > largest * factor:
        raise ValueError(
            f"images of {height}×{width} pixels are larger than this network knows places for; give sides of at most "
            f"{largest * factor}"
        )
    if kind.square and height != width:
        raise ValueError(f"this network makes square images alone, got {height}×{width} pixels; give equal sides")
    return kind.channels, height // factor, width // factor
