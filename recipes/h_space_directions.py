"""Direction finders in the bottleneck of a diffusion model, the h-space: which of them beats random ones.

The model is the small rectified flow of `diffusion`, trained on Shapes3D by each seed. MIG and DCI are those of an
encoder regressed from ten directions, MDS and smoothness of the directions themselves.
"""

from contrafact.bench.recipe import Recipe, Row, Trained
from contrafact.evaluation.regression import RegressionSettings

MODEL = {"level_channels": (48, 96, 128)}

RECIPE = Recipe(
    title="Directions of a diffusion model's bottleneck",
    table="none: ours, after Kwon et al. 2023 (2210.10960) and Haas et al. 2023 (2303.11073)",
    rows=(
        Row("GANSpace (components of h)", "ganspace", small={"num_samples": 2_000, "batch_size": 200}),
        Row("DeepSpectral", "deep_spectral", settings={"layer": "image"}, small={"num_latents": 16, "steps": 4}),
        Row("LatentCLR", "latentclr", small={"steps": 60}),
        Row("random", "random", role="control"),
    ),
    columns={
        "MIG": ("mig", "score"),
        "DCI": ("dci", "disentanglement"),
        "MDS": ("mds", "score"),
        "smoothness": ("smoothness", "score"),
    },
    presets={"small": "quick", "paper": "paper"},
    sources={
        scale: Trained("diffusion", "shapes3d", small=MODEL if scale == "small" else {}, data={"size": 32}, seeds=(0,))
        for scale in ("small", "paper")
    },
    regression={"small": RegressionSettings(steps=150, batch_size=32, width=0.25), "paper": RegressionSettings()},
    num_train=2_000,
    num_test=1_000,
)
