"""ContraLORD, Table 6: number of negatives in the queues, on Shapes3D with 100 labels."""

from contrafact.bench.contralord import COLUMNS, DATA, published
from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {
    1600: (0.62, 0.63, 0.61, 0.26, 0.61, 0.52),
    3200: (0.81, 0.79, 0.77, 0.33, 0.79, 0.68),
    6400: (0.88, 0.86, 0.87, 0.37, 0.87, 0.77),
    12800: (1.00, 1.00, 1.00, 0.42, 1.00, 0.96),
    25600: (0.96, 0.95, 0.95, 0.41, 0.95, 0.89),
    51200: (0.87, 0.85, 0.85, 0.36, 0.86, 0.75),
}

RECIPE = Recipe(
    title="ContraLORD: length of its queues",
    table="ContraLORD (Anonymous 2021), Table 6",
    rows=tuple(
        Row(
            f"K = {length:,}",
            "contralord",
            published(numbers),
            settings={"queue_length": length},
            source="shapes3d",
            role="method" if length == 12_800 else "ablation",
        )
        for length, numbers in PUBLISHED.items()
    ),
    columns=COLUMNS,
    sweep="negatives K",
    presets={"small": "quick", "paper": "paper"},
    data=DATA,
    remark="small: 32 px, quick preset",
)
