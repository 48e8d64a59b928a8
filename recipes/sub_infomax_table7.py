"""SubInfoMax, Table 7: degenerate solutions of orthogonality without the permutation, λ = 0.1, on DC-DL."""

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.sub_infomax import CONTROL, control, half_columns

SOURCE = "mnist-stl:dc-dl"
PUBLISHED = {  # accuracy on (DC, DL) of z, z0, z1
    "random": (11.7, 12.6, 11.7, 12.6, 11.7, 12.6),
    "task difficulty": (76.7, 99.8, 42.0, 99.7, 32.1, 99.7),
}
ORTHOGONALITY = {"regulariser": "ortho", "weight": 0.1}
COLUMNS = half_columns(("DC", "DL"))


def published(kind: str) -> dict[str, tuple[float, None]]:
    return {column: (value / 100, None) for column, value in zip(COLUMNS, PUBLISHED[kind], strict=False)}


RECIPE = Recipe(
    title="SubInfoMax: degenerate solutions of orthogonality, λ = 0.1, DC-DL",
    table="Burns et al. 2021, Table 7",
    rows=(
        control(SOURCE),
        Row("orthogonality; published: “random”", "sub_infomax", published("random"), ORTHOGONALITY, source=SOURCE),
        Row(
            "orthogonality; published: “task difficulty”",
            "sub_infomax",
            published("task difficulty"),
            ORTHOGONALITY,
            source=SOURCE,
        ),
    ),
    columns=COLUMNS,
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 32}},
    against=CONTROL,
    remark="one setting, of which the paper prints two outcomes: our rows are the same runs; look at single seeds. "
    "Small: 32 pixels; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures stand in",
)
