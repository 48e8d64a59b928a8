"""The settings that tell one cell from another: what a method gained later, left as it was before, tells nothing.

So that a cell computed last year is the same cell today, though its method has an option more, unless the option is
used. A default that changes makes other cells of those that rest on it: values count here, not where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COUNTED = {
    "disco": {"encoder_slope", "images_at_once", "usage_weight", "pool", "thaw"},
    "latent_discovery": {"images_at_once"},
    "labels_only": {"late_kernel"},
    "lord": {"vgg_weights"},
    "overlord": {"vgg_weights"},
    "zerodim": {"vgg_weights", "late_kernel"},
    "contralord": {"vgg_weights", "late_kernel"},
    "regression": {"network"},
}
"""What was gained before anything was left out of keys, and so stands in the keys of cells that are kept."""


def identity(name: str, settings: Mapping[str, Any], older: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that count, by their names.

    Args:
        name: the method's, or ``regression``.
        settings: all of them, flat.
        older: values of those that came later, as :attr:`~contrafact.core.method.Method.older` has them.

    >>> identity("mine", {"steps": 10, "warmth": 0}, {"warmth": 0}), identity("mine", {"warmth": 1}, {"warmth": 0})
    ({'steps': 10}, {'warmth': 1})
    """
    counted = _COUNTED.get(name, set())
    return {key: value for key, value in settings.items() if key in counted or not _is_older(key, value, older)}


def _is_older(key: str, value: Any, older: Mapping[str, Any]) -> bool:
    """Whether a setting has the value that cells from before it had; 0 is 0.0, but not False."""
    return key in older and isinstance(older[key], bool) is isinstance(value, bool) and bool(older[key] == value)
