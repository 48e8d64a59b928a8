"""DisCo, Table 3: directions by what they do to one attribute and leave of the others (MDS)."""

from contrafact.bench.disco import FINDERS, SMALL
from contrafact.bench.recipe import Column, Recipe, Row

# Places among CelebA's forty attributes.
ATTRIBUTES = {"Young": 39, "Smile": 31, "Bald": 4, "Blonde hair": 9}
PUBLISHED = {
    "DS": (0.518, 0.570, 0.524, 0.511, 0.531),
    "CF": (0.518, 0.553, 0.504, 0.560, 0.534),
    "GS": (0.502, 0.534, 0.494, 0.538, 0.517),
    "LD": (0.627, 0.531, 0.524, 0.514, 0.549),
    "DisCo": (0.516, 0.688, 0.568, 0.592, 0.591),
}
TITLES = (*ATTRIBUTES, "overall")

RECIPE = Recipe(
    title="Directions by MDS: what each changes, and what else",
    table="Ren et al. 2022, Table 3",
    rows=(
        *(
            Row(
                name,
                FINDERS[name],
                {title: (value, None) for title, value in zip(TITLES, numbers, strict=True)},
                small=SMALL.get(name, {}),
            )
            for name, numbers in PUBLISHED.items()
        ),
        Row("random (control)", "random", role="control"),
    ),
    columns={
        **{title: Column("mds", f"per_factor.{place}", scales=("paper",)) for title, place in ATTRIBUTES.items()},
        "overall": Column("mds", "score"),
    },
    presets={"small": "quick", "paper": "released"},
    sources={"small": "shapes3d-64"},
    remark="paper: needs a StyleGAN2 of FFHQ at 256 pixels, by --source stylegan2-ffhq-256x256.pkl (NVIDIA's), judged "
    "by a predictor of CelebA's attributes (--data celeba trains one from img_align_celeba, list_attr_celeba.txt, "
    "identity_CelebA.txt and list_eval_partition.txt in the data folder); overall is then the mean of forty "
    "attributes, the paper's that of four. Small: rooms, the mean over their six factors, on the trainings of "
    "disco-table1",
)
