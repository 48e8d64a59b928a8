"""DisCo, Table 6: the threshold T above which negatives are flipped."""

from contrafact.bench.disco import ABLATED, ABLATED_REMARK, SMALL
from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {0.7: (0.157, 0.396), 0.8: (0.244, 0.576), 0.9: (0.508, 0.710), 0.95: (0.547, 0.730), 0.98: (0.408, 0.703)}

RECIPE = Recipe(
    title="DisCo: the threshold of hard negatives",
    table="Ren et al. 2022, Table 6",
    rows=tuple(
        Row(
            f"T = {threshold}",
            "disco",
            {"MIG": (mig, None), "DCI": (dci, None)},
            {"threshold": threshold},
            role="method" if threshold == 0.95 else "ablation",
        )
        for threshold, (mig, dci) in PUBLISHED.items()
    ),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    sweep="threshold T",
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    small=SMALL["DisCo"],
    remark="small: the shipped VAE, with what Table 1 spends on DisCo there (250 steps, a quarter of the encoder). "
    + ABLATED_REMARK,
)
