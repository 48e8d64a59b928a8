"""CD-GAN, Fig. 6: the pose of heads as the class, neighbours alike; from the user's folder of faces."""

from contrafact.bench.recipe import Recipe, Row

RECIPE = Recipe(
    title="Faces by pose: CD-GAN, with and without its contrastive loss",
    table="Pan et al. 2021, Fig. 6 (pictures only)",
    rows=(
        Row("CD-GAN", "cd_gan", source="faces", scales=("paper",)),
        Row(
            "without (β₁ = 0) (control)",
            "cd_gan",
            source="faces",
            settings={"contrast_weight": 0.0},
            scales=("paper",),
            role="control",
        ),
    ),
    columns={
        "ACC": ("clustering", "accuracy"),
        "NMI": ("clustering", "nmi"),
        "ARI": ("clustering", "ari"),
    },
    presets={"paper": "faces"},
    best=True,
    remark="needs a folder of heads whose files end in their pose in degrees (anna_-70.png), by --source FOLDER or "
    "in the data folder; the paper's were rendered with the Basel Face Model, which is not free. `contrafact report` "
    "draws the figure's rows",
)
