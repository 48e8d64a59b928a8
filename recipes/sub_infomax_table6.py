"""SubInfoMax, Table 6: Table 3's regularisers on pairs that share digit class and location."""

from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {  # per regulariser and λ: accuracy on (DC, DL) of z, z0, z1, and the gaps
    ("ortho", 0.001): (82.6, 99.6, 44.3, 99.4, 33.6, 99.5, 10.7, 0.1),
    ("ortho", 0.1): (97.8, 99.6, 46.5, 83.9, 38.4, 86.7, 8.1, 2.8),
    ("permuted_ortho", 0.001): (96.6, 99.8, 45.5, 99.6, 44.5, 99.7, 1.0, 0.1),
    ("permuted_ortho", 0.1): (68.0, 99.8, 41.3, 99.7, 34.5, 98.6, 6.8, 1.1),
    ("hessian", 0.001): (86.6, 99.1, 46.7, 41.5, 41.7, 67.9, 5.0, 26.4),
    ("hessian", 0.1): (91.2, 99.1, 39.9, 48.1, 34.8, 64.7, 5.1, 16.6),
}
CONTROL = "control: one head, InfoMax on the whole z"
TITLES = {"ortho": "orthogonality", "permuted_ortho": "orthogonality, permuted", "hessian": "Hessian"}
PLACES = {"z": "whole", "z0": "matrix.0", "z1": "matrix.1", "gap": "per_factor"}
COLUMNS = {
    f"{task}, {name}": ("sub_embedding_gaps:z", f"{place}.{k}")
    for name, place in PLACES.items()
    for k, task in enumerate(("DC", "DL"))
}

RECIPE = Recipe(
    title="SubInfoMax: orthogonality and Hessian at two weights, DC-DL",
    table="Burns et al. 2021, Table 6",
    rows=(
        Row(CONTROL, "sub_infomax", settings={"heads": "joint", "infomax": "whole"}, source="mnist-stl:dc-dl"),
        *(
            Row(
                f"{TITLES[regulariser]}, λ = {weight}",
                "sub_infomax",
                {column: (value / 100, None) for column, value in zip(COLUMNS, published, strict=True)},
                {"regulariser": regulariser, "weight": weight},
                source="mnist-stl:dc-dl",
            )
            for (regulariser, weight), published in PUBLISHED.items()
        ),
    ),
    columns={**COLUMNS, "diagonal": ("sub_embedding_gaps:z", "diagonal")},
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 32}},
    against=CONTROL,
    remark="small: 32 pixels; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures "
    "stand in; the paper's numbers are one run",
)
