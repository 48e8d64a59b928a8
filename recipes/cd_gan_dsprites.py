"""CD-GAN, Fig. 5d: the shape of dSprites as the class, with 1.2 % of the labels."""

from contrafact.bench.recipe import Recipe, Row

FEW = {"labels": 0.012, "factors": ["shape"]}

RECIPE = Recipe(
    title="dSprites: clusters of shape",
    table="Pan et al. 2021, Fig. 5d (bars: all three near 1)",
    rows=(
        Row("CD-GAN, few labels", "cd_gan", small={"steps": 4000}, source="dsprites", data=FEW),
        Row(
            "SupCon on the same labels alone (control)",
            "sup_con",
            # Of three classes ten images each are too few: the loss never leaves its plateau (accuracy 0.44).
            small={"steps": 3000, "anchors_per_class": 40},
            source="dsprites",
            data=FEW,
            role="control",
        ),
    ),
    columns={
        "ACC": ("clustering", "accuracy"),
        "NMI": ("clustering", "nmi"),
        "ARI": ("clustering", "ari"),
    },
    presets={"small": "quick", "paper": "dsprites"},
    data={"small": {"size": 32}},
    best=True,
    remark="small: 32 pixels and the quick presets, trained longer; scale, rotation and place are content",
)
