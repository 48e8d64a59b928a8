"""DisCo, Table 9: β-VAE and FactorVAE scores of representations, Cars3D columns."""

from contrafact.bench.disco import CARS3D, PREDICTED_FACTORS, representations

# The caption calls the second number a variance.
PUBLISHED = {
    "FactorVAE": {"β-VAE score": (1.0, 0.0), "FactorVAE score": (0.906, 0.052)},
    "β-TCVAE": {"β-VAE score": (0.999, 0.0001), "FactorVAE score": (0.855, 0.082)},
    "InfoGAN-CR": {"β-VAE score": (0.45, 0.022), "FactorVAE score": (0.411, 0.013)},
    "LD on GAN": {"β-VAE score": (0.999, 0.000254), "FactorVAE score": (0.852, 0.039)},
    "CF on GAN": {"β-VAE score": (1.0, 0.0), "FactorVAE score": (0.873, 0.036)},
    "GS on GAN": {"β-VAE score": (1.0, 0.0), "FactorVAE score": (0.932, 0.018)},
    "DS on GAN": {"β-VAE score": (1.0, 0.0), "FactorVAE score": (0.871, 0.047)},
    "DisCo on GAN": {"β-VAE score": (0.999, 6.86e-05), "FactorVAE score": (0.855, 0.074)},
    "LD on VAE": {"β-VAE score": (0.951, 0.074), "FactorVAE score": (0.711, 0.085)},
    "DisCo on VAE": {"β-VAE score": (0.999, 5.42e-05), "FactorVAE score": (0.761, 0.114)},
    "LD on Flow": {"β-VAE score": (0.922, 0.0), "FactorVAE score": (0.633, 0.0)},
    "DisCo on Flow": {"β-VAE score": (1.0, 0.0), "FactorVAE score": (0.88, 0.0)},
}

RECIPE = representations("cars3d", 9, PUBLISHED, PREDICTED_FACTORS, needs=CARS3D)
