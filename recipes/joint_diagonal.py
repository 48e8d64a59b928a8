"""Joint diagonalisation against every other finder of directions, encoders regressed alike: ours, not a paper's table.

Thresholds and settings were chosen on shapes3d (its hues, 32 px) and frozen: all other generators saw them as they are.
"""

from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.evaluation.regression import RegressionSettings

# The scenes' factors are standard normal behind a rotation; eight of them, and none is a circle there.
SCENE = {"num_directions": 8}
SCENES = {"size": 32}
# Recovery is of directions alone, so that there the encoder need not learn.
OURS = {**SCENE, "find_circles": False, "steps": 1, "encoder_images": 128}

RECIPE = Recipe(
    title="Joint diagonalisation against other finders of directions, encoders regressed alike",
    table="none: ours",
    rows=(
        Row("joint diagonal", "joint_diagonal", elsewhere=OURS),
        Row(
            "joint diagonal, moments",
            "joint_diagonal",
            {},
            {"responses": ("moments",)},
            elsewhere=OURS,
            role="ablation",
        ),
        Row(
            "joint diagonal, no circles", "joint_diagonal", {}, {"find_circles": False}, elsewhere=OURS, role="ablation"
        ),
        Row(
            "white axes", "joint_diagonal", {}, {"frame": "axes", "find_circles": False}, elsewhere=OURS, role="control"
        ),
        Row(
            "random white frame",
            "joint_diagonal",
            {},
            {"frame": "random", "find_circles": False},
            elsewhere=OURS,
            role="control",
        ),
        Row("DeepSpectral, image", "deep_spectral", {}, {"layer": "image"}, elsewhere=SCENE),
        Row("GANSpace", "ganspace", elsewhere={**SCENE, "layer": "image", "num_samples": 20_000}),
        Row("SeFa", "sefa", elsewhere=SCENE),
        Row("LatentCLR", "latentclr", small={"steps": 400}, elsewhere={**SCENE, "layer": "image"}),
        Row("random", "random", elsewhere=SCENE, role="control"),
    ),
    columns={
        "MIG": ("mig", "score"),
        "D": ("dci", "disentanglement"),
        "C": ("dci", "completeness"),
        "recovery, sprite": Column("recovery", "score", "analytic:sprite", SCENES),
        "recovery, room": Column("recovery", "score", "analytic:room", SCENES),
    },
    presets={"small": "quick", "paper": "quick"},
    sources={"small": "shapes3d"},
    regression={
        scale: RegressionSettings(steps=900, batch_size=128, network="locatello") for scale in ("small", "paper")
    },
    num_train=5_000,
    num_test=2_500,
    remark="every encoder is Locatello's, 900 steps of 128 images; the first five rows' learn from 6,000 images, the "
    "others' from new ones; recovery is on scenes of eight factors at 32 px, eight directions; other generators by "
    "--source FILE, which --scale paper needs",
)
