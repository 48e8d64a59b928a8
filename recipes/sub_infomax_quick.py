"""SubInfoMax's quick preset with every regulariser: no table of the paper, but what a laptop's settings show."""

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.sub_infomax import CONTROL, control

TITLES = {
    "none": "none",
    "infomin": "InfoMin",
    "ortho": "orthogonality",
    "permuted_ortho": "orthogonality, permuted",
    "hessian": "Hessian",
}
COLUMNS = {
    f"{task}, {name}": (f"sub_embedding_gaps{':z' if name[0] == 'z' else ''}", f"{place}.{k}")
    for name, place in {"r": "whole", "z": "whole", "z0": "matrix.0", "z1": "matrix.1", "z gap": "per_factor"}.items()
    for k, task in enumerate(("BC", "DL"))
}

RECIPE = Recipe(
    title="SubInfoMax: the quick preset with every regulariser, λ = 0.1, BC-DL",
    table="none: ours",
    rows=(
        control("mnist-stl:bc-dl"),
        *(
            Row(
                title,
                "sub_infomax",
                settings={"regulariser": regulariser, "weight": 0.1},
                source="mnist-stl:bc-dl",
                role="ablation" if regulariser == "none" else "method",
            )
            for regulariser, title in TITLES.items()
        ),
    ),
    columns={**COLUMNS, "diagonal": ("sub_embedding_gaps:z", "diagonal")},
    presets={"small": "quick", "paper": "quick"},
    data={"small": {"size": 32}},
    against=CONTROL,
    remark="small: 32 pixels; pairs share the background's class and the digit's location, both within reach of such "
    "a run; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures stand in; which half is "
    "called z0 is an accident of the seed",
)
