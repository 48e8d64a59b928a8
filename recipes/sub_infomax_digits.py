"""SubInfoMax where both factors are within reach: digits beside garments, every regulariser over its weight λ.

No table of the paper, but its question with the control that decides it: InfoMax on the whole z of one head, no
regulariser, whose z is cut into halves all the same.
"""

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.sub_infomax import CEILING, CONTROL, scored_columns

ROWS = {
    CONTROL: {"heads": "joint", "infomax": "whole"},
    "no regulariser, a head per half": {},
    "InfoMin, λ = 0.001": {"regulariser": "infomin", "weight": 0.001},
    "InfoMin, λ = 0.1": {"regulariser": "infomin", "weight": 0.1},
    "orthogonality, λ = 0.1": {"regulariser": "ortho", "weight": 0.1},
    "orthogonality, permuted, λ = 0.1": {"regulariser": "permuted_ortho", "weight": 0.1},
    "Hessian, λ = 0.0001": {"regulariser": "hessian", "weight": 0.0001},
    "Hessian, λ = 0.001": {"regulariser": "hessian", "weight": 0.001},
    "Hessian, λ = 0.003": {"regulariser": "hessian", "weight": 0.003},
    "Hessian, λ = 0.01": {"regulariser": "hessian", "weight": 0.01},
    "Hessian, λ = 0.03": {"regulariser": "hessian", "weight": 0.03},
    "Hessian, λ = 0.1": {"regulariser": "hessian", "weight": 0.1},
    CEILING: {"positives": "disjoint_labels"},
}
ROLES = {
    CONTROL: "control",
    "no regulariser, a head per half": "ablation",
    CEILING: "ceiling",
}
SETTINGS = {
    "encoder": "mlp",
    "code_dim": 128,
    "augmentations": "none",
    "steps": 2000,
    "warmup_steps": 100,
    "batch_size": 128,
    "temperature": 0.1,
}

RECIPE = Recipe(
    title="SubInfoMax: digits beside garments, every regulariser over its weight",
    table="none: ours, after Burns et al. 2021, Table 3",
    rows=tuple(
        Row(name, "sub_infomax", settings=SETTINGS | settings, source="digits-garments", role=ROLES.get(name, "method"))
        for name, settings in ROWS.items()
    ),
    columns=scored_columns(("digit", "garment")),
    presets={"small": "quick", "paper": "quick"},
    num_train=4000,
    num_test=3000,
    against=CONTROL,
    remark="real images, 16 pixels, a perceptron; pairs share both classes; matched: mean accuracy of the halves at "
    "the task each is the better at; a diagonal counts differences above 1.96 binomial errors alone; the control's z "
    "is cut like the others', so its gaps are what cutting alone gives",
)
