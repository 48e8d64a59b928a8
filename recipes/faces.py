"""Directions in a generator of faces, as real judges see them: LatentCLR's Table 1 with a control that decides.

The judges are networks of other packages (``contrafact.nn.face_judges``): age, gender, turn of the head and opening of
the mouth. Every step changes the image equally, whatever the direction, so that a direction does not win by changing
more of it; of each method's ten directions the best is chosen on some latents and measured on others. What it does to
the other three attributes meanwhile stands beside it, in deviations.
"""

from contrafact.bench.judged import FRAME_ALONE, METRIC, TEN, effect_columns
from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.nn.face_judges import NAMES

RECIPE = Recipe(
    title="What directions of a generator of faces change, and what else",
    table="none: ours, after Yüksel et al. 2021, Table 1",
    rows=(
        Row("LatentCLR", "latentclr", settings=TEN, small={"steps": 200}),
        Row("GANSpace", "ganspace", settings=TEN, small={"num_samples": 5_000}),
        Row("DeepSpectral", "deep_spectral", settings=TEN, small={"num_latents": 16, "steps": 5}),
        Row("LatentDiscovery", "latent_discovery", settings=TEN, small={"steps": 150}),
        Row(
            "DisCo",
            "disco",
            settings=TEN,
            small={"steps": 150, "samples_per_direction": 6, "encoder_width": 0.25},
        ),
        Row("SeFa", "sefa", settings=TEN),
        Row("joint diagonal", "joint_diagonal", settings=FRAME_ALONE, small={"num_bases": 32}),
        Row(
            "white axes",
            "joint_diagonal",
            settings={**FRAME_ALONE, "frame": "axes"},
            small={"num_bases": 32},
            role="control",
        ),
        Row(
            "random white frame",
            "joint_diagonal",
            settings={**FRAME_ALONE, "frame": "random"},
            small={"num_bases": 32},
            role="control",
        ),
        Row("random", "random", settings=TEN, role="control"),
    ),
    columns={**effect_columns(NAMES), "lost": Column(METRIC, "lost", better="lower")},
    presets={"small": "quick", "paper": "paper"},
    sources={"small": "faces", "paper": "faces"},
    predictor="faces",
    remark="ten directions each; every step changes pixels by a quarter of what two unrelated faces differ by; best "
    "direction on 50 faces, measured on 100 others; years, probability, degrees, percent of the face's height, and of "
    "the others the mean |change| in deviations; lost: share of stepped images without a face; small: quick presets, "
    "but 200 steps of LatentCLR, 150 of LatentDiscovery and DisCo (6 samples a direction, a quarter of the encoder)",
)
