"""How near steady axes come to steps of equal effect."""

from contrafact.bench.recipe import LOG, Recipe, Row
from contrafact.evaluation.regression import RegressionSettings

RECIPE = Recipe(
    title="Steady axes: what is left of the loss",
    table="none: made up",
    rows=(Row("steady axes", "steady_axes", small={"steps": 4}),),
    columns={"loss": (LOG, "loss")},
    presets={"small": "quick", "paper": "quick"},
    sources={"small": "stripes", "paper": "stripes"},
    # Every method of directions gets an encoder that tells them apart; the loss needs none.
    regression={"small": RegressionSettings(steps=2, batch_size=8, num_directions=4, width=0.1)},
)
