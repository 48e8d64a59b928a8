"""Every direction finder on one generator: not a table of a paper, but DisCo's Tables 1 and 3 for a generator of yours.

MIG and DCI are those of an encoder: DisCo's own, for the others one regressed from their first ten directions. MDS is
of the directions themselves, judged by an attribute predictor. Recovery is the matched |cosine| with the true
directions of an analytic scene of eight factors, on which every method runs once more.
"""

from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.evaluation.regression import RegressionSettings

# The factors of the scene are standard normal behind a rotation: there is nothing to find in its only layer.
IMAGE = {"num_directions": 8, "layer": "image"}

RECIPE = Recipe(
    title="Directions of a frozen generator, and the encoders they give",
    table="none: ours, after Ren et al. 2022, Tables 1 and 3",
    rows=(
        Row("SeFa", "sefa", elsewhere={"num_directions": 8}),
        Row("GANSpace", "ganspace", elsewhere={**IMAGE, "num_samples": 20_000}),
        Row("LatentDiscovery", "latent_discovery", small={"steps": 400}, elsewhere={"num_directions": 8}),
        Row("LatentCLR", "latentclr", small={"steps": 400}, elsewhere=IMAGE),
        Row("DeepSpectral", "deep_spectral", elsewhere=IMAGE),
        Row(
            "DisCo",
            "disco",
            small={"steps": 400, "encoder_width": 0.25},
            elsewhere={"num_directions": 8, "directions_per_step": 8},
        ),
        Row("random", "random", elsewhere={"num_directions": 8}, role="control"),
    ),
    columns={
        "MIG": ("mig", "score"),
        "DCI": ("dci", "disentanglement"),
        "MDS": ("mds", "score"),
        "recovery": Column("recovery", "score", "analytic:sprite", {"size": 32}),
    },
    presets={"small": "quick", "paper": "paper"},
    sources={"small": "shapes3d"},
    # As long as DisCo trains by the clock, on as many images a step, with its encoder.
    regression={"small": RegressionSettings(steps=250, batch_size=132, width=0.25), "paper": RegressionSettings()},
    num_train=5_000,
    num_test=2_500,
    remark="recovery is on analytic:sprite at 32 px, eight factors, eight directions; small: quick presets, but 400 "
    "steps for whatever is trained, 250 for regressed encoders, and a quarter of the encoder's channels; paper: needs "
    "a generator of yours, by --source FILE",
)
