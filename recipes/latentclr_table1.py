"""LatentCLR, Table 1: attributes of faces before and after a step, from the user's StyleGAN2 of FFHQ."""

from contrafact.bench.recipe import Recipe, Row

# Places among CelebA's forty attributes.
PLACES = {"Smile": 31, "Lipstick": 36}
COLUMNS = {f"{arrow} {name}": ("rescoring", f"{end}.{place}") for arrow, end in (("↑", "up"), ("↓", "down"))
           for name, place in PLACES.items()}  # fmt: skip
PUBLISHED = {
    "GANSpace": ((0.99, 0.11), (0.58, 0.49), (0.05, 0.21), (0.35, 0.47)),
    "SeFa": ((0.89, 0.31), (0.55, 0.49), (0.50, 0.50), (0.35, 0.48)),
    "LatentCLR": ((0.99, 0.11), (0.66, 0.47), (0.11, 0.32), (0.36, 0.48)),
}


def row(name: str, **more: object) -> Row:
    """A finder beside its numbers."""
    numbers = dict(zip(COLUMNS, PUBLISHED[name], strict=True))
    return Row(name, name.lower(), numbers, scales=("paper",), **more)  # type: ignore[arg-type]


RECIPE = Recipe(
    title="Rescoring: attributes of faces after a step up and a step down",
    table="Yüksel et al. 2021, Table 1",
    rows=(
        row("GANSpace", settings={"num_directions": 100}),
        row("SeFa", settings={"num_directions": 100}),
        row("LatentCLR"),
        Row("random (control)", "random", settings={"num_directions": 100}, scales=("paper",), role="control"),
    ),
    columns=COLUMNS,
    presets={"paper": "stylegan2"},
    remark="needs a StyleGAN2 of FFHQ, by --source stylegan2-ffhq-config-f.pkl (NVIDIA's, or rosinality's .pt made of "
    "it), and for the judge img_align_celeba, list_attr_celeba.txt, identity_CelebA.txt and list_eval_partition.txt of "
    "CelebA in the data folder, by --data celeba (a predictor of its forty attributes is trained; the paper's is "
    "StyleGAN2's own). Published: mean and "
    "deviation over 500 images, ours over seeds; of each method's hundred directions the best, three deviations long. "
    "Of age the paper's judge is another program: GANSpace ↑ 0.32 ↓ 0.23, SeFa 0.38, 0.23, LatentCLR 0.42, 0.23. A "
    "small counterpart on faces, with a control that decides, is `contrafact bench faces`",
)
