"""EncDiff's comparison on Shapes3D, MPI3D and Cars3D: 2018 to 2024 side by side, with the controls of its two claims.

Published numbers: FactorVAE to DisCo from Ren et al. 2022 (DisCo), Tables 1 and 9. Of EncDiff (Yang et al. 2024) and
DisDiff (Yang et al. 2023) only those that were handed down to us, not read in the papers' tables: none on Cars3D, no
FactorVAE score on MPI3D, no deviations. The last four rows are our own.
"""

from collections.abc import Mapping
from typing import Any

from contrafact.bench.recipe import Recipe, Row, Scale

GAN: tuple[Scale, ...] = ("paper",)
Numbers = tuple[float, float | None]
OF_REN = {  # FactorVAE score, MIG, D; each mean and deviation over 25 runs
    "FactorVAE": {
        "Shapes3D": ((0.840, 0.066), (0.434, 0.143), (0.611, 0.101)),
        "MPI3D": ((0.152, 0.025), (0.099, 0.029), (0.240, 0.051)),
        "Cars3D": ((0.906, 0.052), (0.142, 0.023), (0.161, 0.019)),
    },
    "β-TCVAE": {
        "Shapes3D": ((0.873, 0.074), (0.406, 0.175), (0.613, 0.114)),
        "MPI3D": ((0.179, 0.017), (0.114, 0.042), (0.237, 0.056)),
        "Cars3D": ((0.855, 0.082), (0.080, 0.023), (0.140, 0.019)),
    },
    "InfoGAN-CR": {
        "Shapes3D": ((0.587, 0.058), (0.297, 0.124), (0.478, 0.055)),
        "MPI3D": ((0.439, 0.061), (0.163, 0.076), (0.241, 0.075)),
        "Cars3D": ((0.411, 0.013), (0.011, 0.009), (0.020, 0.011)),
    },
    "LD on GAN": {
        "Shapes3D": ((0.805, 0.064), (0.168, 0.056), (0.380, 0.062)),
        "MPI3D": ((0.391, 0.039), (0.097, 0.057), (0.196, 0.038)),
        "Cars3D": ((0.852, 0.039), (0.086, 0.029), (0.216, 0.072)),
    },
    "DS on GAN": {
        "Shapes3D": ((0.929, 0.065), (0.356, 0.090), (0.513, 0.075)),
        "MPI3D": ((0.502, 0.042), (0.093, 0.035), (0.248, 0.038)),
        "Cars3D": ((0.871, 0.047), (0.118, 0.044), (0.222, 0.044)),
    },
    "DisCo on GAN": {
        "Shapes3D": ((0.877, 0.031), (0.512, 0.068), (0.708, 0.048)),
        "MPI3D": ((0.371, 0.030), (0.222, 0.027), (0.292, 0.024)),
        "Cars3D": ((0.855, 0.074), (0.179, 0.037), (0.271, 0.037)),
    },
}
OF_YANG: Mapping[str, Mapping[str, Mapping[str, Numbers]]] = {
    "EncDiff": {
        "Shapes3D": {"FactorVAE score": (0.999, None), "D": (0.969, None)},
        "MPI3D": {"D": (0.685, None)},
        "Cars3D": {},
    },
    "DisDiff": {
        "Shapes3D": {"FactorVAE score": (0.902, None), "D": (0.723, None)},
        "MPI3D": {"D": (0.337, None)},
        "Cars3D": {},
    },
}
METHODS = {
    "FactorVAE": "factor_vae",
    "β-TCVAE": "beta_tcvae",
    "InfoGAN-CR": "infogan_cr",
    "LD on GAN": "latent_discovery",
    "DS on GAN": "deep_spectral",
    "DisCo on GAN": "disco",
    "DisDiff": "disdiff",
    "EncDiff": "encdiff",
}
CONTROLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "DisDiff without its loss": ("disdiff", {"disentangling": 0.0}),
    "EncDiff by FiLM": ("encdiff", {"conditioning": "film"}),
    "EncDiff, always fully noised": ("encdiff", {"noised": "fully"}),
    "attention decoder": ("attention_decoder", {}),
}


def published(name: str, data: str) -> Mapping[str, Numbers]:
    """Numbers of a row; of EncDiff and DisDiff those at hand."""
    if name in OF_YANG:
        return OF_YANG[name][data]
    return dict(zip(("FactorVAE score", "MIG", "D"), OF_REN[name][data], strict=True))


def rows(data: str) -> list[Row]:
    """The table's rows on a dataset; MPI3D and Cars3D have no stand-in, so they are of the paper's scale."""
    scales: tuple[Scale, ...] = ("small", "paper") if data == "Shapes3D" else GAN
    made = []
    for name, method in METHODS.items():
        on_gan = name.endswith("on GAN")
        source, where = (None, GAN) if on_gan else (data.lower(), scales)
        made.append(Row(f"{name}, {data}", method, published(name, data), source=source, scales=where))
    for name, (method, settings) in CONTROLS.items():
        made.append(
            Row(f"{name}, {data}", method, settings=settings, source=data.lower(), scales=scales, role="control")
        )
    return made


RECIPE = Recipe(
    title="Disentangled representations from VAEs to diffusion",
    table="Yang et al. 2024 (EncDiff), and Ren et al. 2022, Tables 1 and 9",
    rows=tuple(row for data in ("Shapes3D", "MPI3D", "Cars3D") for row in rows(data)),
    columns={
        "FactorVAE score": ("factor_vae_score", "score"),
        "MIG": ("mig", "score"),
        "D": ("dci", "disentanglement"),
        "I": ("dci", "informativeness"),
    },
    num_train=4_000,  # FactorVAE's score sees 64 images for each
    num_test=2_000,
    presets={"small": "quick", "paper": "paper"},
    data={"small": {"size": 16}},
    remark="small: 16 pixels and the quick presets, Shapes3D rendered here; MPI3D and Cars3D have no stand-in: "
    "they need mpi3d_toy.npz (or another variant) and nips2015-analogy-data.tar.gz in the data folder. Rows on GANs "
    "need a StyleGAN2 of the data they name, by --source FILE and --rows: your own, or the run folder "
    "runs/bench/cells/stylegan2-…/run that disco-table1, disco-table1-mpi3d or disco-table1-cars3d trains. DisDiff is "
    "scored on all numbers of its vectors, which MIG takes for rivals; its release scores the first principal "
    "component of each, as contrafact evaluate --metrics mig:principal dci:principal does",
)
