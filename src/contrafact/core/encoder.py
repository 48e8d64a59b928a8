"""The encoder contract: images to codes.

Shape suffixes: N images, J code dimensions, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from contrafact.core.artefact import Artefact
from contrafact.core.dataset import check_images


class Encoder(Artefact, ABC):
    """Images ``(N, C, H, W)`` in [0, 1] to codes ``(N, J)``.

    Attributes:
        image_shape: ``(C, H, W)`` the encoder takes.
        code_dim: J.
        num_parts: how many equal parts the codes, and each representation of them, fall into (sub-embeddings).
        class_dim: how many codes, the first ones, tell an image's class; None when all of them may.
    """

    image_shape: tuple[int, int, int]
    code_dim: int
    num_parts: int = 1
    class_dim: int | None = None

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

    def forward(self, images: Tensor) -> Tensor:
        """Codes ``(N, J)`` of images ``(N, C, H, W)``.

        Raises:
            ValueError: images of another shape, of bytes, or outside [0, 1].
        """
        if not self.training:  # training loops make their own images; reading their range would stall a GPU each step
            check_images(images, self.image_shape, "the encoder")
        return self.encode(images)
