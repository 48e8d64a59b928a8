"""Shapes3D at 32 px on a fixed budget with 100 annotated images: for methods that learn from few labels.

They are scored on what they were told of, the three hues, so that their numbers do not stand beside those of methods
without labels, which answer for all six factors.
"""

from dataclasses import replace

from contrafact.bench.recipe import Row
from contrafact.bench.suite import load_suite

UNLABELLED = load_suite("shapes3d")
LABELS = 100
# Latents of so many images are learned one by one: few enough that each is seen about ten times.
LATENTS = {"num_images": 2500}


def with_labels(name: str, method: str, settings: dict[str, object]) -> Row:
    return Row(name, method, settings=settings, source=UNLABELLED.data, data={"labels": LABELS})


LEFT_OUT = {
    "attribute_predictor": "it judges edits; labels_only is the same idea for codes",
    "cd_gan": "it learns classes: labels of one factor",
    "sup_con": "it learns classes: labels of one factor",
}

SUITE = replace(
    UNLABELLED,
    recipe=replace(
        UNLABELLED.recipe,
        title="Shapes3D at 32 px, 50,000 images, 100 labels",
        rows=(
            with_labels("labels only", "labels_only", {"steps": 500}),
            with_labels("semi-supervised VAE", "semi_supervised_vae", {"steps": 780}),
            with_labels("LORD", "lord", {**LATENTS, "steps": 350, "encoder_steps": 150}),
            with_labels(
                "OverLORD", "overlord", {**LATENTS, "steps": 450, "encoder_steps": 150, "synthesis_steps": 150}
            ),
            with_labels(
                "ZeroDIM", "zerodim", {**LATENTS, "steps": 500, "amortization_steps": 150, "tuning_steps": 100}
            ),
            with_labels("ContraLORD", "contralord", {**LATENTS, "steps": 500, "encoder_steps": 250}),
        ),
        remark="32 px; 50,000 images a training, 100 of them annotated with their hues; scores are of the hues alone",
    ),
    labels=LABELS,
)
RECIPE = SUITE.recipe
