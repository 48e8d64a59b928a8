"""LORD: labelled codes and a noised residual by latent optimisation (Gabbay & Hoshen 2020).

Demystifying Inter-Class Disentanglement, ICLR 2020, https://arxiv.org/abs/1906.11796. Stage 1 optimises the codes
themselves, one embedding per label and one residual per image, with the generator; noise and decay keep the residual
from carrying what the labels can say. Stage 2 trains encoders to regress both, with the generator. In the paper's words
the label's code is the "class", the residual the "content".

Deviations: with few labels, as ContraLORD's Table 2 uses it, an image without a label has codes of its own, optimised
like the residual but neither noised nor decayed. The decoder of the factor benchmarks stands in for AdaIN modulation
(``decoder="style"`` modulates, for photographs). Moments of a latent stand still while its image is not in the batch.

Shape suffixes: N images, F factors, E code dimensions, R residual dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Rate, Size, SizeOrZero, Steps, Weight
from contrafact.core.run import Run
from contrafact.methods._latent_optimisation import LatentOptimisation
from contrafact.nn.factor_codes import RegressedEncoder, parts_of
from contrafact.nn.own_encoder import Backbone
from contrafact.training.latent_table import EpochOrder, cosine_rate
from contrafact.training.latent_training import (
    TrainingImages,
    ValueEmbeddings,
    descend,
    fit_prior,
    mean_square,
    run_table,
)


@dataclass(frozen=True)
class LORD(LatentOptimisation):
    """Codes of labels and a residual of each image, optimised directly, then regressed.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> small = {"width": 0.1, "steps": 1, "encoder_steps": 1, "batch_size": 8}
    >>> run = cf.methods.LORD.preset("quick", **small).fit(images, "runs/lord")
    >>> run.encoder.code_dim, run.generator.latent_dim  # the factor's code; with seven for the rest
    (1, 8)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "benchmark": {"factor_dim": 1, "residual_dim": 7, "generator_rate": 1e-3, "latent_rate": 1e-2},
        "quick": {
            "width": 0.5,
            "factor_dim": 1,
            "residual_dim": 7,
            "generator_rate": 1e-3,
            "latent_rate": 1e-2,
            "encoder_rate": 1e-3,
            "steps": 4000,
            "encoder_steps": 1500,
            "batch_size": 96,
        },
    }

    factor_dim: Size = 256
    """Dimensions E of each factor's code (1 for factor benchmarks)."""
    residual_dim: SizeOrZero = 128
    """Dimensions R of the residual."""
    encoder: Backbone = None
    """A network of your own that reads the images in stage 2: a copy for the codes, one for the residual. Empty: a
    small one for each."""
    encoder_steps: Steps = 31_400
    """Steps of stage 2."""
    latent_rate: Rate = 3e-3
    """Learning rate of codes and residuals, ten times the generator's."""
    generator_rate: Rate = 3e-4
    """Learning rate of the generator in stage 1."""
    encoder_rate: Rate = 1e-4
    """Learning rate of encoders and generator in stage 2."""
    decay_weight: Weight = 1e-4
    """Weight of the residual's squared length."""
    latent_weight: Weight = 10.0
    """Weight of each regression in stage 2."""

    def grows(self) -> str:
        return "encoder_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Both stages in one loop, so that a run resumes anywhere."""
        images = TrainingImages(source, labels_or_none_of(source), self.num_images, run)
        labels = images.labels
        with run.seeded_init("networks"):
            encoder = RegressedEncoder(
                source.image_shape, labels.names, self.factor_dim, self.residual_dim, self.width, own=self.encoder
            ).to(run.device)
            embeddings = ValueEmbeddings(labels.sizes, self.factor_dim).to(run.device)
            parts = parts_of(labels.names, self.factor_dim, self.residual_dim)
            generator: Any = architecture("lord")(
                encoder.code_dim + self.residual_dim, source.image_shape, self.decoder, self.width, parts
            ).to(run.device)
        # One row per image: its own codes (used where it has no label), then its residual.
        table = run_table(len(images), encoder.code_dim + self.residual_dim, run)
        order, noise = EpochOrder(len(images), self.batch_size, run.numpy_rng("order")), run.rng("noise")
        first = torch.optim.Adam(
            [{"params": embeddings.parameters()}, {"params": generator.parameters()}], betas=(0.5, 0.999), fused=True
        )
        second = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], betas=(0.5, 0.999), fused=True)
        state: dict[str, Any] = {"encoder": encoder, "embeddings": embeddings, "generator": generator, "table": table}
        state |= {"first": first, "second": second, "noise": noise}

        for step in run.steps(self.steps + self.encoder_steps, state):
            places = order.batch(step)
            pictures = images.batch(places, run)
            if step < self.steps:
                latent_rate = cosine_rate(step, self.steps, self.latent_rate, 1e-5)
                first.param_groups[0]["lr"] = latent_rate
                first.param_groups[1]["lr"] = cosine_rate(step, self.steps, self.generator_rate, 1e-5)
                taken = table.take(places)
                codes_ND, residual_NR = self.split(taken.values_ND, places, embeddings, images, run)
                drawn = torch.randn(residual_NR.shape, generator=noise).to(run.device)
                with run.autocast():
                    made = generator(torch.cat([codes_ND, residual_NR + self.sigma * drawn], dim=1))
                distance = self.distance(made.float(), pictures)
                decay = residual_NR.square().sum(dim=1).mean()
                loss, scalars = distance + self.decay_weight * decay, {"distance": distance, "decay": decay}
                descend(first, loss, run)
                table.update(taken, latent_rate)
            else:
                done = step - self.steps
                second.param_groups[0]["lr"] = cosine_rate(done, self.encoder_steps, self.encoder_rate, 1e-5)
                with torch.no_grad():
                    target = self.split(table.read(places), places, embeddings, images, run)
                loss, scalars = self.encoder_loss(encoder, generator, pictures, target, run)
                descend(second, loss, run)
            run.log(loss=loss, **scalars)

        generator.note = fit_prior(generator, encoder, images, run)
        return Artefacts(encoder=encoder, generator=generator)

    def split(
        self, rows_ND: Tensor, places: IntArray, embeddings: ValueEmbeddings, images: TrainingImages, run: Run
    ) -> tuple[Tensor, Tensor]:
        """Codes ``(N, F·E)``, of the label where there is one, and residual ``(N, R)`` of a batch's rows."""
        own_ND, residual_NR = rows_ND.split([rows_ND.shape[1] - self.residual_dim, self.residual_dim], dim=1)
        return images.codes(embeddings, places, own_ND, run), residual_NR

    def encoder_loss(
        self,
        encoder: RegressedEncoder,
        generator: Generator,
        pictures: Tensor,
        target: tuple[Tensor, Tensor],
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Stage 2: the image's error, and the squared error of codes and residual."""
        with run.autocast():
            codes, residual = encoder.encode(pictures), encoder.residual(pictures)
            made = generator(torch.cat([codes, residual], dim=1))
        distance = self.distance(made.float(), pictures)
        code_error, residual_error = (
            mean_square(ours.float() - wanted) for ours, wanted in zip((codes, residual), target, strict=True)
        )
        loss = distance + self.latent_weight * (code_error + residual_error)
        return loss, {"encoder_distance": distance, "code_error": code_error, "residual_error": residual_error}
