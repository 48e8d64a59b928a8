"""ZeroDIM: factors of interest from a few labels, everything else in a residual (Gabbay, Cohen & Hoshen 2021).

An Image is Worth More Than a Thousand Words: Towards Disentanglement in the Wild, NeurIPS 2021,
https://arxiv.org/abs/2106.15610; the row "Gabbay et al." of ContraLORD's Table 2. Each factor of interest has a table
of value embeddings and a classifier: an annotated image's code is its value's embedding, any other image's the mean of
the embeddings weighted by the classifier. The residual is one latent per image, noised and decayed so that it carries
nothing the codes can say. Stage 2 regresses the residual from the image, stage 3 tunes generator and residual encoder.

Deviations: batches hold all the annotated images when they fit; moments of a latent stand still while its image is not
in the batch; ``steps`` count batches, not epochs.

Shape suffixes: N images, M of them annotated, F factors, V values, E code dimensions, R residual dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Rate, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.methods._latent_optimisation import FewLabelTerm, LatentOptimisation
from contrafact.nn.factor_codes import AssignedEncoder, parts_of
from contrafact.nn.own_encoder import Backbone
from contrafact.training.latent_table import EpochOrder, cosine_rate
from contrafact.training.latent_training import (
    FewLabelWeights,
    TrainingImages,
    descend,
    few_label_loss,
    fit_prior,
    mean_square,
    run_table,
    start_values,
)


@dataclass(frozen=True)
class ZeroDIM(FewLabelTerm, LatentOptimisation):
    """Codes of labelled factors by classification, a residual by latent optimisation.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> small = {"width": 0.1, "steps": 1, "amortization_steps": 1, "tuning_steps": 1, "batch_size": 8}
    >>> run = cf.methods.ZeroDIM.preset("quick", **small).fit(images, "runs/zerodim")
    >>> run.annotated_factors, run.encoder(images.batch([0, 1])).shape
    (('shape',), torch.Size([2, 1]))
    """

    older: ClassVar[Mapping[str, Any]] = {"vgg_weights": None, "late_kernel": 4}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "dsprites": {
            "reconstruction": "bernoulli", "num_images": 50_000,
            "steps": 78_200, "amortization_steps": 78_200, "tuning_steps": 78_200,
        },
        "small_norb": {
            "num_images": 48_600, "steps": 76_000, "amortization_steps": 19_000, "tuning_steps": 19_000,
        },
        "cars3d": {
            "num_images": 17_568, "residual_dim": 8,
            "steps": 27_600, "amortization_steps": 6_900, "tuning_steps": 6_900,
        },
        "quick": {
            "width": 0.5,
            "steps": 5000,
            "amortization_steps": 300,
            "tuning_steps": 200,
            "batch_size": 64,
            "supervised_weight": 3.0,
            "classification_weight": 1e-2,
            "entropy_after": 0.7,
            "value_codes": "spaced",
            "late_kernel": 4,
        },
    }  # fmt: skip

    encoder: Backbone = None
    """A network of your own that reads the images: a copy for all classifiers, one for the residual. Empty: a small one
    for each."""
    batch_size: Size = 128
    """Images per step; as many annotated ones are added, or all of them where there are fewer."""
    amortization_steps: Steps = 7_850
    """Steps of stage 2: the residual encoder alone."""
    tuning_steps: Steps = 7_850
    """Steps of stage 3: residual encoder and generator."""
    generator_rate: Rate = 1e-3
    """Learning rate of the generator in stage 1, of the residual encoder in stage 2; a tenth of it in stage 3."""
    decay_weight: Weight = 1e-5
    """Weight of the residual's mean square."""
    entropy_weight: Weight = 1e-3
    """Weight of the entropy of the classifiers' assignments."""

    def grows(self) -> str:
        return "tuning_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Three stages in one loop, so that a run resumes anywhere."""
        images = TrainingImages(source, labels_or_none_of(source), self.num_images, run)
        labels, stages = images.labels, (self.steps, self.amortization_steps, self.tuning_steps)
        with run.seeded_init("networks"):
            encoder = AssignedEncoder(
                source.image_shape,
                labels.names,
                labels.sizes,
                self.factor_dim,
                self.residual_dim,
                self.width,
                self.encoder,
                self.late_kernel,
            ).to(run.device)
            parts = parts_of(labels.names, self.factor_dim, self.residual_dim)
            generator: Any = architecture("lord")(
                encoder.code_dim + self.residual_dim, source.image_shape, self.decoder, self.width, parts
            ).to(run.device)
        table = run_table(len(images), self.residual_dim, run)
        order, pick = EpochOrder(len(images), self.batch_size, run.numpy_rng("order")), run.numpy_rng("annotated")
        noise = run.rng("noise")
        learned = [
            {"params": [encoder.embeddings], "top": start_values(encoder, self.value_codes, self.latent_rate)},
            {"params": list(encoder.classifiers.parameters()), "top": self.classifier_rate},
            {"params": list(generator.parameters()), "top": self.generator_rate},
        ]
        first = torch.optim.Adam(learned, betas=(0.5, 0.999), fused=True)
        second = torch.optim.Adam(encoder.residual_encoder.parameters(), lr=self.generator_rate, fused=True)
        third = torch.optim.Adam(
            [*encoder.residual_encoder.parameters(), *generator.parameters()],
            lr=0.1 * self.generator_rate,
            betas=(0.5, 0.999),
            fused=True,
        )
        state: dict[str, Any] = {"encoder": encoder, "generator": generator, "table": table, "first": first}
        state |= {"second": second, "third": third, "annotated": pick, "noise": noise}

        for step in run.steps(sum(stages), state):
            places = order.batch(step)
            if step < self.steps:
                for group in first.param_groups:
                    lowest = min(group["top"], 0.1 * self.generator_rate)
                    group["lr"] = cosine_rate(step, self.steps, group["top"], lowest)
                annotated = images.pick_annotated(pick, self.batch_size)
                taken = table.take(np.concatenate([places, annotated]))
                loss, scalars = few_label_loss(
                    encoder, generator, images, places, annotated, taken.values_ND, noise, self.weights(step), run
                )
                descend(first, loss, run)
                lowest_latent = min(self.latent_rate, 0.1 * self.generator_rate)
                table.update(taken, cosine_rate(step, self.steps, self.latent_rate, lowest_latent))
            else:
                tuned = step >= self.steps + self.amortization_steps
                loss, scalars = self.residual_loss(encoder, generator, images, places, table.read(places), tuned, run)
                if not tuned:
                    done = step - self.steps
                    second.param_groups[0]["lr"] = cosine_rate(done, self.amortization_steps, self.generator_rate, 1e-5)
                descend(third if tuned else second, loss, run)
            run.log(loss=loss, **scalars)

        generator.note = fit_prior(generator, encoder, images, run)
        return Artefacts(encoder=encoder, generator=generator)

    def weights(self, step: int) -> FewLabelWeights:
        """Weights of stage 1's terms at a step."""
        entropy = self.entropy_weight if step >= self.entropy_after * self.steps else 0.0
        return FewLabelWeights(
            self.distance,
            self.sigma,
            self.decay_weight,
            entropy,
            self.classification_weight,
            self.supervised_weight,
        )

    def residual_loss(
        self,
        encoder: AssignedEncoder,
        generator: Generator,
        images: TrainingImages,
        places: Any,
        target_NR: Tensor,
        tuned: bool,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Stage 2: squared error of the residual encoder; stage 3: that (weight 10) and the image's."""
        pictures = images.batch(places, run)
        with run.autocast():
            residual_NR = encoder.residual(pictures)
            error = mean_square(residual_NR.float() - target_NR)
            if not tuned:
                return error, {"residual_error": error}
            with torch.no_grad():
                codes = encoder.encode(pictures)
            made = generator(torch.cat([codes, residual_NR], dim=1))
        distance = self.distance(made.float(), pictures)
        return distance + 10 * error, {"residual_error": error, "tuned_distance": distance}
