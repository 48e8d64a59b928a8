"""What the methods share that contrast two views of one image: settings of the encoder, its views and SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from contrafact.core.method import Method
from contrafact.core.ranges import Positive, Size, Steps, Weight, Width
from contrafact.nn.resnet import Stem
from contrafact.nn.trainable import EncoderChoice

Body = tuple[EncoderChoice, tuple[int, int, int], int | None, float, Stem]


@dataclass(frozen=True)
class ViewContrast(Method):
    """Settings of every method that contrasts views with one encoder and a head on it."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder",)

    encoder: EncoderChoice = "resnet50"
    """Network that makes the codes r."""
    width: Width = 1.0
    """Multiplies its channel counts."""
    stem: Stem = "auto"
    """A ResNet's first layers: imagenet, small, or by the image size."""
    code_dim: Size | None = None
    """Dimensions of r; empty: the network's own (2048 for ResNet-50, 512 for ResNet-18 and -34)."""
    temperature: Positive = 0.5
    """Temperature τ."""
    augmentations: str = "auto"
    """Changes of views: auto (crop, flip, light, color, grayscale, less those that destroy a labelled factor), none, or
    some of crop, flip, light, color, grayscale, blur, separated by commas."""
    steps: Steps = 46_900
    """Training steps."""
    batch_size: Size = 256
    """Images per step and process."""
    weight_decay: Weight = 1e-4
    """SGD's weight decay."""

    def body(self, image_shape: tuple[int, int, int]) -> Body:
        """The first arguments of a :class:`~contrafact.nn.projected.ProjectedEncoder`: what makes r."""
        return self.encoder, image_shape, self.code_dim, self.width, self.stem
