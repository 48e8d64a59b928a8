"""DisCo, Table 4: latent space, kind of navigator, and the two techniques."""

from contrafact.bench.disco import ABLATED, ABLATED_REMARK, SMALL
from contrafact.bench.recipe import Recipe, Row

Z, W = {"space": "z"}, {"space": "w"}


def navigator(name: str, kind: str, mig: float, dci: float, space: dict[str, str]) -> Row:
    return Row(
        name,
        "disco",
        {"MIG": (mig, None), "DCI": (dci, None)},
        {"navigator": kind},
        changes=space,
        role="method" if (kind, space) == ("unit", W) else "ablation",
    )


def loss(name: str, mig: float, dci: float, **off: str) -> Row:
    return Row(name, "disco", {"MIG": (mig, None), "DCI": (dci, None)}, off, role="ablation" if off else "method")


RECIPE = Recipe(
    title="DisCo: latent space, kind of directions, flipping and domination loss",
    table="Ren et al. 2022, Table 4",
    rows=(
        navigator("Z, unit length", "unit", 0.242, 0.673, Z),
        navigator("Z, orthonormal", "orthonormal", 0.183, 0.578, Z),
        navigator("Z, 3 fully connected layers", "curved", 0.169, 0.504, Z),
        navigator("W, unit length", "unit", 0.547, 0.730, W),
        navigator("W, orthonormal", "orthonormal", 0.551, 0.709, W),
        navigator("W, 3 fully connected layers", "curved", 0.340, 0.665, W),
        loss("no flipping, no domination", 0.134, 0.632, flipping="none", domination="none"),
        loss("domination only", 0.296, 0.627, flipping="none"),
        loss("flipping only", 0.134, 0.681, domination="none"),
        loss("both", 0.547, 0.730),
    ),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    # An orthonormal frame holds no more directions than the shipped VAE has dimensions: all navigators get as many.
    small={**SMALL["DisCo"], "num_directions": 10, "directions_per_step": 10},
    remark="small: 10 directions on the shipped VAE, whose W is what its flow makes of Z, with what Table 1 spends on "
    "DisCo there (250 steps, a quarter of the encoder). " + ABLATED_REMARK,
)
