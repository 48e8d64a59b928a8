"""DINOv2, the network whose features Fréchet distances are measured by beside, or instead of, Inception's.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024; as a judge of generators: Stein
et al., "Exposing flaws of generative model evaluation metrics", NeurIPS 2023, who use the large one. The weights are
yours to fetch: the authors' ``dinov2_vitl14_pretrain.pth``, or a folder of transformers (``facebook/dinov2-large``).

Shape suffixes: N images, C channels, H height, W width, T tokens, D width of the network, G patches a side.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.foreign import first_line
from contrafact.core.inert_files import read_inert

SIDE = 224
HEAD = 64  # width of an attention head in all of them
SIZES = {384: "s", 768: "b", 1024: "l", 1536: "g"}
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")
OFFSET = 0.1
"""By how many patches too far positions are stretched in networks without registers: the authors' program does so."""
# Names of transformers, and the authors'.
RENAMED = (
    (r"^(?:dinov2|dinov2_with_registers)\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
    (r"^layernorm\.", "norm."),
)


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        first, last = ("w12", "w3") if gated else ("fc1", "fc2")
        inner = nn.Linear(width, 2 * hidden if gated else hidden)
        self.mlp = nn.ModuleDict({first: inner, last: nn.Linear(hidden, width)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": torch.empty(width)}) for _ in range(2))

    def forward(self, tokens_NTD: Tensor) -> Tensor:
        heads = self.attn["qkv"](self.norm1(tokens_NTD)).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        tokens_NTD = tokens_NTD + self.ls1["gamma"] * self.attn["proj"](seen)
        first, last = self.mlp.values()
        inner = first(self.norm2(tokens_NTD))
        if "w12" in self.mlp:
            gate, inner = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * inner
        else:
            inner = F.gelu(inner)
        mixed: Tensor = tokens_NTD + self.ls2["gamma"] * last(inner)
        return mixed


class DinoV2(nn.Module):
    """Images to the features of their first token; read by :func:`dinov2`.

    Attributes:
        name: what the protocol of a score calls it: ``dinov2-l14``, ``dinov2-l14-registers``.
    """

    def __init__(self, width: int, hidden: int, depth: int, side: int, patch: int, registers: int, gated: bool) -> None:
        super().__init__()
        self.name = f"dinov2-{SIZES.get(width, width)}{patch}{'-registers' if registers else ''}"
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + side**2, width))
        self.register_tokens = nn.Parameter(torch.empty(1, registers, width)) if registers else None
        self.blocks = nn.ModuleList(_Block(width, hidden, gated) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.side = side

    def positions(self, side: int) -> Tensor:
        """Learnt positions ``(1, 1 + side², D)``, of another grid than the learnt one by interpolation."""
        if side == self.side:
            return self.pos_embed
        first, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:].unflatten(1, (self.side, self.side))
        grid_DGG = grid.permute(0, 3, 1, 2)
        if self.register_tokens is None:
            scale = (side + OFFSET) / self.side
            grid_DGG = F.interpolate(grid_DGG, scale_factor=(scale, scale), mode="bicubic")
        else:
            grid_DGG = F.interpolate(grid_DGG, size=(side, side), mode="bicubic", antialias=True)
        return torch.cat([first, grid_DGG.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(N, D)`` of images ``(N, C, H, W)`` in [0, 1], one channel or three, resized to 224 × 224."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"DINOv2 sees images of 1 or 3 channels, got {images.shape[1]}")
        images = images.float().expand(-1, 3, -1, -1)
        if images.shape[2:] != (SIDE, SIDE):
            images = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
        images = images.clamp(0, 1)
        mean, deviation = (images.new_tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        patches = self.patch_embed["proj"]((images - mean) / deviation)
        tokens_NTD = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens_NTD = tokens_NTD + self.positions(patches.shape[2])
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens_NTD = torch.cat([tokens_NTD[:, :1], registers, tokens_NTD[:, 1:]], dim=1)
        for block in self.blocks:
            tokens_NTD = block(tokens_NTD)
        features: Tensor = self.norm(tokens_NTD[:, 0])
        return features


def dinov2(path: str | Path) -> DinoV2:
    """A DINOv2 from its weights on this disk, for ``extractor=`` of :func:`~contrafact.metrics.fid` and its kin.

    Args:
        path: the authors' ``.pth`` file, or a folder of transformers, or the ``.safetensors`` or ``.bin`` in it.

    Raises:
        ValueError: no such file, a damaged one, or one that holds something else.

    >>> dinov2("dinov2_vitl14_pretrain.pth")
    Traceback (most recent call last):
    ValueError: no DINOv2 weights at dinov2_vitl14_pretrain.pth; give a .pth of the authors or transformers' folder
    """
    place = Path(path)
    found = [place / name for name in IN_FOLDERS if (place / name).is_file()] if place.is_dir() else [place]
    if not found or not found[0].is_file():
        raise ValueError(f"no DINOv2 weights at {place}; give a .pth of the authors or transformers' folder")
    try:
        weights = _authors_names(_tensors(found[0]))
        width, patch = weights["cls_token"].shape[-1], weights["patch_embed.proj.weight"].shape[-1]
        side, depth = int((weights["pos_embed"].shape[1] - 1) ** 0.5), _depth(weights)
        gated = "blocks.0.mlp.w12.weight" in weights
        hidden = weights[f"blocks.0.mlp.{'w3' if gated else 'fc2'}.weight"].shape[1]
        registers = weights["register_tokens"].shape[1] if "register_tokens" in weights else 0
        if width % HEAD or not 0 < patch <= SIDE:
            raise ValueError(f"a width of {width} and patches of {patch} pixels are none of DINOv2's")
        with torch.device("meta"):
            network = DinoV2(width, hidden, depth, side, patch, registers, gated)
        needed, given = ({n: v.shape for n, v in d.items()} for d in (network.state_dict(), weights))
        if wrong := sorted(name for name in needed | given if needed.get(name) != given.get(name)):
            raise ValueError(f"{len(wrong)} tensors are missing, of other shapes, or not DINOv2's, such as {wrong[0]}")
        network.load_state_dict(weights, assign=True)
    except Exception as error:  # whatever the file is
        raise ValueError(f"{found[0]} does not hold DINOv2's weights ({first_line(error)})") from error
    return network.eval().requires_grad_(False)


def _tensors(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        content = load_file(file)
    else:
        content = read_inert(file).content
    return {str(name): value.float() for name, value in content.items() if isinstance(value, Tensor)}


def _authors_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the authors' names, without the token of masked patches, which images at hand never have."""
    named = {}
    for name, value in weights.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        named[name] = value
    for name in [name for name in named if ".attention.attention.query." in name]:
        parts = [named.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        named[name.replace("attention.attention.query", "attn.qkv")] = torch.cat(parts)
    named.pop("mask_token", None)
    return named


def _depth(weights: dict[str, Tensor]) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
