"""DisCo, Table 12: the loss of true directions, of mixed ones, and of mixed ones that are let go."""

from contrafact.bench.recipe import Recipe, Row

FIXED, FREE = {"train_directions": False}, {"thaw": 0.5}
TRUE, MIXED = {"initial_directions": "own"}, {"initial_directions": "own_mixed"}

RECIPE = Recipe(
    title="DisCo on a scene whose directions are known: true, mixed, and mixed but learning",
    table="Ren et al. 2022, Table 12",
    rows=(
        Row("A (true, fixed)", "disco", {"loss": (0.5501, None)}, TRUE | FIXED, role="ceiling"),
        Row("A + B (mixed, fixed)", "disco", {"loss": (0.7252, None)}, MIXED | FIXED, role="ablation"),
        Row("A + B → A (mixed, then free)", "disco", {"loss": (0.5264, None)}, MIXED | FREE, role="ablation"),
        Row("random, free (control)", "disco", role="control"),
    ),
    columns={"loss": ("log", "contrast"), "recovery": ("recovery", "score")},
    presets={"small": "quick", "paper": "released"},
    sources={"small": "analytic:sprite", "paper": "analytic:sprite"},
    small={
        "num_directions": 8, "directions_per_step": 8, "samples_per_direction": 8, "steps": 400, "encoder_width": 0.25,
    },
    remark="a scene of eight factors, whose true directions nobody had to annotate; the paper's are a GAN's, by "
    "InterFaceGAN. Mixed: each direction half way to the next. Let go after half of the steps, the paper's after "
    "convergence; recovery, matched |cosine| with the true directions, tells whether A + B becomes A",
)  # fmt: skip
