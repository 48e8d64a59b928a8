"""A table of two cells, each trained and scored in a moment."""

from contrafact.bench.recipe import Recipe, Row

TINY = {"num_directions": 3, "code_dim": 3, "encoder_width": 0.1, "steps": 8, "num_queries": 3, "num_positives": 3}

RECIPE = Recipe(
    title="Two cells",
    table="none",
    rows=(
        Row("DisCo", "disco", settings={**TINY, "num_negatives": 4}),
        Row("VAE", "vae", settings={"steps": 8, "batch_size": 4, "width": 0.1}, source="shapes3d"),
    ),
    columns={"MIG": ("mig", "score")},
    data={"small": {"size": 16}},
    sources={"small": "vae"},
    num_train=60,
    num_test=30,
)
