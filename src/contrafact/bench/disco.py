"""What the recipes of DisCo share (Ren et al., "Learning Disentangled Representation ...", ICLR 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contrafact.bench.recipe import Column, Recipe, Row, Scale, Trained
from contrafact.evaluation.regression import RegressionSettings

Published = Mapping[str, tuple[float, float | None]]
TYPICAL = {"FactorVAE": "factor_vae", "β-TCVAE": "beta_tcvae", "InfoGAN-CR": "infogan_cr"}
"""The rows that learn from images."""
FINDERS = {
    "LD": "latent_discovery",
    "CF": "sefa",
    "GS": "ganspace",
    "DS": "deep_spectral",
    "DisCo": "disco",
}
"""The rows that learn from a generator, as the paper abbreviates them."""
SMALL_STEPS, SMALL_SAMPLES, SMALL_WIDTH = 250, 6, 0.25
SMALL: Mapping[str, Mapping[str, Any]] = {
    "DisCo": {"steps": SMALL_STEPS, "samples_per_direction": SMALL_SAMPLES, "encoder_width": SMALL_WIDTH},
    "LD": {"steps": 150},
    "GS": {"num_samples": 20_000},
    "DS": {"num_latents": 16, "steps": 5},
}
"""How little the small scale spends on finding directions, by the paper's abbreviation."""
FLOW_DIRECTIONS = 64
"""LD has as many directions as latent dimensions; of a flow those are as many as an image has numbers."""
REGRESSION: Mapping[Scale, RegressionSettings] = {
    # DisCo's steps, and the images of one: ten directions and the bases they share.
    "small": RegressionSettings(steps=SMALL_STEPS, batch_size=11 * SMALL_SAMPLES, width=SMALL_WIDTH),
    "paper": RegressionSettings(slope=0.01),  # the released encoder's, as DisCo's own rows have it
}
SIMILAR_CODES = {"MIG": ("mig", "score"), "DCI": ("dci", "disentanglement")}
"""The two columns of nearly every table."""


PREDICTED_FACTORS = {"β-VAE score": ("beta_vae_score", "score"), "FactorVAE score": ("factor_vae_score", "score")}
"""Table 9's."""
SPOKEN = {"shapes3d": "Shapes3D", "cars3d": "Cars3D", "mpi3d": "MPI3D"}
CARS3D = "nips2015-analogy-data.tar.gz of Cars3D in the data folder"
MPI3D = "mpi3d_toy.npz (or another variant) of MPI3D in the data folder"
SHIPPED: Mapping[str, str | Trained] = {
    "GAN": "shapes3d-64",
    "VAE": "shapes3d",
    "Flow": Trained("glow", "shapes3d", seeds=(0,)),
}
"""Generators of Shapes3D at the small scale: none of this size comes with the package that is a flow."""
ABLATED: Mapping[Scale, str | Trained] = {
    "small": "shapes3d",
    "paper": Trained("stylegan2", "shapes3d", data={"size": 64}, seeds=(0,)),
}
"""Generators of the ablations; at the paper scale the first of the GANs that Tables 1 and 9 train: the same cell."""
ABLATED_REMARK = "Paper: the first StyleGAN2 of Shapes3D that disco-table1 trains; published: one seed on one such"
SMALL_REMARK = (
    "small: typical methods at 16 pixels with their quick presets; the shipped GAN of 64 pixels and VAE of 32, a flow "
    "of 16 that is trained first, one of each, so that the spread is of seeds alone; on a generator everything has 250 "
    "steps of 66 images and a quarter of the encoder's channels, LD 150 steps to find its directions. "
)
PAPER_REMARK = (
    "Paper: five GANs, five VAEs and one flow are trained first, then five seeds on each; the paper's 25 runs of a "
    "typical method are five seeds at five strengths, ours are the seeds at one"
)


def generators_of(dataset: str) -> dict[str, Mapping[Scale, str | Trained]]:
    """By kind, what the paper trains on a dataset: five GANs, five VAEs, one flow; and what the small scale has."""
    paper = {
        "GAN": Trained("stylegan2", dataset),
        "VAE": Trained("vae", dataset),
        "Flow": Trained("glow", dataset, seeds=(0,)),
    }
    small = SHIPPED if dataset == "shapes3d" else {}
    return {
        kind: {"paper": trained, **({"small": small[kind]} if kind in small else {})} for kind, trained in paper.items()
    }


def representations(
    dataset: str,
    number: int,
    published: Mapping[str, Published],
    columns: Mapping[str, tuple[str, str] | Column],
    needs: str = "",
) -> Recipe:
    """Tables 1 and 9 on one dataset: typical methods, directions of generators, DisCo, and a control per generator.

    Args:
        dataset: its name, which the typical methods and the generators learn from.
        number: of the table.
        published: per row, ``"FactorVAE"`` or ``"LD on GAN"``, its numbers.
        columns: what is measured.
        needs: files that the user must bring, for the reader of the table.

    >>> from contrafact.bench.recipe import load_recipe
    >>> [row.name for row in load_recipe("disco-table1").rows if row.method == "control"]
    ['control on GAN', 'control on VAE', 'control on Flow']
    """
    scales: tuple[Scale, ...] = ("paper",) if needs else ("small", "paper")
    rows = [
        Row(name, method, published[name], source=dataset, scales=scales)
        for name, method in TYPICAL.items()
        if name in published
    ]
    for kind, by_scale in generators_of(dataset).items():
        for name, method in FINDERS.items():
            if f"{name} on {kind}" in published:
                numbers, small = published[f"{name} on {kind}"], SMALL.get(name, {})
                few = {"num_directions": FLOW_DIRECTIONS} if (name, kind) == ("LD", "Flow") else {}
                rows.append(Row(f"{name} on {kind}", method, numbers, few, small, source=by_scale, scales=scales))
        rows.append(Row(f"control on {kind}", "control", scales=scales, role="control"))
    return Recipe(
        title=f"{', '.join(columns)} on {SPOKEN[dataset]}: typical methods, directions of pretrained generators, DisCo",
        table=f"Ren et al. 2022, Table {number}, {SPOKEN[dataset]}",
        rows=tuple(rows),
        columns=columns,
        presets={"small": "quick", "paper": "released"},
        data={"small": {"size": 16}, "paper": {"size": 64}},
        regression=REGRESSION,
        remark=f"needs {needs}. {PAPER_REMARK}" if needs else SMALL_REMARK + PAPER_REMARK,
    )
