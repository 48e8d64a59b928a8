"""The rows of `joint-diagonal` by MDS of the directions themselves: what a predictor of the factors sees of edits."""

from dataclasses import replace

from contrafact.bench.recipe import load_recipe

ENCODERS = load_recipe("joint-diagonal")

RECIPE = replace(
    ENCODERS,
    title="Joint diagonalisation against other finders of directions, by MDS",
    columns={"MDS": ("mds", "score")},
    regression={},
    remark="200 latents, eight magnitudes, both signs; judged by a predictor trained on the factors, a new one a seed; "
    "the trainings are those of joint-diagonal; --scale paper needs a generator, by --source FILE",
)
