"""The VAEs on Shapes3D: does paying for dependence between codes raise MIG, and what do 100 labels add?"""

from contrafact.bench.recipe import Recipe, Row

DATA = "shapes3d"

RECIPE = Recipe(
    title="Variational autoencoders on Shapes3D",
    table="Ren et al. 2022, Table 1, and Mo et al. 2022, Table 2 (100 labels), Shapes3D",
    rows=(
        Row("VAE", "beta_vae", settings={"beta": 1.0}, source=DATA, role="ablation"),
        Row("β-VAE", "beta_vae", source=DATA),
        Row("β-TCVAE", "beta_tcvae", {"MIG": (0.406, 0.175), "DCI": (0.613, 0.114)}, source=DATA),
        Row("FactorVAE", "factor_vae", {"MIG": (0.434, 0.143), "DCI": (0.611, 0.101)}, source=DATA),
        Row("DIP-VAE-I", "dip_vae", source=DATA),
        Row(
            "semi-supervised, 100 labels",
            "semi_supervised_vae",
            {"MIG": (0.02, None), "DCI": (0.03, None)},
            source=DATA,
            data={"labels": 100},
        ),
        Row("semi-supervised, no labels", "semi_supervised_vae", source=DATA),
    ),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 16}},
    remark="small: 16 pixels and the quick presets; labels of the three hues, chosen by the row's seed",
)
