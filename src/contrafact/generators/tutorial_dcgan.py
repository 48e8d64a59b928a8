"""DCGAN as tutorials train it: a chain of (transposed) convolutions (Radford et al. 2016).

Unsupervised Representation Learning with Deep Convolutional GANs, ICLR 2016, https://arxiv.org/abs/1511.06434.
PyTorch's tutorial has a transposed convolution of the noise, then four that double the map; others begin with a linear
layer, enlarge and convolve, or end at 28 pixels. A list of stages says which; other programs' weights are read into it
by their shapes and order (see ``_dcgan_layouts.py``).

Shape suffixes: N samples, L latent dimensions, R rows, C channels, H, W sides.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._dcgan_layouts import Chain, chain_of
from contrafact.generators._dcgan_stages import Block, Stage, stage_of
from contrafact.generators._reparametrized import folded
from contrafact.generators._settings import UNKNOWN, Settings
from contrafact.generators._stored import state_dicts
from contrafact.nn.activations import ACTIVATIONS, check_activation
from contrafact.nn.critics import normal_init

SMALLEST, LARGEST = 8, 2048
"""Sides of images that a chain of a foreign file is believed to make."""
FEWEST_LATENTS, MOST_LATENTS = 32, 512
"""Latents that statistics are counted over: a small network has few channels, and is run on many in no time."""
SMALL = 1 << 17
"""Weights of a small network."""
MOST_NUMBERS = 1 << 25
"""Numbers that a stage may make for its statistics, and 1,024 multiplications for each: a stranger chose its shapes."""
FITS = 0.25
"""Misfit below which stored statistics are those of a network's own activations; a wrong one's is larger."""
FINAL = ("tanh", "sigmoid", "linear")
"""What may follow the last layer; images of the first and the last run from −1 to 1."""


class TutorialDCGAN(Generator):
    """A chain of stages from standard normal noise to an image.

    Args:
        latent_dim: L.
        stages: from the noise to the image; :class:`~contrafact.generators._dcgan_stages.Stage` or its fields by name.
        activation: what follows all stages but the last where they are active
            (:mod:`contrafact.nn.activations`).
        final: what follows the last: ``tanh``, ``sigmoid`` or ``linear``.
        slope: of ``lrelu``.

    >>> TutorialDCGAN.of_size(64).image_shape
    (3, 64, 64)
    """

    def __init__(
        self,
        latent_dim: int,
        stages: Sequence[Stage | Mapping[str, Any]],
        activation: str = "relu",
        final: str = "tanh",
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        if final not in FINAL:
            raise ValueError(unknown_name_message("final", str(final), FINAL))
        self.activation, self.final, self.slope = check_activation(activation), final, float(slope)
        shape: tuple[int, ...] = (latent_dim,)
        self.stages = nn.ModuleList()
        for given in stages:
            block = Block(stage_of(given), shape)
            self.stages.append(block)
            shape = block.shape
        if len(shape) != 3:
            raise ValueError(f"the stages must end in images (C, H, W), they end in {shape}")
        channels, height, width = shape
        self.image_shape = (channels, height, width)
        self.layer_names = tuple(f"stages.{number}" for number in range(len(self.stages) - 1)) or ("stages.0",)
        normal_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @property
    def blocks(self) -> list[Block]:
        """Each stage's modules."""
        return [block for block in self.stages if isinstance(block, Block)]

    @classmethod
    def of_size(cls, side: int, latent_dim: int = 100, width: int = 64, channels: int = 3) -> TutorialDCGAN:
        """The tutorial's network with random weights, for an image of another size.

        Args:
            side: 8, 16, 32, 64, …
            latent_dim: L (``nz``).
            width: channels before the image (``ngf``).
            channels: of the image (``nc``).

        Raises:
            ValueError: a side that doubling 4 does not reach.

        >>> TutorialDCGAN.of_size(32, latent_dim=8, width=4).layer_names
        ('stages.0', 'stages.1', 'stages.2')
        """
        doublings = side.bit_length() - 3
        if side < 8 or side != 4 << doublings:
            raise ValueError(f"side must be 8, 16, 32, 64, …, got {side}")
        first = Stage("transposed", width << (doublings - 1), stride=1, padding=0)
        between = [Stage("transposed", width << (doublings - 1 - n)) for n in range(1, doublings)]
        return cls(latent_dim, [first, *between, Stage("transposed", channels, norm="none", active=False)])

    @classmethod
    def tiny(cls) -> TutorialDCGAN:
        """A small instance for examples and contract tests."""
        return cls.of_size(16, latent_dim=5, width=4)

    def forward(self, latent: Tensor) -> Tensor:
        x = self._run(latent, len(self.stages)).float()
        if self.final == "sigmoid":
            return torch.sigmoid(x)
        return ((torch.tanh(x) if self.final == "tanh" else x) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer) + 1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        first = self.blocks[0].layer
        weight = first.weight
        if isinstance(first, nn.ConvTranspose2d):
            weight = weight.flatten(1).T
        return weight.flatten(1)

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        x = self.check_latent(latent)
        for block in self.blocks[:depth]:
            x = self.activate(block(x)) if block.stage.active else block(x)
        return x

    def activate(self, x: Tensor) -> Tensor:
        """The activation between stages."""
        return F.leaky_relu(x, self.slope) if self.activation == "lrelu" else ACTIVATIONS[self.activation][0](x)

    def arguments(self) -> dict[str, Any]:
        fields = [dataclasses.asdict(block.stage) for block in self.blocks]
        stages = [{n: list(v) if isinstance(v, tuple) else v for n, v in stage.items()} for stage in fields]
        return {
            "latent_dim": self.latent_dim,
            "stages": stages,
            "activation": self.activation,
            "final": self.final,
            "slope": self.slope,
        }


def read(content: Any, settings: Settings) -> TutorialDCGAN | None:
    """The generator of a foreign checkpoint, None if it holds no chain of (transposed) convolutions.

    Raises:
        ValueError: settings given that do not fit the chain, or images that no memory holds.
    """
    for state in state_dicts(content):
        chain = chain_of(folded(state))
        if chain is not None:
            return _from_chain(chain, settings)
    return None


def _from_chain(chain: Chain, settings: Settings) -> TutorialDCGAN:
    stages, known = chain.stages(settings), chain.spelling()
    final = settings.choose("final", "tanh", known.get("final", UNKNOWN))
    slope = settings.choose("slope", 0.2, 0.2)
    weights = chain.weights()

    def built(activation: str, first_is_active: bool) -> TutorialDCGAN:
        first, *rest = stages
        changed = [dataclasses.replace(first, active=first_is_active), *rest]
        generator = TutorialDCGAN(chain.latent_dim, changed, activation, final, slope)
        counters = {name: t for name, t in generator.state_dict().items() if name.endswith("num_batches_tracked")}
        generator.load_state_dict(weights | counters)
        return generator.eval()

    generator = built("relu", stages[0].active)
    height, width = generator.image_shape[1:]
    if not SMALLEST <= min(height, width) <= max(height, width) <= LARGEST:
        raise ValueError(
            f"its layers would make images of {height}×{width} pixels, expected {SMALLEST} to {LARGEST}: say how they "
            "step with strides and paddings, a list of numbers each"
        )
    # Whether something follows a linear layer is open where names do not count functions.
    is_open = stages[0].kind == "dense" and len(stages) > 1 and chain.links[1].gap is None
    trials = {(name, stages[0].active): built(name, stages[0].active) for name in ("relu", "lrelu")}
    if is_open:
        trials |= {(name, not stages[0].active): built(name, not stages[0].active) for name in ("relu", "lrelu")}
    found, first_is_active = _by_statistics(trials) or (UNKNOWN, stages[0].active)
    activation = settings.choose("activation", "relu", found, known.get("activation", UNKNOWN))
    return built(activation, first_is_active)


def _by_statistics(trials: Mapping[tuple[str, bool], TutorialDCGAN]) -> tuple[str, bool] | None:
    """The trial whose activations have the means and variances that batch normalisation kept of training."""
    misfits = {trial: _misfit(generator) for trial, generator in trials.items()}
    (best, least), (_, second), *_ = sorted(misfits.items(), key=lambda item: item[1])
    return best if least < FITS and least < second / 2 else None


@torch.no_grad()
def _misfit(generator: TutorialDCGAN) -> float:
    """How far the first activations' statistics are from the stored ones, 0 for equal; infinite where none are stored.

    Per channel, the squared distance of the means in stored variances, and the squared logarithm of the variances'
    ratio; the mean over the first two normalisations behind an activation.
    """
    is_small = sum(p.numel() for p in generator.parameters()) < SMALL
    count = MOST_LATENTS if is_small else FEWEST_LATENTS
    x = generator.prior(count, torch.Generator().manual_seed(0))
    found: list[Tensor] = []
    behind = False
    for block in generator.blocks:
        size = count * math.prod(block.shape)
        if max(size, block.layer.weight.numel() * size // block.shape[0] // 1024) > MOST_NUMBERS or len(found) == 2:
            break
        out = block.normalised(x)
        if behind and block.norm is not None:
            over = [0, *range(2, out.ndim)]
            mean, variance = out.mean(over), out.var(over)
            kept_mean, kept = block.statistics()
            distance = (mean - kept_mean).square() / kept + (variance.clamp_min(1e-8) / kept).log().square()
            found.append(distance.mean())
        x = block(x)
        if block.stage.active:
            x, behind = generator.activate(x), True
    return float(torch.stack(found).mean()) if found else math.inf
