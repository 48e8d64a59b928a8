"""DisCo, Table 9: β-VAE and FactorVAE scores of representations, Shapes3D columns."""

from contrafact.bench.disco import PREDICTED_FACTORS, representations

# The caption calls the second number a variance.
PUBLISHED = {
    "FactorVAE": {"β-VAE score": (0.892, 0.064), "FactorVAE score": (0.84, 0.066)},
    "β-TCVAE": {"β-VAE score": (0.978, 0.036), "FactorVAE score": (0.873, 0.074)},
    "InfoGAN-CR": {"β-VAE score": (0.837, 0.039), "FactorVAE score": (0.587, 0.058)},
    "LD on GAN": {"β-VAE score": (0.913, 0.063), "FactorVAE score": (0.805, 0.064)},
    "CF on GAN": {"β-VAE score": (0.999, 0.001), "FactorVAE score": (0.951, 0.021)},
    "GS on GAN": {"β-VAE score": (0.944, 0.044), "FactorVAE score": (0.788, 0.091)},
    "DS on GAN": {"β-VAE score": (0.991, 0.022), "FactorVAE score": (0.929, 0.065)},
    "DisCo on GAN": {"β-VAE score": (0.987, 0.028), "FactorVAE score": (0.877, 0.031)},
    "LD on VAE": {"β-VAE score": (0.602, 0.196), "FactorVAE score": (0.437, 0.188)},
    "DisCo on VAE": {"β-VAE score": (0.999, 0.00089), "FactorVAE score": (0.956, 0.041)},
    "LD on Flow": {"β-VAE score": (0.699, 0.0), "FactorVAE score": (0.597, 0.0)},
    "DisCo on Flow": {"β-VAE score": (0.86, 0.0), "FactorVAE score": (0.854, 0.0)},
}

RECIPE = representations("shapes3d", 9, PUBLISHED, PREDICTED_FACTORS)
