"""DisCo, Table 2: contrast against classification, difference of codes against both side by side."""

from contrafact.bench.disco import ABLATED, ABLATED_REMARK, SMALL
from contrafact.bench.recipe import Recipe, Row


def row(name: str, variation: str, objective: str, mig: float, dci: float) -> Row:
    settings = {"variation": variation, "objective": objective}
    role = "method" if (variation, objective) == ("difference", "logits") else "ablation"
    return Row(name, "disco", {"MIG": (mig, None), "DCI": (dci, None)}, settings, role=role)


RECIPE = Recipe(
    title="DisCo: contrast or classification, variation or concatenation",
    table="Ren et al. 2022, Table 2",
    rows=(
        row("concatenation, contrast", "concatenation", "logits", 0.023, 0.225),
        row("variation, contrast", "difference", "logits", 0.562, 0.736),
        row("concatenation, classification", "concatenation", "classification", 0.012, 0.138),
        row("variation, classification", "difference", "classification", 0.002, 0.452),
    ),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    small=SMALL["DisCo"],
    remark="small: the shipped VAE, with what Table 1 spends on DisCo there (250 steps, a quarter of the encoder). "
    + ABLATED_REMARK,
)
