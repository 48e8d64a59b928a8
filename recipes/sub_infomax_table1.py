"""SubInfoMax, Table 1: the supervised ceiling, each half of r trained on the labels of one task."""

from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {
    "DC, r": 0.973, "BC, r": 0.645, "DC, r0": 0.973, "BC, r0": 0.101, "DC, r1": 0.117, "BC, r1": 0.645,
    "DC, gap": 0.856, "BC, gap": 0.544,
}  # fmt: skip

RECIPE = Recipe(
    title="SubInfoMax: accuracy of a supervised pipeline with disjoint labels, DC-BC",
    table="Burns et al. 2021, Table 1",
    rows=(
        Row(
            "disjoint labels",
            "sub_infomax",
            {column: (value, None) for column, value in PUBLISHED.items()},
            {"positives": "disjoint_labels", "heads": "none"},
            source="mnist-stl:dc-bc",
        ),
    ),
    columns={
        "DC, r": ("sub_embedding_gaps", "whole.0"),
        "BC, r": ("sub_embedding_gaps", "whole.1"),
        "DC, r0": ("sub_embedding_gaps", "matrix.0.0"),
        "BC, r0": ("sub_embedding_gaps", "matrix.0.1"),
        "DC, r1": ("sub_embedding_gaps", "matrix.1.0"),
        "BC, r1": ("sub_embedding_gaps", "matrix.1.1"),
        "DC, gap": ("sub_embedding_gaps", "per_factor.0"),
        "BC, gap": ("sub_embedding_gaps", "per_factor.1"),
    },
    presets={"small": "quick", "paper": "paper"},
    remark="small: the quick preset at the paper's 64 pixels; without MNIST's and STL-10's files, Fashion-MNIST items "
    "over procedural textures stand in",
)
