"""DisCo, Table 11: the light encoder against a ResNet-50."""

from contrafact.bench.disco import ABLATED, ABLATED_REMARK, SMALL_SAMPLES, SMALL_STEPS
from contrafact.bench.recipe import Recipe, Row

RECIPE = Recipe(
    title="DisCo: a light encoder or a ResNet-50",
    table="Ren et al. 2022, Table 11",
    rows=(
        Row(
            "light encoder",
            "disco",
            {"loss": (0.550, None), "MIG": (0.562, None), "DCI": (0.736, None)},
            {"encoder": "conv"},
        ),
        Row(
            "ResNet-50",
            "disco",
            {"loss": (0.725, None), "MIG": (0.03, None), "DCI": (0.07, None)},
            {"encoder": "resnet50"},
        ),
    ),
    columns={"loss": ("log", "contrast"), "MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    small={"steps": SMALL_STEPS, "samples_per_direction": SMALL_SAMPLES},
    num_train=4_000,  # a ResNet-50 takes 40 ms for each on one core
    num_test=2_000,
    remark="small: 250 steps of 66 images on the shipped VAE, as a ResNet-50 takes seconds for each there. "
    + ABLATED_REMARK,
)
