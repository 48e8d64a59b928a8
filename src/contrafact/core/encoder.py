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
        class_dim: how many codes, the first ones, tell an image's class; None when all of them may.
    """

    image_shape: tuple[int, int, int]
    code_dim: int
    class_dim: int | None = None

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Codes ``(N, J)``; ``images`` have the right shape."""

    def forward(self, images: Tensor) -> Tensor:
        """Codes ``(N, J)`` of images ``(N, C, H, W)``.

        Raises:
            ValueError: images of another shape, of bytes, or outside [0, 1].
        """
        if not self.training:  # training loops make their own images; reading their range would stall a GPU each step
            check_images(images, self.image_shape, "the encoder")
        return self.encode(images)
