"""Encoders of contrastive methods: codes r, their projection z that the loss sees, and the parts of both.

Shape suffixes: N images, R code dimensions, Z projection dimensions, P parts.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.heads import ProjectionHead
from contrafact.nn.resnet import Stem
from contrafact.nn.trainable import EncoderChoice, fresh_encoder

Heads = Literal["none", "joint", "separate"]


class ProjectedEncoder(Encoder):
    """An encoder whose codes are r ``(N, R)``, with the projection z ``(N, Z)`` of them; both fall into P equal parts.

    Args:
        kind: network that makes r: a name, or a module.
        image_shape: ``(C, H, W)``.
        code_dim: R; None for the network's own features.
        width: multiplies the network's channel counts.
        stem: a ResNet's first layers.
        heads: ``joint``: one head on r, z's parts are slices of its output; ``separate``: a head for each part of r;
            ``none``: z is r.
        feature_dim: outputs of a head: Z when joint, Z/P when separate.
        head_layers: linear layers of a head.
        head_hidden: width between them; None for the head's inputs.
        head_norm: batch normalisation in the heads.
        num_parts: P.

    Raises:
        ValueError: parts that do not divide r or z, or an argument the networks refuse.
    """

    def __init__(
        self,
        kind: EncoderChoice,
        image_shape: tuple[int, int, int],
        code_dim: int | None = None,
        width: float = 1.0,
        stem: Stem = "auto",
        heads: Heads = "joint",
        feature_dim: int = 128,
        head_layers: int = 2,
        head_hidden: int | None = None,
        head_norm: bool = False,
        num_parts: int = 1,
    ) -> None:
        super().__init__()
        if heads not in get_args(Heads):
            raise ValueError(unknown_name_message("heads", heads, get_args(Heads)))
        self._arguments = {
            "kind": kind,
            "code_dim": code_dim,
            "width": width,
            "stem": stem,
            "heads": heads,
            "feature_dim": feature_dim,
            "head_layers": head_layers,
            "head_hidden": head_hidden,
            "head_norm": head_norm,
            "num_parts": num_parts,
        }
        self.body = fresh_encoder(kind, image_shape, code_dim, width, stem)
        self.image_shape, self.code_dim = self.body.image_shape, self.body.code_dim
        self.num_parts, self.head_kind = check_count("num_parts", num_parts), heads
        check_division("code dimensions", self.code_dim, num_parts)
        if heads == "joint":
            check_division("projection dimensions", feature_dim, num_parts)
        inputs = self.code_dim // num_parts if heads == "separate" else self.code_dim
        count = {"none": 0, "joint": 1, "separate": num_parts}[heads]
        self.heads = nn.ModuleList(
            ProjectionHead(inputs, feature_dim, head_layers, head_hidden, head_norm) for _ in range(count)
        )

    def encode(self, images: Tensor) -> Tensor:
        return self.body.encode(images)

    def project(self, codes: Tensor) -> Tensor:
        """z ``(N, Z)`` of r ``(N, R)``, not normalised; separate heads read one part of r each."""
        if self.head_kind == "none":
            return codes
        inputs = codes.chunk(self.num_parts, dim=1) if self.head_kind == "separate" else (codes,)
        return torch.cat([head(part) for head, part in zip(self.heads, inputs, strict=True)], dim=1)

    def parts(self, values: Tensor) -> Tensor:
        """r or z ``(N, P·d)`` as parts ``(N, P, d)``."""
        parts: Tensor = values.unflatten(1, (self.num_parts, -1))
        return parts

    @property
    def representations(self) -> tuple[str, ...]:
        return ("z",) if self.head_kind != "none" else ()

    def represent(self, codes: Tensor, name: str) -> Tensor:
        return self.project(codes) if name in self.representations else super().represent(codes, name)

    def arguments(self) -> dict[str, Any]:
        return {**self._arguments, "image_shape": self.image_shape}


def check_division(what: str, size: int, parts: int) -> None:
    """Refuse parts that do not divide a size; the error names the numbers that do."""
    if size % parts:
        divisors = [str(n) for n in range(2, min(size, 64) + 1) if size % n == 0]
        raise ValueError(
            f"{parts} sub-embeddings do not divide {size} {what}; choose num_parts among {', '.join(divisors)}"
            if divisors
            else f"{parts} sub-embeddings do not divide {size} {what}; choose another size"
        )
