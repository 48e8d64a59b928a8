"""How many labels which method needs: ContraLORD, ZeroDIM and the semi-supervised VAE from 20 to 1,000 labels.

No table of a paper: ContraLORD's Table 2 has 100 labels alone, and prints Locatello et al.'s VAE at 0.03 where it has
0.96 here. The leak is what a linear probe reads of each hue off everything but the codes (0.1 is chance): the residual,
or the VAE's other seven codes.
"""

from contrafact.bench.contralord import COLUMNS
from contrafact.bench.recipe import Column, Recipe, Row

METHODS = {
    "labels only": "labels_only",
    "Locatello et al.": "semi_supervised_vae",
    "ZeroDIM": "zerodim",
    "ContraLORD": "contralord",
}
BUDGETS = (20, 100, 1000)
HUES = ("floor", "wall", "object")

RECIPE = Recipe(
    title="Codes of three hues by the number of labels",
    table="none: ours, after ContraLORD (Anonymous 2021), Table 2",
    rows=tuple(
        Row(
            f"{name}, {labels} labels",
            method,
            source="shapes3d",
            data={"labels": labels},
            role="control" if method == "labels_only" else "method",
        )
        for labels in BUDGETS
        for name, method in METHODS.items()
    ),
    columns={
        **{title: COLUMNS[title] for title in ("D", "C", "I", "MIG")},
        **{
            f"leak, {hue} hue": Column("linear_probe:residual", f"per_factor.{k}", better="lower")
            for k, hue in enumerate(HUES)
        },
    },
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 16}},
    num_train=5_000,
    num_test=2_500,
    remark="small: 16 px, quick presets; the seed chooses the labelled images, the same for every method; leak: "
    "accuracy of a linear probe, chance 0.1, of what is kept beside the codes (labels only keep nothing)",
)
