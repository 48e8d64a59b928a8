"""DisCo, Table 1: disentanglement of representations, Shapes3D columns."""

from contrafact.bench.disco import SIMILAR_CODES, representations

PUBLISHED = {
    "FactorVAE": {"MIG": (0.434, 0.143), "DCI": (0.611, 0.101)},
    "β-TCVAE": {"MIG": (0.406, 0.175), "DCI": (0.613, 0.114)},
    "InfoGAN-CR": {"MIG": (0.297, 0.124), "DCI": (0.478, 0.055)},
    "LD on GAN": {"MIG": (0.168, 0.056), "DCI": (0.38, 0.062)},
    "CF on GAN": {"MIG": (0.307, 0.124), "DCI": (0.525, 0.078)},
    "GS on GAN": {"MIG": (0.121, 0.048), "DCI": (0.284, 0.034)},
    "DS on GAN": {"MIG": (0.356, 0.09), "DCI": (0.513, 0.075)},
    "DisCo on GAN": {"MIG": (0.512, 0.068), "DCI": (0.708, 0.048)},
    "LD on VAE": {"MIG": (0.04, 0.035), "DCI": (0.068, 0.075)},
    "DisCo on VAE": {"MIG": (0.331, 0.161), "DCI": (0.844, 0.033)},
    "LD on Flow": {"MIG": (0.067, 0.0), "DCI": (0.211, 0.0)},
    "DisCo on Flow": {"MIG": (0.15, 0.0), "DCI": (0.525, 0.0)},
}

RECIPE = representations("shapes3d", 1, PUBLISHED, SIMILAR_CODES)
