"""What a control may spend to be a fair one: as much as the method whose run it stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """The cost of training a method's encoder along with its directions; None where nothing of the kind is known.

    Attributes:
        steps: training steps.
        images_per_step: images that the encoder sees in each of them.
        encoder_width: multiplies the channel counts of the light encoder.
        encoder_slope: of the light encoder's leaky ReLU.
        num_directions: how many directions are read from images; None for all that the run found.
    """

    steps: int | None = None
    images_per_step: int | None = None
    encoder_width: float | None = None
    num_directions: int | None = None
    encoder_slope: float | None = None

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Budget:
        """What settings of the usual names say: ``steps``, ``batch_size``, and ``encoder_width`` or else ``width``.

        >>> Budget.of_settings({"steps": 100, "batch_size": 64, "width": 0.5})
        Budget(steps=100, images_per_step=64, encoder_width=0.5, num_directions=None, encoder_slope=None)
        """
        width = settings.get("encoder_width", settings.get("width"))
        return cls(settings.get("steps"), settings.get("batch_size"), width)
