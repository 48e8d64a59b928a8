"""LatentCLR's second question, with numbers: directions found on one class of a generator, applied to others.

The paper looks at pictures (Section 4.1, Q2; Figure 2b): directions found on BigGAN's Bulbul zoom a Trenchcoat and turn
a Goose. Here every direction's edits of other classes are given back to one of the directions by what they look like in
the class they were found on. What decides is the row of random directions, in equal number: in a generator whose
classes share a latent space any direction may transfer.
"""

from contrafact.bench.recipe import SCALES, Recipe, Row, Scale, Trained

CLOTHES = Trained(
    "stylegan2",
    "fashion-mnist",
    {"conditional": True},
    {"channel_base": 256, "max_channels": 64, "steps": 3000},
    {"size": 32},
    seeds=(0,),
)
PULLOVER = {"label": 2, "space": "z"}  # in the prior noise, as in BigGAN, where no latent is of a class
BULBUL = {"label": 16, "truncation": 0.4}
FINDERS: dict[str, tuple[str, dict[str, object]]] = {
    "LatentCLR, nonlinear": ("latentclr", {"model": "nonlinear"}),
    "LatentCLR, global": ("latentclr", {"model": "global"}),
    "GANSpace": ("ganspace", {}),
    "SeFa": ("sefa", {}),
    "random (control)": ("random", {}),
}
FEWER = {"ganspace": {"num_samples": 20_000}}


def row(name: str, scale: Scale) -> Row:
    """A finder with as many directions as the others, on clothes or on a BigGAN."""
    method, settings = FINDERS[name]
    role = "control" if method == "random" else "ablation" if settings == {"model": "global"} else "method"
    if scale == "paper":
        return Row(f"{name}, on Bulbul", method, settings={"num_directions": 32, **settings}, changes=BULBUL,
                   scales=("paper",), role=role)  # fmt: skip
    return Row(f"{name}, on pullovers", method, settings={"num_directions": 10, **settings},
               small=FEWER.get(method, {}), source={"small": CLOTHES}, changes=PULLOVER, scales=("small",),
               role=role)  # fmt: skip


METRIC = "class_transfer"

RECIPE = Recipe(
    title="Directions found on one class, applied to others",
    table="Yüksel et al. 2021, Section 4.1, Q2 (no numbers)",
    rows=tuple(row(name, scale) for scale in SCALES for name in FINDERS),
    columns={
        "other classes": (METRIC, "score"),
        "own class": (METRIC, "own"),
        "similarity": (METRIC, "similarity"),
        "own similarity": (METRIC, "own_similarity"),
    },
    presets={"small": "quick", "paper": "biggan"},
    remark="share of edits three deviations long that are given back to their direction by how they change pixels in "
    "the class it was found on, of other classes and of new images of that class, and the mean cosine of both; chance "
    "is 0.1 of ten directions, 0.031 of 32. Small: ten directions in Z of a StyleGAN2 of Fashion-MNIST that is told "
    "the class, trained first for 3000 steps of 16 images, found on pullovers, of the nine other classes. Paper: 32 "
    "directions on Bulbul, label 16, truncation 0.4, of nine other classes; needs BigGAN-deep at 512 pixels, by "
    "--source biggan-deep-512, a folder with config.json and pytorch_model.bin of "
    "huggingface/pytorch-pretrained-BigGAN; LatentCLR contrasts a layer a third of the way, in BigGAN-512 the paper's "
    "generator.layers.4",
)
