"""A method with everything that costs time small: for checks of structure, never for results."""

from __future__ import annotations

from typing import Any

from contrafact.core.settings import Configured

STEPS, NUMBER, WIDTH = 4, 4, 0.1


def tiny(method: Configured, steps: int = STEPS, batch: int = NUMBER) -> dict[str, Any]:
    """Settings of the same method made small by their names; its ``presets["tiny"]`` wins.

    Args:
        method: any method.
        steps: of each of its stages.
        batch: images of a step.

    >>> from contrafact.methods import DisCo
    >>> small = tiny(DisCo.preset("quick"))
    >>> small["steps"], small["num_directions"], small["encoder_width"]
    (4, 4, 0.1)
    """
    small: dict[str, Any] = {}
    for setting, value in method.hyperparameters().items():
        if setting == "steps" or setting.endswith("_steps"):
            small[setting] = steps
        elif setting == "batch_size":
            small[setting] = min(value, batch)
        elif setting.startswith(("num_", "directions_per", "samples_per")):
            small[setting] = NUMBER if value is None else min(value, NUMBER)
        elif setting == "width" or setting.endswith("_width"):
            small[setting] = WIDTH
    return small | dict(method.presets.get("tiny", {}))
