"""Semi-supervised VAE: a β-VAE whose first codes learn the known factors of a few images (Locatello et al. 2020).

Disentangling Factors of Variation Using Few Labels, Locatello, Tschannen, Bauer, Rätsch, Schölkopf & Bachem, ICLR 2020,
https://arxiv.org/abs/1905.01258. Labels are the dataset's ``few_labels`` and nothing else (``--labels 100``).

Deviations: a label v of n values becomes the target (v + ½)/n, not v/n, whose best code for v = 0 would be −∞; the
supervised term is a mean over the labelled images, where the authors' program adds up its 64 (γ_sup = 1 is 64 here).

Shape suffixes: N images, J latent dimensions, K labelled factors.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Size, Weight
from contrafact.core.run import Run
from contrafact.losses.independence import kl_to_standard_normal
from contrafact.methods._variational import QUICK, Variational, active

Supervision = Literal["cross_entropy", "squared"]


@dataclass(frozen=True)
class SemiSupervisedVAE(Variational):
    """β-VAE with a supervised regulariser (Eq. 1, S²/β-VAE).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> run = cf.methods.SemiSupervisedVAE.preset("quick", width=0.1, steps=2).fit(images, "runs/s2-vae")
    >>> run.annotated_factors, run.encoder(images.batch([0, 1])).shape  # the first code is the shape's
    (('shape',), torch.Size([2, 10]))
    """

    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several", "missing", "continuous")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "quick": QUICK}

    beta: Weight = 4.0
    """Weight β of the KL term."""
    supervision: Supervision = "cross_entropy"
    """Distance of a code from its factor: cross-entropy or squared error, both of the code's sigmoid."""
    supervised_weight: Weight = 64.0
    """Weight γ_sup of the supervised term."""
    num_labelled: Size = 64
    """Labelled images per step, drawn with replacement."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse more labelled factors than codes."""
        names = () if source.few_labels is None else source.few_labels.names
        if len(names) > self.latent_dim:
            raise ValueError(
                f"{len(names)} labelled factors need a code each, but latent_dim is {self.latent_dim}; "
                "raise it, or choose some with --factors"
            )

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise reconstruction + β · KL + γ_sup · distance of the labelled images' codes from their factors."""
        labels = source.few_labels if source.few_labels is not None and len(source.few_labels) else None
        if labels is None:
            warnings.warn("no labels, so this is a plain β-VAE; give some, such as --labels 100", stacklevel=2)
        vae = self.start(source, run)
        labelled_rng = run.numpy_rng("labelled")
        values_MK = labels_or_none_of(source).places

        for step in run.steps(self.steps, vae.state | {"labelled": labelled_rng}):
            images = vae.batch()
            codes = vae.posterior(images)
            reconstruction = vae.reconstruction(codes.sample, images)
            divergence_J = kl_to_standard_normal(codes.mean, codes.log_variance)
            loss = reconstruction + self.weight(step) * self.beta * divergence_J.sum()
            if labels is not None:
                rows = labelled_rng.integers(len(labels), size=self.num_labelled)
                with run.autocast():
                    mean_NJ, _ = vae.encoder.posterior(source.batch(labels.indices[rows]).to(run.device))
                values_NK = torch.from_numpy(values_MK[rows]).to(run.device)
                supervised = supervised_loss(mean_NJ, values_NK, labels.sizes, self.supervision)
                loss = loss + self.supervised_weight * supervised
                run.log(supervised=supervised)
            vae.descend(loss)
            run.log(loss=loss, reconstruction=reconstruction, kl=divergence_J.sum(), active=active(divergence_J))

        learned = vae.artefacts()
        if learned.encoder is not None and labels is not None:
            learned.encoder.note = {"supervised_codes": list(labels.names)}
        return learned


def supervised_loss(mean_NJ: Tensor, values_NK: Tensor, sizes: tuple[int, ...], supervision: Supervision) -> Tensor:
    """Distance of the first K codes from K factors: summed over factors, mean over images.

    Args:
        mean_NJ: posterior means of labelled images.
        values_NK: their factors' values, from 0, or places between two; those below 0 are unknown and do not count.
        sizes: K numbers of values.
        supervision: ``cross_entropy`` or ``squared`` error between a code's sigmoid and its factor in (0, 1).
    """
    target_NK = (values_NK + 0.5) / torch.from_numpy(np.asarray(sizes)).to(values_NK.device)
    logits_NK = mean_NJ[:, : len(sizes)]
    target_NK = target_NK.to(logits_NK)
    if supervision == "squared":
        distance_NK = (logits_NK.sigmoid() - target_NK).square()
    else:
        distance_NK = F.binary_cross_entropy_with_logits(logits_NK, target_NK, reduction="none")
    return (distance_NK * (values_NK >= 0)).sum(dim=1).mean()
