"""What joint diagonalisation owes to the response it watches, to the kind of its Gram matrices and to its bases: ours.

Every row is `joint-diagonal`'s first but for one setting; its controls are in that recipe.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contrafact.bench.recipe import Row, load_recipe

FINDERS = load_recipe("joint-diagonal")
WHOLE, *_ = FINDERS.rows
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    **{f"{name} alone": {"responses": (name,)} for name in ("pixels", "moments", "spectrum", "encoder")},
    "pixels and spectrum": {"responses": ("pixels", "spectrum")},
    "pixels, moments and spectrum": {"responses": ("pixels", "moments", "spectrum")},
    "a Gram matrix per base": {"gram": "per_base"},
    "both kinds of Gram matrices": {"gram": "both"},
    "64 bases": {"num_bases": 64},
}


def row(name: str, settings: Mapping[str, Any]) -> Row:
    """The whole method but for some settings."""
    return replace(WHOLE, name=name, settings={**WHOLE.settings, **settings}, role="ablation")


RECIPE = replace(
    FINDERS,
    title="Joint diagonalisation by response, kind of Gram matrix and number of bases",
    rows=(
        WHOLE,
        *(row(name, settings) for name, settings in SETTINGS.items()),
        next(one for one in FINDERS.rows if one.name == "white axes"),
    ),
    remark="the first row chooses pixels, moments or spectrum by itself, a Gram matrix per response, 256 bases; "
    "encoder: outputs of a random light encoder; recovery is on scenes of eight factors at 32 px, eight directions; "
    "other generators by --source FILE, which --scale paper needs",
)
