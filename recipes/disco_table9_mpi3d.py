"""DisCo, Table 9: β-VAE and FactorVAE scores of representations, MPI3D columns."""

from contrafact.bench.disco import MPI3D, PREDICTED_FACTORS, representations

# The caption calls the second number a variance.
PUBLISHED = {
    "FactorVAE": {"β-VAE score": (0.339, 0.029), "FactorVAE score": (0.152, 0.025)},
    "β-TCVAE": {"β-VAE score": (0.348, 0.012), "FactorVAE score": (0.179, 0.017)},
    "InfoGAN-CR": {"β-VAE score": (0.672, 0.101), "FactorVAE score": (0.439, 0.061)},
    "LD on GAN": {"β-VAE score": (0.535, 0.057), "FactorVAE score": (0.391, 0.039)},
    "CF on GAN": {"β-VAE score": (0.669, 0.033), "FactorVAE score": (0.523, 0.056)},
    "GS on GAN": {"β-VAE score": (0.605, 0.061), "FactorVAE score": (0.465, 0.036)},
    "DS on GAN": {"β-VAE score": (0.651, 0.043), "FactorVAE score": (0.502, 0.042)},
    "DisCo on GAN": {"β-VAE score": (0.53, 0.015), "FactorVAE score": (0.371, 0.03)},
    "LD on VAE": {"β-VAE score": (0.266, 0.068), "FactorVAE score": (0.242, 0.01)},
    "DisCo on VAE": {"β-VAE score": (0.411, 0.034), "FactorVAE score": (0.391, 0.075)},
    "LD on Flow": {"β-VAE score": (0.266, 0.0), "FactorVAE score": (0.242, 0.0)},
    "DisCo on Flow": {"β-VAE score": (0.538, 0.0), "FactorVAE score": (0.486, 0.0)},
}

RECIPE = representations("mpi3d", 9, PUBLISHED, PREDICTED_FACTORS, needs=MPI3D)
