"""DisCo, Table 1: disentanglement of representations, Cars3D columns."""

from contrafact.bench.disco import CARS3D, SIMILAR_CODES, representations

PUBLISHED = {
    "FactorVAE": {"MIG": (0.142, 0.023), "DCI": (0.161, 0.019)},
    "β-TCVAE": {"MIG": (0.08, 0.023), "DCI": (0.14, 0.019)},
    "InfoGAN-CR": {"MIG": (0.011, 0.009), "DCI": (0.02, 0.011)},
    "LD on GAN": {"MIG": (0.086, 0.029), "DCI": (0.216, 0.072)},
    "CF on GAN": {"MIG": (0.083, 0.024), "DCI": (0.243, 0.048)},
    "GS on GAN": {"MIG": (0.136, 0.006), "DCI": (0.209, 0.031)},
    "DS on GAN": {"MIG": (0.118, 0.044), "DCI": (0.222, 0.044)},
    "DisCo on GAN": {"MIG": (0.179, 0.037), "DCI": (0.271, 0.037)},
    "LD on VAE": {"MIG": (0.03, 0.025), "DCI": (0.068, 0.03)},
    "DisCo on VAE": {"MIG": (0.103, 0.028), "DCI": (0.211, 0.041)},
    "LD on Flow": {"MIG": (0.015, 0.0), "DCI": (0.029, 0.0)},
    "DisCo on Flow": {"MIG": (0.06, 0.0), "DCI": (0.199, 0.0)},
}

RECIPE = representations("cars3d", 1, PUBLISHED, SIMILAR_CODES, needs=CARS3D)
