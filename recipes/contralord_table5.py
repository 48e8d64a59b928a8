"""ContraLORD, Table 5: batch size of the encoder's training, on Shapes3D with 100 labels."""

from contrafact.bench.contralord import COLUMNS, DATA, published
from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {
    32: (0.82, 0.81, 0.79, 0.36, 0.82, 0.72),
    64: (0.89, 0.87, 0.86, 0.38, 0.88, 0.79),
    128: (0.93, 0.91, 0.91, 0.39, 0.91, 0.85),
    256: (1.00, 1.00, 1.00, 0.42, 1.00, 0.96),
    512: (1.00, 1.00, 1.00, 0.45, 1.00, 0.97),
    1024: (0.99, 0.98, 0.98, 0.41, 0.99, 0.93),
}
# Epochs are what stays: as many images for every batch size.
PAPER_IMAGES, SMALL_IMAGES = 200 * 20_000, 160_000


def row_of(batch: int) -> Row:
    """The method at one batch size."""
    return Row(
        f"batch {batch}",
        "contralord",
        published(PUBLISHED[batch]),
        settings={"encoder_batch_size": batch, "encoder_steps": PAPER_IMAGES // batch},
        small={"encoder_steps": SMALL_IMAGES // batch},
        source="shapes3d",
        role="method" if batch == 256 else "ablation",
    )


RECIPE = Recipe(
    title="ContraLORD: batch size of its second stage",
    table="ContraLORD (Anonymous 2021), Table 5",
    rows=tuple(row_of(batch) for batch in PUBLISHED),
    columns=COLUMNS,
    sweep="batch size",
    presets={"small": "quick", "paper": "paper"},
    data=DATA,
    remark="small: 32 px, quick preset, 160,000 images through the encoder at every batch size. The learning rate does "
    "not follow the batch, as the paper gives one. Its text names 16 to 512, its table 32 to 1024",
)
