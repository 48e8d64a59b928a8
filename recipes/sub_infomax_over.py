"""SubInfoMax on the paper's own form of data at 32 pixels: digits over garments, the Hessian regulariser over λ.

As `sub-infomax-digits`, but for a digit that lies somewhere on the garment, as MNIST's do on STL-10's photographs. Its
pixels say about as much of one class as of the other; the contrast learns the garment alone.
"""

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.sub_infomax import CONTROL, scored_columns

ROWS = {
    CONTROL: {"heads": "joint", "infomax": "whole"},
    "Hessian, λ = 0.001": {"regulariser": "hessian", "weight": 0.001},
    "Hessian, λ = 0.003": {"regulariser": "hessian", "weight": 0.003},
    "Hessian, λ = 0.01": {"regulariser": "hessian", "weight": 0.01},
    "labels of one factor each (the ceiling)": {"positives": "disjoint_labels"},
}
ROLES = {CONTROL: "control", "labels of one factor each (the ceiling)": "ceiling"}
SETTINGS = {"augmentations": "none", "batch_size": 128, "temperature": 0.1}

RECIPE = Recipe(
    title="SubInfoMax: digits over garments, the Hessian regulariser over its weight",
    table="none: ours, after Burns et al. 2021, Table 3",
    rows=tuple(
        Row(
            name,
            "sub_infomax",
            settings=SETTINGS | settings,
            source="digits-garments:over",
            role=ROLES.get(name, "method"),
        )
        for name, settings in ROWS.items()
    ),
    columns=scored_columns(("digit", "garment")),
    presets={"small": "quick", "paper": "quick"},
    num_train=4000,
    num_test=3000,
    against=CONTROL,
    remark="real images, 32 pixels; pairs share both classes and differ in the digit's place; matched: mean accuracy "
    "of the halves at the task each is the better at; a diagonal counts differences above 1.96 binomial errors alone; "
    "the control's z is cut like the others', so its gaps are what cutting alone gives",
)
