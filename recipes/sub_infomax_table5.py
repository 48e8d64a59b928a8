"""SubInfoMax, Table 5: InfoMin on pairs that share digit class and location leaves nothing to read."""

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.sub_infomax import CONTROL, control, half_columns

SOURCE = "mnist-stl:dc-dl"
# Printed for r alone, without its λ; the text speaks of one experiment, so both of Table 2's weights are run.
PUBLISHED = {"DC, r": (0.117, None), "DL, r": (0.126, None)}

RECIPE = Recipe(
    title="SubInfoMax: InfoMin at two weights, DC-DL",
    table="Burns et al. 2021, Table 5",
    rows=(
        control(SOURCE),
        *(
            Row(
                f"InfoMin, λ = {weight}",
                "sub_infomax",
                PUBLISHED,
                {"regulariser": "infomin", "weight": weight},
                source=SOURCE,
            )
            for weight in (0.001, 0.1)
        ),
    ),
    columns={
        "DC, r": ("sub_embedding_gaps", "whole.0"),
        "DL, r": ("sub_embedding_gaps", "whole.1"),
        **half_columns(("DC", "DL")),
    },
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 32}},
    against=CONTROL,
    remark="small: 32 pixels; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures stand "
    "in. The paper prints r alone and no λ: the same numbers stand beside both weights",
)
