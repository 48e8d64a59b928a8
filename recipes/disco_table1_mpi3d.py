"""DisCo, Table 1: disentanglement of representations, MPI3D columns."""

from contrafact.bench.disco import MPI3D, SIMILAR_CODES, representations

PUBLISHED = {
    "FactorVAE": {"MIG": (0.099, 0.029), "DCI": (0.24, 0.051)},
    "β-TCVAE": {"MIG": (0.114, 0.042), "DCI": (0.237, 0.056)},
    "InfoGAN-CR": {"MIG": (0.163, 0.076), "DCI": (0.241, 0.075)},
    "LD on GAN": {"MIG": (0.097, 0.057), "DCI": (0.196, 0.038)},
    "CF on GAN": {"MIG": (0.183, 0.081), "DCI": (0.318, 0.014)},
    "GS on GAN": {"MIG": (0.163, 0.065), "DCI": (0.229, 0.042)},
    "DS on GAN": {"MIG": (0.093, 0.035), "DCI": (0.248, 0.038)},
    "DisCo on GAN": {"MIG": (0.222, 0.027), "DCI": (0.292, 0.024)},
    "LD on VAE": {"MIG": (0.024, 0.026), "DCI": (0.035, 0.014)},
    "DisCo on VAE": {"MIG": (0.068, 0.03), "DCI": (0.288, 0.021)},
    "LD on Flow": {"MIG": (0.025, 0.0), "DCI": (0.035, 0.0)},
    "DisCo on Flow": {"MIG": (0.076, 0.0), "DCI": (0.264, 0.0)},
}

RECIPE = representations("mpi3d", 1, PUBLISHED, SIMILAR_CODES, needs=MPI3D)
