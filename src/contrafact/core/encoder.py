"""The encoder contract: images to codes.

Shape suffixes: N images, J code dimensions, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.artefact import Artefact
from contrafact.core.dataset import check_count, check_images
from contrafact.core.memory import as_dataset

if TYPE_CHECKING:
    from contrafact.core.transformer import EncoderTransformer


class Encoder(Artefact, ABC):
    """Images ``(N, C, H, W)`` in [0, 1] to codes ``(N, J)``.

    Attributes:
        image_shape: ``(C, H, W)`` the encoder takes.
        code_dim: J.
        num_parts: how many equal parts the codes, and each representation of them, fall into (sub-embeddings).
        class_dim: how many codes, the first ones, tell an image's class; None when all of them may.
        angles: numbers of the codes that are angles in (−π, π], where −π and π are the same.

    >>> from contrafact.nn.encoders import ConvEncoder
    >>> encoder = ConvEncoder((1, 16, 16), 3, 0.05).eval()
    >>> encoder(torch.zeros(2, 1, 16, 16)).shape  # a tensor, as a loop needs it
    torch.Size([2, 3])
    >>> encoder.transform(np.zeros((5, 1, 16, 16), dtype=np.float32), batch_size=2).shape  # an array, of anything
    (5, 3)
    >>> encoder.representations
    ()
    >>> encoder.represent(torch.zeros(2, 3), "z")
    Traceback (most recent call last):
    ValueError: this ConvEncoder has no representation 'z'; it has none but its codes
    """

    image_shape: tuple[int, int, int]
    code_dim: int
    num_parts: int = 1
    class_dim: int | None = None
    angles: tuple[int, ...] = ()

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Codes ``(N, J)``; ``images`` have the right shape."""

    @property
    def representations(self) -> tuple[str, ...]:
        """Names of what else can be computed from the codes, such as the projection ``z`` a contrastive loss sees."""
        return ()

    def represent(self, codes: Tensor, name: str) -> Tensor:
        """Another representation ``(N, Z)`` of codes ``(N, J)``.

        Raises:
            ValueError: the encoder has none of that name.
        """
        known = f"it has {', '.join(self.representations)}" if self.representations else "it has none but its codes"
        raise ValueError(f"this {type(self).__name__} has no representation {name!r}; {known}")

    def __repr__(self) -> str:
        shape, millions = ", ".join(map(str, self.image_shape)), sum(p.numel() for p in self.parameters()) / 1e6
        return f"{type(self).__name__}(images (N, {shape}) to codes (N, {self.code_dim}), {millions:.2f} M parameters)"

    @torch.no_grad()
    def transform(self, images: Any, batch_size: int = 256) -> npt.NDArray[np.float32]:
        """Codes ``(N, J)`` of any images, in evaluation mode, batch by batch, on the encoder's device.

        Args:
            images: a tensor or array ``(N, C, H, W)``, bytes ``(N, H, W, C)``, pictures, a dataset of ours or torch's
                (:func:`~contrafact.core.memory.as_dataset`).
            batch_size: images at a time.

        Raises:
            ValueError: images of another shape or range.
        """
        data = as_dataset(images)
        parameter, training = next(self.parameters(), None), self.training
        self.eval()
        parts = []
        for start in range(0, len(data), check_count("batch_size", batch_size)):
            seen = data.batch(range(start, min(start + batch_size, len(data))))
            parts.append(self(seen if parameter is None else seen.to(parameter.device)).float().cpu())
        self.train(training)
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)

    def as_transformer(self) -> EncoderTransformer:
        """A scikit-learn transformer around this encoder, for pipelines: images as rows ``(N, C·H·W)``, or as they are.

        >>> from contrafact.nn.encoders import ConvEncoder
        >>> ConvEncoder((1, 16, 16), 3, 0.05).as_transformer().fit_transform(np.zeros((2, 256))).shape
        (2, 3)
        """
        from contrafact.core.transformer import EncoderTransformer

        return EncoderTransformer(self)

    def forward(self, images: Tensor) -> Tensor:
        """Codes ``(N, J)`` of images ``(N, C, H, W)``.

        Raises:
            ValueError: images of another shape, of bytes, or outside [0, 1].
        """
        if not self.training:  # training loops make their own images; reading their range would stall a GPU each step
            check_images(images, self.image_shape, "the encoder")
        return self.encode(images)
