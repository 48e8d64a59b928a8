"""DisCo's quick preset against its control: not a table of the paper, but the claim `make demo` rests on."""

from contrafact.bench.recipe import Recipe, Row

RECIPE = Recipe(
    title="DisCo's quick preset against random directions with a regression encoder",
    table="none: ours",
    rows=(Row("DisCo, quick", "disco"), Row("random directions", "control", role="control")),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "quick"},
    sources={"small": "shapes3d", "paper": "shapes3d"},
    remark="the control has the same generator, encoder, number of steps and images per step",
)
