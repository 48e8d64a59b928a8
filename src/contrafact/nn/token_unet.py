"""A small U-Net that removes noise, told what the image is by tokens that it attends to.

The layout is that of latent diffusion (Rombach et al. 2022, https://arxiv.org/abs/2112.10752): residual blocks with the
time in their second normalisation, cross-attention to the tokens after each, at every level.

Shape suffixes: N images, J tokens, D their dimensions, C channels, H height, W width, P positions (H·W), E features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count

Conditioning = Literal["attention", "film"]
"""How tokens reach the features: positions attend to them, or all of them together scale and shift channels."""


class ConceptTokens(nn.Module):
    """Each of J numbers by a network of its own (1 → 64 → 128 → D, ELU) to a token; nothing else tells tokens apart.

    Args:
        count: J.
        token_dim: D.
        hidden: widths between.

    >>> tokens = ConceptTokens(5, 16)
    >>> tokens(torch.zeros(2, 5)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, count: int, token_dim: int, hidden: Sequence[int] = (64, 128)) -> None:
        super().__init__()
        self.count, sizes = check_count("count", count), (1, *hidden, check_count("token_dim", token_dim))
        shapes = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(torch.empty(count, before, after) for before, after in shapes)
        self.biases = nn.ParameterList(torch.empty(count, 1, after) for _, after in shapes)
        for (before, _), weight, bias in zip(shapes, self.weights, self.biases, strict=True):
            for parameter in (weight, bias):  # as torch's linear layers start
                nn.init.uniform_(parameter, -(before**-0.5), before**-0.5)

    def forward(self, codes_NJ: Tensor) -> Tensor:
        """Tokens ``(N, J, D)`` of codes ``(N, J)``: all J networks in one batched product a layer."""
        hidden_JNE = codes_NJ.T[..., None]
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden_JNE = torch.baddbmm(bias, F.elu(hidden_JNE) if number else hidden_JNE, weight)
        return hidden_JNE.transpose(0, 1)

    @torch.no_grad()
    def rescale(self, center_J: Tensor, scale_J: Tensor) -> None:
        """Read codes from now on in other units: what was ``center + scale · code`` is now ``code``.

        >>> tokens, codes = ConceptTokens(3, 4), torch.randn(2, 3)
        >>> before = tokens(2 + 5 * codes)
        >>> tokens.rescale(torch.full((3,), 2.0), torch.full((3,), 5.0))
        >>> torch.allclose(tokens(codes), before, atol=1e-5)
        True
        """
        weight, bias = self.weights[0], self.biases[0]
        bias += center_J[:, None, None] * weight
        weight *= scale_J[:, None, None]


def time_features(times_N: Tensor, width: int) -> Tensor:
    """Sines and cosines ``(N, width)`` of times, of frequencies from 1 down to 1/10,000.

    >>> time_features(torch.tensor([0, 10]), 6).shape
    torch.Size([2, 6])
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=times_N.device) / half)
    angles = times_N[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _groups(channels: int) -> int:
    """Groups of a normalisation: as many of 32 as divide the channels, of at least four channels where there are."""
    return math.gcd(channels, min(32, max(1, channels // 4)))


def _start_silent(layer: nn.Conv2d) -> None:
    """Let a layer say 0 to begin with."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; what is told scales and shifts the features between them.

    Args:
        before: channels of what comes in.
        after: channels of what goes out.
        told: features of what it is told; 0 where it is told nothing.

    >>> ResidualBlock(4, 8)(torch.zeros(2, 4, 6, 6)).shape
    torch.Size([2, 8, 6, 6])
    """

    def __init__(self, before: int, after: int, told: int = 0) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(_groups(before), before)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.tell = nn.Linear(told, 2 * after) if told else None
        self.second_norm = nn.GroupNorm(_groups(after), after)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        _start_silent(self.second)  # each block starts as its shortcut
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, features: Tensor, told_NE: Tensor | None = None) -> Tensor:
        """Features ``(N, after, H, W)`` of features ``(N, before, H, W)``."""
        hidden = self.second_norm(self.first(F.silu(self.first_norm(features))))
        if self.tell is not None:
            scale, shift = self.tell(told_NE)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        shortcut: Tensor = self.shortcut(features)
        changed: Tensor = self.second(F.silu(hidden))
        return shortcut + changed


def _heads(channels: int, most: int) -> int:
    """Heads of an attention: as many of ``most`` as divide the channels and leave eight to each."""
    return math.gcd(channels, max(1, min(most, channels // 8)))


class TokenAttention(nn.Module):
    """Each position asks, tokens answer: softmax(QKᵀ/√d)·V in several heads, added to the features.

    Tokens are few and positions many, so the maps of query and output are carried to the tokens first: the same
    numbers in two products of J columns a head, without a query or an answer of every position in memory.

    Args:
        channels: C.
        token_dim: D.
        heads: at most; a head has at least eight channels.

    >>> attention = TokenAttention(16, 8, heads=2)
    >>> features, tokens = torch.randn(2, 16, 4, 4), torch.randn(2, 5, 8)
    >>> attention(features, tokens).shape, attention.given(features, tokens).shape
    (torch.Size([2, 16, 4, 4]), torch.Size([2, 2, 5, 4, 4]))
    """

    def __init__(self, channels: int, token_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = _heads(channels, heads)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(token_dim, channels, bias=False)
        self.value = nn.Linear(token_dim, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def given(self, features: Tensor, tokens_NJD: Tensor) -> Tensor:
        """Attention ``(N, heads, J, H, W)`` that positions give to tokens: 1 in total at each position and head."""
        per_head = self.query.out_features // self.heads
        key_NHJE: Tensor = self.key(tokens_NJD).unflatten(2, (self.heads, per_head)).transpose(1, 2)
        asked_NHJC = key_NHJE @ (self.query.weight / per_head**0.5).unflatten(0, (self.heads, per_head))
        scores_NJP = torch.bmm(asked_NHJC.flatten(1, 2), self.norm(features).flatten(2))
        given: Tensor = scores_NJP.unflatten(1, (self.heads, -1)).softmax(dim=2).unflatten(3, features.shape[2:])
        return given

    def forward(self, features: Tensor, tokens_NJD: Tensor) -> Tensor:
        """Features of the same shape ``(N, C, H, W)``, told by tokens ``(N, J, D)``."""
        given = self.given(features, tokens_NJD)
        value_NHJE = self.value(tokens_NJD).unflatten(2, (self.heads, -1)).transpose(1, 2)
        answer_NHJC = value_NHJE @ self.out.weight.T.unflatten(0, (self.heads, -1))
        read_NCP = torch.bmm(answer_NHJC.flatten(1, 2).transpose(1, 2), given.flatten(1, 2).flatten(2))
        read: Tensor = read_NCP.unflatten(2, features.shape[2:]) + self.out.bias[:, None, None]
        return features + read


class SelfAttention(nn.Module):
    """Positions attend to positions, in several heads; the result is added to the features.

    Args:
        channels: C.
        heads: at most; a head has at least eight channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = _heads(channels, heads)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.ask = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape ``(N, C, H, W)``."""
        asked = self.ask(self.norm(features).flatten(2).transpose(1, 2)).unflatten(2, (3, self.heads, -1))
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        read_NPC = self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        read: Tensor = read_NPC.transpose(1, 2).unflatten(2, features.shape[2:])
        return features + read


class FeedForward(nn.Module):
    """Two linear layers at every position, four times as wide between them, added to the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.first, self.second = nn.Conv2d(channels, 4 * channels, 1), nn.Conv2d(4 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        changed: Tensor = self.second(F.gelu(self.first(self.norm(features))))
        return features + changed


class TokenBlock(nn.Module):
    """A residual block, then attention to tokens; a ``transformer`` one also attends to itself, with linear layers."""

    def __init__(self, before: int, after: int, told: int, token_dim: int, heads: int, transformer: bool) -> None:
        super().__init__()
        self.residual = ResidualBlock(before, after, told)
        self.to_itself = SelfAttention(after, heads) if transformer else None
        self.to_tokens = TokenAttention(after, token_dim, heads) if token_dim else None
        self.feed_forward = FeedForward(after) if transformer else None

    def forward(self, features: Tensor, told_NE: Tensor, tokens_NJD: Tensor | None) -> Tensor:
        """Features ``(N, after, H, W)``."""
        features = self.residual(features, told_NE)
        if self.to_itself is not None:
            features = self.to_itself(features)
        if self.to_tokens is not None and tokens_NJD is not None:
            features = self.to_tokens(features, tokens_NJD)
        return features if self.feed_forward is None else self.feed_forward(features)


class TokenUNet(nn.Module):
    """Predicts the noise in a noised image, or the image, from it, its time and tokens that say what it shows.

    Args:
        image_shape: ``(C, H, W)`` of what is denoised; sides that halve evenly once less than there are levels.
        tokens: J; 0 with ``film`` for a U-Net that is told nothing but the time.
        token_dim: D.
        channels: of the first level.
        multipliers: channels of each level, in multiples of the first one's.
        blocks: of each level, on the way down and on the way up.
        heads: of the attention, at most.
        conditioning: ``attention`` to tokens, or ``film``: all tokens side by side, with the time, scale and shift.
        transformer: blocks also attend to themselves and have two linear layers, as latent diffusion's.

    Raises:
        ValueError: sides that do not halve, or an unknown conditioning.

    >>> net = TokenUNet((3, 16, 16), 4, 8, channels=16)
    >>> net(torch.zeros(2, 3, 16, 16), torch.tensor([0, 9]), torch.zeros(2, 4, 8)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        tokens: int,
        token_dim: int,
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 2),
        blocks: int = 1,
        heads: int = 8,
        conditioning: Conditioning = "attention",
        transformer: bool = False,
    ) -> None:
        super().__init__()
        if conditioning not in ("attention", "film"):
            raise ValueError(unknown_name_message("conditioning", conditioning, ["attention", "film"]))
        depth, (image_channels, height, width) = len(multipliers), image_shape
        if depth == 0 or (height | width) % 2 ** (depth - 1):
            raise ValueError(
                f"a U-Net of {depth} levels halves images {depth - 1} times, which does not fit {height}×{width}; "
                "choose another size (--size)"
            )
        sizes, told = [channels * m for m in multipliers], 4 * channels
        self.channels, self.blocks, self.conditioning = channels, blocks, conditioning
        self.time = nn.Sequential(nn.Linear(channels, told), nn.SiLU(), nn.Linear(told, told))
        self.film = nn.Linear(tokens * token_dim, told) if conditioning == "film" and tokens else None

        def block(before: int, after: int) -> TokenBlock:
            return TokenBlock(before, after, told, 0 if conditioning == "film" else token_dim, heads, transformer)

        self.begin = nn.Conv2d(image_channels, sizes[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.halving, self.doubling = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([sizes[0], *sizes], sizes, strict=False):
            self.down.append(nn.ModuleList(block(before if k == 0 else after, after) for k in range(blocks)))
            self.halving.append(nn.Conv2d(after, after, 3, stride=2, padding=1))
        self.halving = self.halving[:-1]
        self.middle = nn.ModuleList([block(sizes[-1], sizes[-1]), ResidualBlock(sizes[-1], sizes[-1], told)])
        for before, after in zip([sizes[-1], *sizes[::-1]], sizes[::-1], strict=False):
            self.up.append(nn.ModuleList(block((before if k == 0 else after) + after, after) for k in range(blocks)))
            self.doubling.append(nn.Conv2d(after, after, 3, padding=1))
        self.doubling = self.doubling[:-1]
        self.end_norm = nn.GroupNorm(_groups(sizes[0]), sizes[0])
        self.end = nn.Conv2d(sizes[0], image_channels, 3, padding=1)
        _start_silent(self.end)

    def forward(self, noised: Tensor, times_N: Tensor, tokens_NJD: Tensor) -> Tensor:
        """What it predicts ``(N, C, H, W)`` of ``noised`` at times ``(N,)``, given tokens ``(N, J, D)``."""
        told_NE = self.at_time(times_N)
        if self.film is not None:
            told_NE = told_NE + self.film(tokens_NJD.flatten(1))
        told_NE = F.silu(told_NE)
        return self.ascend(self.descend(noised, told_NE, tokens_NJD), told_NE, tokens_NJD)

    def at_time(self, times_N: Tensor) -> Tensor:
        """What blocks are told of times ``(N,)``, before the last SiLU: ``(N, E)``."""
        told: Tensor = self.time(time_features(times_N, self.channels))
        return told

    def descend(self, noised: Tensor, told_NE: Tensor, tokens_NJD: Tensor | None = None) -> list[Tensor]:
        """Features after each block of the way down; the bottleneck begins with the last."""
        hidden, skips = self.begin(noised), []
        for level, blocks in enumerate(self.down):
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                hidden = block(hidden, told_NE, tokens_NJD)
                skips.append(hidden)
            if level < len(self.halving):
                hidden = self.halving[level](hidden)
        return skips

    def ascend(self, skips: Sequence[Tensor], told_NE: Tensor, tokens_NJD: Tensor | None = None) -> Tensor:
        """What is predicted ``(N, C, H, W)`` of features of the way down: the bottleneck and the way up."""
        left = list(skips)
        hidden = self.middle[1](self.middle[0](left[-1], told_NE, tokens_NJD), told_NE)
        for level, blocks in enumerate(self.up):
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                hidden = block(torch.cat([hidden, left.pop()], dim=1), told_NE, tokens_NJD)
            if level < len(self.doubling):
                hidden = self.doubling[level](F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        said: Tensor = self.end(F.silu(self.end_norm(hidden)))
        return said

    def keep_ascent(self) -> TokenUNet:
        """Itself with the bottleneck and the way up alone, which reads the features of another's way down."""
        del self.begin, self.down, self.halving, self.time
        return self
