"""ContraLORD, Table 3, CelebA-HQ: women as men and men as women, by FID, from the user's files."""

from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.methods import OverLORD

METHODS = {"OverLORD": "overlord", "ContraLORD": "contralord"}
PUBLISHED = {"OverLORD": (54.0, 42.9), "ContraLORD": (54.2, 42.6)}
STYLE = {"decoder": "style", "reconstruction": "multiscale", "num_images": 30_000}
SETTINGS = {
    "OverLORD": {**STYLE, **OverLORD.presets["celebahq"]},
    "ContraLORD": {**STYLE, "factor_dim": 256, "residual_dim": 256},
}
TITLES = ("FID, female to male", "FID, male to female")


def row_of(name: str) -> Row:
    """A method on faces whose gender is known of all but a few."""
    numbers = dict(zip(TITLES, PUBLISHED[name], strict=True))
    published = {title: (number, None) for title, number in numbers.items()}
    return Row(name, METHODS[name], published, SETTINGS[name], source="celeba-hq", scales=("paper",))


RECIPE = Recipe(
    title="Women as men and men as women (CelebA-HQ)",
    table="ContraLORD (Anonymous 2021), Table 3, CelebA-HQ",
    rows=tuple(row_of(name) for name in METHODS),
    columns={
        TITLES[0]: Column("fid:translation", "per_factor.1"),
        TITLES[1]: Column("fid:translation", "per_factor.0"),
        "FID, untranslated": Column("fid:translation", "untranslated", better="neither"),
        "FID, rebuilt": Column("fid:translation", "rebuilt", better="neither"),
    },
    presets={"paper": "paper"},
    data={"paper": {"size": 128, "labels": 29_000, "factors": ["Male"]}},
    num_train=30_000,
    remark="needs a GPU and CelebAMask-HQ's CelebA-HQ-img and CelebAMask-HQ-attribute-anno.txt in a folder celeba_hq "
    "of the data folder; the paper prints no numbers of LORD here. FID is by the features of a small classifier of the "
    "data's own, not Inception's (see contralord-table3). Untranslated: the same faces rebuilt in their own class, "
    "mean over both; rebuilt: a class's own faces from their codes",
)
