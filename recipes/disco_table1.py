"""DisCo, Table 1: disentanglement of representations, Shapes3D columns."""

from contrafact.bench.recipe import Recipe, Row
from contrafact.evaluation.regression import RegressionSettings

GAN, VAE = ("paper",), ("small",)

RECIPE = Recipe(
    title="Disentanglement on Shapes3D: typical methods, directions of pretrained generators, DisCo",
    table="Ren et al. 2022, Table 1, Shapes3D",
    rows=(
        Row("FactorVAE", "factor_vae", {"MIG": (0.434, 0.143), "DCI": (0.611, 0.101)}, source="shapes3d"),
        Row("β-TCVAE", "beta_tcvae", {"MIG": (0.406, 0.175), "DCI": (0.613, 0.114)}, source="shapes3d"),
        Row("InfoGAN-CR", "infogan_cr", {"MIG": (0.297, 0.124), "DCI": (0.478, 0.055)}, source="shapes3d"),
        Row("LD on GAN", "latent_discovery", {"MIG": (0.168, 0.056), "DCI": (0.380, 0.062)}, scales=GAN),
        Row("CF on GAN", "sefa", {"MIG": (0.307, 0.124), "DCI": (0.525, 0.078)}, scales=GAN),
        Row("GS on GAN", "ganspace", {"MIG": (0.121, 0.048), "DCI": (0.284, 0.034)}, scales=GAN),
        Row("DS on GAN", "deep_spectral", {"MIG": (0.356, 0.090), "DCI": (0.513, 0.075)}, scales=GAN),
        Row("DisCo on GAN", "disco", {"MIG": (0.512, 0.068), "DCI": (0.708, 0.048)}, scales=GAN),
        Row("control on GAN", "control", scales=GAN),
        Row("LD on VAE", "latent_discovery", {"MIG": (0.040, 0.035), "DCI": (0.068, 0.075)}, scales=VAE),
        Row("DisCo on VAE", "disco", {"MIG": (0.331, 0.161), "DCI": (0.844, 0.033)}, scales=VAE),
        Row("control on VAE", "control", scales=VAE),
    ),
    columns={"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")},
    presets={"small": "quick", "paper": "released"},
    sources={"small": "shapes3d"},
    # The quick preset's budget: 1000 steps of 10 directions × 12 samples and 12 bases.
    regression={"small": RegressionSettings(steps=1000, batch_size=132, width=0.5), "paper": RegressionSettings()},
    remark="small: the shipped VAE and quick presets; paper: a StyleGAN2 of Shapes3D of your own, by --source",
)
