"""Does DisCo's contrast add to a good frame of directions, fixed or free to move? Ours, not a paper's table."""

from contrafact.bench.recipe import Column, Recipe, Row

# The scene's factors are standard normal behind a rotation; eight of them, and none is a circle there.
SCENE = {"num_directions": 8}
EIGHT = {**SCENE, "directions_per_step": 8}
# Recovery is of directions alone, so that where they are fixed the encoder need not learn.
STILL = {**EIGHT, "steps": 1, "pool": 64}
FREE = {"train_directions": True, "pool": 0}
FRAME = {**SCENE, "find_circles": False, "steps": 1, "encoder_images": 128}
# A step's edits are 128 images, on shapes3d some hundred seconds of one core where they are new at every step.
SMALL = {"samples_per_direction": 8, "steps": 600}

RECIPE = Recipe(
    title="What DisCo's contrast adds to the frame of joint diagonalisation",
    table="none: ours",
    rows=(
        Row("frame, regressed", "joint_diagonal", elsewhere=FRAME),
        Row("frame, contrast", "disco", small=SMALL, elsewhere=STILL),
        Row(
            "frame, contrast without usage entropy",
            "disco",
            {},
            {"usage_weight": 0.0},
            SMALL,
            elsewhere=STILL,
            role="ablation",
        ),
        Row("frame, free after half", "disco", {}, {**FREE, "thaw": 0.5}, SMALL, elsewhere=EIGHT, role="ablation"),
        Row("frame, free", "disco", {}, FREE, SMALL, elsewhere=EIGHT, role="ablation"),
        Row(
            "random start, free",
            "disco",
            {},
            {**FREE, "initial_directions": None, "code_dim": 16},
            SMALL,
            elsewhere={**EIGHT, "code_dim": 8},
            role="control",
        ),
        Row(
            "random white frame, regressed",
            "joint_diagonal",
            {},
            {"frame": "random", "find_circles": False},
            elsewhere=FRAME,
            role="control",
        ),
    ),
    columns={
        "MIG": ("mig", "score"),
        "D": ("dci", "disentanglement"),
        "recovery, room": Column("recovery", "score", "analytic:room", {"size": 32}),
    },
    presets={"small": "framed", "paper": "framed"},
    sources={"small": "shapes3d", "paper": "shapes3d"},
    num_train=5_000,
    num_test=2_500,
    remark="every encoder is Locatello's; regressed: 900 steps of 128 of 6,000 images; contrast: 16 directions and "
    "eight edits of each a step, 600 steps; free: the directions are trained too, from new images at each step; "
    "recovery is of directions alone, on a scene of eight factors; other generators by --source",
)
