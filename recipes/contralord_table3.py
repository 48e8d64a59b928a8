"""ContraLORD, Table 3: images of animals recombined from codes, by FID, from the user's files."""

from contrafact.bench.recipe import Recipe, Row

METHODS = {"LORD": "lord", "OverLORD": "overlord", "ContraLORD": "contralord"}
PUBLISHED = {"LORD": 97.1, "OverLORD": 16.5, "ContraLORD": 15.8}
STYLE = {"decoder": "style", "reconstruction": "multiscale"}


def row_of(name: str) -> Row:
    """A method on animals whose class is known of all but the few that would unbalance the three."""
    method = METHODS[name]
    settings = {**STYLE, "num_images": 14_630, **({"residual_dim": 128} if method == "contralord" else {})}
    return Row(name, method, {"FID": (PUBLISHED[name], None)}, settings, source="afhq", scales=("paper",))


RECIPE = Recipe(
    title="Recombined images of animals (AFHQ)",
    table="ContraLORD (Anonymous 2021), Table 3",
    rows=tuple(row_of(name) for name in PUBLISHED),
    columns={"FID": ("fid", "score")},
    presets={"paper": "paper"},
    data={"paper": {"size": 128, "labels": 14_000}},
    num_train=10_000,
    remark="needs AFHQ's files and a GPU. Ours is the FID of images whose codes and residual are drawn independently, "
    "each as it is distributed over the training images; the paper's is of translations between named classes, which "
    "`contrafact report` draws. No columns here, since they need predictors of identity, expression and pose, or masks "
    "(published for LORD, OverLORD, ContraLORD): AFHQ, LPIPS 0, 0.51, 0.53; CelebA, Id 0.48, 0.63, 0.61, expression "
    "3.2, 2.7, 2.6, pose 3.5, 2.5, 2.3; CelebA-HQ, FID female to male –, 54.0, 54.2, male to female –, 42.9, 42.6",
)
