"""BigGAN and BigGAN-deep: class-conditional GANs, frozen (Brock et al. 2019).

Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, https://arxiv.org/abs/1809.11096. Reads
Hugging Face's pytorch-pretrained-BigGAN (deep; a folder of ``config.json`` and ``pytorch_model.bin``) and Brock's
BigGAN-PyTorch (both kinds; ``G_ema.pth``). Spectral normalisation is folded into the weights.

The class enters as an embedding beside the noise. While the class is open, a latent is both, ``(z, embedding)``; once
it is fixed (``label``), a latent is the noise alone.

Shape suffixes: N samples, Z noise dimensions, E embedding dimensions, C channels, S rows of statistics, H, W sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._biggan_layouts import translate
from contrafact.generators._settings import Settings
from contrafact.nn.activations import ACTIVATIONS, check_activation

Conditioning = Literal["all", "class", "hierarchical"]


class Norm(nn.Module):
    """Batch normalisation by stored statistics; gain and offset follow the condition where there is one.

    Attributes:
        means: ``(S, C)``, a row for each truncation in even steps from 0 to 1, or one row for all.
        variances: ``(S, C)``.
    """

    means: Tensor
    variances: Tensor

    def __init__(self, channels: int, condition_dim: int, rows: int, eps: float) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(rows, channels))
        self.register_buffer("variances", torch.ones(rows, channels))
        self.eps = eps
        self.gain = nn.Linear(condition_dim, channels, bias=False) if condition_dim else None
        self.offset = nn.Linear(condition_dim, channels, bias=False) if condition_dim else None
        if not condition_dim:
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, condition: Tensor | None, truncation: float) -> Tensor:
        """``(N, C, H, W)`` normalised, before the nonlinearity."""
        if self.gain is None or self.offset is None or condition is None:
            gain, offset = self.weight[None], self.bias[None]
        else:
            gain, offset = 1 + self.gain(condition), self.offset(condition)
        gain = gain * torch.rsqrt(self._row(self.variances, truncation) + self.eps)
        offset = offset - gain * self._row(self.means, truncation)
        return torch.addcmul(offset[:, :, None, None], x, gain[:, :, None, None])

    @staticmethod
    def _row(rows_SC: Tensor, truncation: float) -> Tensor:
        if len(rows_SC) == 1:
            return rows_SC[0]
        share, index = math.modf(truncation / (1.0 / (len(rows_SC) - 1)))
        if share == 0.0:
            return rows_SC[int(index)]
        # The weights look swapped; the original has them so.
        return share * rows_SC[int(index)] + (1 - share) * rows_SC[int(index) + 1]


class Block(nn.Module):
    """A residual block: two 3×3 convolutions, or (deep) two between two 1×1 ones at a quarter of the channels."""

    def __init__(
        self,
        before: int,
        after: int,
        up: bool,
        deep: bool,
        condition_dim: int,
        rows: int,
        eps: float,
        activation: str,
    ) -> None:
        super().__init__()
        middle = before // 4 if deep else after
        widths = [before, middle, middle, middle, after] if deep else [before, after, after]
        sizes = [1, 3, 3, 1] if deep else [3, 3]
        self.norms = nn.ModuleList(Norm(width, condition_dim, rows, eps) for width in widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, size, padding=size // 2) for i, o, size in zip(widths, widths[1:], sizes, strict=False)
        )
        self.bypass = None if deep else nn.Conv2d(before, after, 1)
        self.up, self.after = up, after
        self.grow_at, self.activation = 1 if deep else 0, activation

    def forward(self, x: Tensor, condition: Tensor, truncation: float) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H, W)``, or twice the sides where ``up``."""
        hidden, activate = x, ACTIVATIONS[self.activation][0]
        for index, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            hidden = activate(norm(hidden, condition, truncation))
            if self.up and index == self.grow_at:
                hidden = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = conv(hidden)
        kept = x[:, : self.after] if self.bypass is None else self.bypass(x)
        return hidden + (F.interpolate(kept, scale_factor=2.0, mode="nearest") if self.up else kept)


class Attention(nn.Module):
    """Self-attention over positions (SAGAN), keys and values pooled 2×2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta, self.phi = (nn.Conv2d(channels, channels // 8, 1, bias=False) for _ in range(2))
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same."""
        queries = self.theta(x).flatten(2).transpose(1, 2)
        keys = F.max_pool2d(self.phi(x), 2).flatten(2)
        values = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = torch.softmax(queries @ keys, dim=-1)
        seen = (values @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        out: Tensor = x + self.gamma * self.o(seen)
        return out


class BigGAN(Generator):
    """BigGAN's generator; see the module's text for its latent.

    Args:
        layers: ``(doubles the sides, channels before, channels after)`` of each block.
        z_dim: Z.
        embed_dim: E.
        classes: number of classes.
        deep: BigGAN-deep's blocks.
        conditioning: what enters where. ``all``: noise and embedding into the first layer and every block; ``class``:
            noise first, embedding into the blocks; ``hierarchical``: noise in equal parts, one for the first layer and
            one, after the embedding, for each block.
        attention: before which blocks (from 0) self-attention runs.
        statistics: rows of batch-norm statistics, for truncations from 0 to 1.
        truncation: its own truncation, which scales the noise and chooses the row: one decision, so that with several
            rows latents of another are refused.
        prior_bound: the noise is a normal cut off here, before truncation scales it; None for no bound.
        base: side of the first map.
        image_channels: C.
        eps: of the batch normalisations.
        last_eps: of the one before the image.
        label: fix the class.
        activation: before the convolutions (see :mod:`contrafact.nn.activations`; without a gain).

    Raises:
        ValueError: sizes that do not fit each other, unknown names, truncation outside [0, 1].

    >>> BigGAN([(True, 16, 8), (True, 8, 8)], z_dim=4, embed_dim=4, classes=10, attention=[1]).image_shape
    (3, 16, 16)
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Any]],
        z_dim: int = 128,
        embed_dim: int = 128,
        classes: int = 1000,
        deep: bool = False,
        conditioning: Conditioning = "class",
        attention: Sequence[int] = (),
        statistics: int = 1,
        truncation: float = 1.0,
        prior_bound: float | None = None,
        base: int = 4,
        image_channels: int = 3,
        eps: float = 1e-5,
        last_eps: float = 1e-5,
        label: int | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.plan = [(bool(up), int(before), int(after)) for up, before, after in layers]
        check_count("the number of layers", len(self.plan))
        self.z_dim, self.embed_dim = check_count("z_dim", z_dim), check_count("embed_dim", embed_dim)
        self.classes, self.deep = check_count("classes", classes), deep
        if conditioning not in ("all", "class", "hierarchical"):
            raise ValueError(unknown_name_message("conditioning", conditioning, ["all", "class", "hierarchical"]))
        if conditioning == "hierarchical" and z_dim % (len(self.plan) + 1):
            raise ValueError(f"hierarchical noise of {z_dim} dimensions does not split into {len(self.plan) + 1} parts")
        if not all(0 <= position < len(self.plan) for position in attention):
            raise ValueError(f"attention must name blocks from 0 to {len(self.plan) - 1}, got {list(attention)}")
        self.check_truncation(truncation)
        self.conditioning, self.attention = conditioning, sorted(int(position) for position in attention)
        self.statistics, self.truncation = check_count("statistics", statistics), float(truncation)
        self.truncated_in = "images" if statistics > 1 else "latents"
        self.prior_bound, self.base, self.eps, self.last_eps = prior_bound, base, eps, last_eps
        if not isinstance(eps, float | int) or not eps > 0:
            raise ValueError(f"eps must be a positive number, got {eps!r}")
        self.activation = check_activation(activation)
        self.prior_dim = z_dim
        side = base << sum(up for up, _, _ in self.plan)
        self.image_shape = (image_channels, side, side)

        part = z_dim // (len(self.plan) + 1) if conditioning == "hierarchical" else z_dim
        first_dim = z_dim + embed_dim if conditioning == "all" else part
        condition_dim = embed_dim + (0 if conditioning == "class" else part)
        self.embed = nn.Embedding(classes, embed_dim)
        self.first = nn.Linear(first_dim, self.plan[0][1] * base * base)
        self.blocks = nn.ModuleList(
            Block(before, after, up, deep, condition_dim, statistics, eps, activation)
            for up, before, after in self.plan
        )
        self.attentions = nn.ModuleDict({str(i): Attention(self.plan[i][1]) for i in self.attention})
        self.norm = Norm(self.plan[-1][2], 0, statistics, last_eps)
        self.to_image = nn.Conv2d(self.plan[-1][2], image_channels, 3, padding=1)
        self.layer_names = tuple(f"blocks.{i}" for i in range(len(self.plan)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.num_classes = classes
        self.latent_dim = z_dim + embed_dim
        self.space = "z and class"
        if label is not None:
            self.fix_label(label)

    @classmethod
    def tiny(cls) -> BigGAN:
        """A small instance for examples and contract tests."""
        generator = cls([(True, 16, 8), (True, 8, 8)], 4, 3, 5, attention=[1], statistics=3, prior_bound=2.0)
        nn.init.ones_(generator.attentions["1"].get_parameter("gamma"))
        return generator

    def fix_label(self, label: int) -> None:
        super().fix_label(label)
        self.latent_dim, self.space = self.z_dim, "z"

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        z = self.check_condition(label, truncation) * self._bounded(z)
        return z if label is None else torch.cat((z, self.embed(label)), dim=1)

    def _bounded(self, z: Tensor) -> Tensor:
        """A standard normal draw as a draw of the normal cut off at ±bound: same quantile of either."""
        if self.prior_bound is None:
            return z
        tail = torch.special.ndtr(torch.tensor(-self.prior_bound, dtype=torch.double, device=z.device))
        bounded: Tensor = torch.special.ndtri(tail + (1 - 2 * tail) * torch.special.ndtr(z.double()))
        return bounded.to(z.dtype)

    def forward(self, latent: Tensor) -> Tensor:
        x = self._run(latent, len(self.blocks))
        x = ACTIVATIONS[self.activation][0](self.norm(x, None, self.truncation))
        return (torch.tanh(self.to_image(x)) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer) + 1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The first layer's; parts of the latent that enter elsewhere only have zeros."""
        seen = self.first.weight[:, : self.latent_dim]
        return F.pad(seen, (0, self.latent_dim - seen.shape[1]))

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        first, conditions = self._inputs(self.check_latent(latent))
        x: Tensor = self.first(first).unflatten(1, (-1, self.base, self.base))
        x = x.contiguous(memory_format=torch.channels_last)
        for index, block in enumerate(self.blocks[:depth]):
            if index in self.attention:
                x = self.attentions[str(index)](x)
            x = block(x, conditions[index], self.truncation)
        return x

    def _inputs(self, latent: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the first layer and each block take."""
        z = latent[:, : self.z_dim]
        embedding = (
            self.embed.weight[self.label].expand(len(z), -1) if self.label is not None else latent[:, self.z_dim :]
        )
        if self.conditioning == "all":
            both = torch.cat((z, embedding), dim=1)
            return both, [both] * len(self.blocks)
        if self.conditioning == "class":
            return z, [embedding] * len(self.blocks)
        first, *rest = z.chunk(len(self.blocks) + 1, dim=1)
        return first, [torch.cat((embedding, part), dim=1) for part in rest]

    def arguments(self) -> dict[str, Any]:
        return {
            "layers": [list(layer) for layer in self.plan],
            "z_dim": self.z_dim,
            "embed_dim": self.embed_dim,
            "classes": self.classes,
            "deep": self.deep,
            "conditioning": self.conditioning,
            "attention": self.attention,
            "statistics": self.statistics,
            "truncation": self.truncation,
            "prior_bound": self.prior_bound,
            "base": self.base,
            "image_channels": self.image_shape[0],
            "eps": self.eps,
            "last_eps": self.last_eps,
            "label": self.label,
            "activation": self.activation,
        }


def read(content: Any, settings: Settings) -> BigGAN | None:
    """The generator of a foreign checkpoint, None if it is no BigGAN.

    Raises:
        ValueError: a BigGAN that is incomplete.
    """
    translated = translate(content, settings)
    if translated is None:
        return None
    generator = BigGAN(**translated.arguments)
    try:
        generator.load_state_dict(translated.tensors)
    except RuntimeError as error:
        raise ValueError(f"the BigGAN checkpoint's shapes do not fit together: {error}") from error
    return generator
