"""SubInfoMax, Table 2: InfoMin leaves the halves alike."""

from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {  # per λ: accuracy on (DC, BC) of r, r0, r1, z, z0, z1
    0.001: ((97.0, 63.1), (97.0, 62.8), (97.0, 63.0), (74.3, 60.7), (74.4, 60.6), (74.2, 60.8)),
    0.1: ((96.4, 61.1), (96.3, 60.8), (96.3, 60.8), (47.6, 35.7), (47.5, 35.7), (47.5, 35.8)),
}
INPUTS = ("r", "r0", "r1", "z", "z0", "z1")
COLUMNS = {
    f"{task}, {name}": (
        "sub_embedding_gaps" if name[0] == "r" else "sub_embedding_gaps:z",
        f"whole.{k}" if len(name) == 1 else f"matrix.{name[1]}.{k}",
    )
    for name in INPUTS
    for k, task in enumerate(("DC", "BC"))
}

RECIPE = Recipe(
    title="SubInfoMax: InfoMin at two weights, DC-BC",
    table="Burns et al. 2021, Table 2",
    rows=tuple(
        Row(
            f"InfoMin, λ = {weight}",
            "sub_infomax",
            {
                column: (value / 100, None)
                for column, value in zip(COLUMNS, (v for pair in published for v in pair), strict=True)
            },
            {"regulariser": "infomin", "weight": weight},
            source="mnist-stl:dc-bc",
        )
        for weight, published in PUBLISHED.items()
    ),
    columns=COLUMNS,
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 32}},
    remark="small: 32 pixels; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures "
    "stand in",
)
