"""Labels only: classifiers of the few annotated images, and nothing else; the control of every few-label table.

No paper: the encoder of ZeroDIM (Gabbay et al. 2021) trained by cross-entropy on the annotated images alone. Whatever a
method does with unlabelled images has to beat it, with the same labels. A factor's code is the mean of its values'
positions, evenly spaced in [−1, 1], weighted by the classifier.

Shape suffixes: M annotated images, F factors, V values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from contrafact.core.dataset import ImageDataset
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.losses.assignment import classification_loss
from contrafact.nn.factor_codes import AssignedEncoder, LateKernel
from contrafact.nn.own_encoder import Backbone
from contrafact.training.latent_table import EpochOrder, cosine_rate
from contrafact.training.latent_training import descend


@dataclass(frozen=True)
class LabelsOnly(Method):
    """One classifier per annotated factor, trained on the annotated images alone.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> run = cf.methods.LabelsOnly(width=0.1, steps=2).fit(images, "runs/labels-only")
    >>> run.annotated_factors, run.encoder(images.batch([0, 1])).shape
    (('shape',), torch.Size([2, 1]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several", "missing", "continuous")
    yields: ClassVar[tuple[str, ...]] = ("encoder",)
    older: ClassVar[Mapping[str, Any]] = {"late_kernel": 4}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"steps": 600, "late_kernel": 4}}

    width: Width = 1.0
    """Multiplies every channel count."""
    encoder: Backbone = None
    """A network of your own that reads the images, one for all classifiers. Empty: a small one for each."""
    late_kernel: LateKernel = 2
    """Side of the kernels in the second half of the small ones' convolutions: 2 as Locatello et al., or 4."""
    steps: Steps = 2_000
    """Training steps."""
    batch_size: Size = 100
    """Annotated images per step."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images without annotations."""
        if not len(labels_or_none_of(source)):
            raise ValueError("labels_only learns from annotated images alone and got none; give --labels 100")

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise the cross-entropy of the annotated images."""
        labels = labels_or_none_of(source)
        with run.seeded_init("networks"):
            sizes = (labels.sizes, 1, 0, self.width)
            encoder = AssignedEncoder(source.image_shape, labels.names, *sizes, self.encoder, self.late_kernel).to(
                run.device
            )
        encoder.space_values(1.0)
        optimizer = torch.optim.Adam(encoder.classifiers.parameters(), lr=self.learning_rate)
        order = EpochOrder(len(labels), min(self.batch_size, len(labels)), run.numpy_rng("order"))
        pictures = source.batch(labels.indices).to(run.device)
        values_MF, shares = torch.from_numpy(labels.values).to(run.device), labels.shares
        shares_MF = None if shares is None else torch.from_numpy(shares).float().to(run.device)
        for step in run.steps(self.steps, {"encoder": encoder, "optimizer": optimizer}):
            rows = torch.from_numpy(order.batch(step)).to(run.device)
            optimizer.param_groups[0]["lr"] = cosine_rate(step, self.steps, self.learning_rate)
            with run.autocast():
                logits_NFV = encoder.logits(pictures[rows])
            loss = classification_loss(
                logits_NFV.float(), values_MF[rows], None if shares_MF is None else shares_MF[rows]
            )
            descend(optimizer, loss, run)
            run.log(loss=loss)
        return Artefacts(encoder=encoder)
