"""DisCo, Appendix E (Fig. 31): directions of a generator that a fixed encoder of another model tells apart."""

from contrafact.bench.disco import ABLATED, REGRESSION, SIMILAR_CODES, SMALL
from contrafact.bench.recipe import Column, Recipe, Row

ENCODER = "β-TCVAE"
FIXED = {"train_encoder": False, "code_dim": 10}
FREE = {"code_dim": 10}

RECIPE = Recipe(
    title="Bridging a pretrained VAE and a pretrained generator: DisCo with a fixed encoder",
    table="Ren et al. 2022, Fig. 31 (pictures only)",
    rows=(
        Row(ENCODER, "beta_tcvae", source="shapes3d"),
        Row(
            "DisCo, that encoder fixed", "disco", settings=FIXED, small=SMALL["DisCo"], encoder=ENCODER, role="ablation"
        ),
        Row("DisCo, from that encoder", "disco", settings=FREE, small=SMALL["DisCo"], encoder=ENCODER, role="ablation"),
        Row("DisCo, an encoder of its own", "disco", settings=FREE, small=SMALL["DisCo"]),
        Row("random (control)", "random", settings={"num_directions": 10}, role="control"),
    ),
    columns={**SIMILAR_CODES, "MDS": Column("mds", "score")},
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    regression=REGRESSION,
    data={"small": {"size": 32}, "paper": {"size": 64}},
    remark="MDS tells whether the fixed encoder finds directions of single factors; MIG and DCI are of the codes, in "
    "the first two rows of one network. Small: the shipped VAE of 32 pixels in the GAN's place. Paper: the first "
    "StyleGAN2 of Shapes3D that disco-table1 trains",
)
