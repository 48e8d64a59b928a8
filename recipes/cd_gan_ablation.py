"""CD-GAN, Fig. 4: without its contrastive loss (β₁ = 0) the class knob means nothing."""

from contrafact.bench.recipe import Recipe, Row

FEW = {"labels": 0.024}

RECIPE = Recipe(
    title="Fashion-MNIST: CD-GAN with and without the contrastive loss",
    table="Pan et al. 2021, Fig. 4 (pictures only)",
    rows=(
        Row("with", "cd_gan", source="fashion-mnist", data=FEW),
        Row(
            "without (β₁ = 0)",
            "cd_gan",
            source="fashion-mnist",
            data=FEW,
            settings={"contrast_weight": 0.0},
            role="ablation",
        ),
    ),
    columns={
        "ACC": ("clustering", "accuracy"),
        "NMI": ("clustering", "nmi"),
        "ARI": ("clustering", "ari"),
    },
    presets={"small": "quick", "paper": "paper"},
    best=True,
    remark="the figure's (b); its (a), of MNIST, by --source mnist with train-images-idx3-ubyte and the three other "
    "files of MNIST in a folder mnist of the data folder. `contrafact report` draws the figure's rows",
)
