"""DisCo, Table 10: noisy dSprites, the best typical method against the best finder of directions and DisCo."""

from contrafact.bench.disco import REGRESSION, SIMILAR_CODES, SMALL
from contrafact.bench.recipe import Recipe, Row, Trained

NOISY = "dsprites:noisy"
GAN = {"small": Trained("vae", NOISY, seeds=(0,)), "paper": Trained("stylegan2", NOISY)}

RECIPE = Recipe(
    title="Noisy dSprites: β-TCVAE, ClosedForm and DisCo",
    table="Ren et al. 2022, Table 10",
    rows=(
        Row(
            "β-TCVAE",
            "beta_tcvae",
            {"MIG": (0.046, 0.031), "DCI": (0.088, 0.049)},
            small={"learning_rate": 1e-3},  # the quick preset's 5e-3 lets every code collapse under the noise
            source=NOISY,
        ),
        Row("CF", "sefa", {"MIG": (0.020, 0.015), "DCI": (0.027, 0.016)}, source=GAN),
        Row("DisCo (GAN)", "disco", {"MIG": (0.104, 0.030), "DCI": (0.120, 0.059)}, small=SMALL["DisCo"], source=GAN),
        Row("control", "control", role="control"),
    ),
    columns=SIMILAR_CODES,
    presets={"small": "quick", "paper": "released"},
    data={"small": {"size": 32}, "paper": {"size": 64}},
    regression=REGRESSION,
    remark="small: 32 pixels, a VAE in the GAN's place; whatever is on it has 250 steps of 66 images; "
    "β-TCVAE with a learning rate of 1e-3",
)
