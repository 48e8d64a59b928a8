"""ContraLORD: latent optimisation, then an encoder taught by its codes and by two contrasts (Anonymous 2021).

Representation Disentanglement in Generative Models with Contrastive Learning, under review 2021. Stage 1 optimises
codes and generator: a discriminative code d, a content code gᶜ, a residual gʳ (Eq. 1). Stage 2 trains one encoder with
three heads against a frozen generator: L_rec + w·L_sup + λ_con·L_con + λ_res·L_res (Eqs 2–6); the contrasts compare
content and residual with a momentum encoder's, kept in queues. Where the paper leaves things open:

- With factors gᶜ is a scalar per factor, found by ZeroDIM's mechanism from few labels, and there is no d. Without, d
  has 256 dimensions and gᶜ 128; class labels, where given, fix d to one embedding per class ("d̃ is given"). The
  encoder's codes are gᶜ with factors, else its features, which is what linear probes read.
- Algorithm 1 never updates G; it is updated in stage 1 (``update_generator``).
- Eq. 4's "original" embedding could only be stage 1's, through which no gradient reaches the encoder. ``online``
  anchors contrast two views as MoCo does; ``latent`` anchors are stage 1's embeddings, their positives online ones.
- The two momentum encoders follow one encoder with one momentum, so they are one network with two heads.
- MoCo's augmentations destroy hues and positions: ``auto`` leaves those out; L_rec and L_sup see clean images.

Shape suffixes: N images, F factors, E code dimensions, R residual dimensions, J dimensions of a contrast, K queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Length, Positive, Rate, Share, Size, SizeOrZero, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.contrastive import queue_infonce_loss, unit
from contrafact.losses.reconstruction import Reconstruction, image_distance
from contrafact.nn.factor_codes import AssignedEncoder, SharedEncoder, parts_of
from contrafact.nn.trainable import EncoderChoice
from contrafact.training.gather import gathered_rows
from contrafact.training.latent_table import EpochOrder, cosine_rate
from contrafact.training.latent_training import (
    FewLabelWeights,
    TrainingImages,
    ValueCodes,
    ValueEmbeddings,
    assigned_codes,
    descend,
    few_label_loss,
    fit_prior,
    mean_square,
    run_table,
    start_values,
)
from contrafact.training.momentum import FeatureQueue, check_queue, follow, momentum_copy
from contrafact.training.views import Views, choose_kinds


@dataclass(frozen=True)
class ContraLORD(Method):
    """Codes by latent optimisation, an encoder by regression and contrast."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            "width": 0.5, "encoder": "locatello", "steps": 5000, "encoder_steps": 2500,
            "batch_size": 64, "encoder_batch_size": 64, "generator_rate": 1e-3, "latent_rate": 1e-2,
            "value_codes": "spaced", "supervised_weight": 3.0, "classification_weight": 1e-2, "entropy_after": 0.7,
            "latent_weight": 300.0, "queue_length": 4096,
        },
        "tiny": {"encoder": "conv", "encoder_batch_size": 4, "encoder_steps": 4, "queue_length": 10, "num_images": 9},
    }  # fmt: skip

    num_images: Count = 20_000
    """Training images, drawn from the dataset; the annotated ones are among them."""
    discriminative_dim: Size = 256
    """Dimensions of d where no factors are annotated."""
    content_dim: Size = 128
    """Dimensions of gᶜ where no factors are annotated."""
    factor_dim: Size = 1
    """Dimensions E of each annotated factor's code."""
    residual_dim: SizeOrZero = 7
    """Dimensions R of the residual gʳ."""
    sigma: Weight = 1.0
    """Standard deviation σ of the noise on codes that are not annotated."""
    decay: Weight = 1e-3
    """Weight λ of their squared length (Eq. 1)."""
    reconstruction: Reconstruction = "squared"
    """squared (synthetic), bernoulli (black and white), or multiscale (photographs without a perceptual network)."""
    decoder: Literal["conv", "style"] = "conv"
    """The factor benchmarks' decoder, or a StyleGAN2 synthesis network for photographs."""
    width: Width = 1.0
    """Multiplies the channel counts of generator and classifiers."""
    encoder: EncoderChoice = "resnet50"
    """Stage 2's encoder."""
    encoder_width: Width = 1.0
    """Multiplies the encoder's channel counts."""
    batch_size: Size = 128
    """Images per step of stage 1."""
    encoder_batch_size: Size = 256
    """Images per step of stage 2."""
    steps: Steps = 31_400
    """Steps of stage 1 (200 epochs of 20,000 images)."""
    encoder_steps: Steps = 15_700
    """Steps of stage 2."""
    latent_rate: Rate = 1e-3
    """Learning rate of the codes in stage 1, ten times the generator's."""
    generator_rate: Rate = 1e-4
    """Learning rate of the generator in stage 1."""
    value_codes: ValueCodes = "learned"
    """Embeddings of annotated values: learned from near zero, or spaced evenly in their order, as in ZeroDIM."""
    classifier_rate: Rate = 1e-4
    """Learning rate of the classifiers of annotated factors."""
    encoder_rate: Rate = 1e-3
    """Learning rate of stage 2."""
    supervised_weight: Weight = 10.0
    """Weight of the annotated images in stage 1 against the others, as in ZeroDIM."""
    classification_weight: Weight = 1e-3
    """Weight of the cross-entropy of annotated images, inside the supervised term, as in ZeroDIM."""
    entropy_after: Share = 0.1
    """Share of stage 1 after which the classifiers' entropy counts, as in ZeroDIM."""
    update_generator: bool = True
    """Train G in stage 1; off follows Algorithm 1 to the letter."""
    reconstruction_weight: Weight = 1.0
    """Weight of L_rec."""
    latent_weight: Weight = 10.0
    """Weight w of L_sup."""
    content_weight: Weight = 1.0
    """Weight λ_con of the content's contrast."""
    residual_weight: Weight = 1.0
    """Weight λ_res of the residual's contrast."""
    anchor: Literal["online", "latent"] = "online"
    """What is contrasted: the encoder's embedding of one view, or stage 1's embedding."""
    temperature: Positive = 0.07
    """Temperature τ."""
    momentum: Share = 0.999
    """Momentum m."""
    queue_length: Length = 12_800
    """Negatives K of each contrast; need not be a multiple of the batch."""
    augmentations: str = "auto"
    """auto, none, or kinds of view separated by commas: crop, flip, light, color, grayscale, blur."""

    def check_options(self) -> None:
        """Refuse a queue shorter than a step's images."""
        check_queue(self.queue_length, self.encoder_batch_size)

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a queue shorter than the images of all processes, and views that the images do not have."""
        check_queue(self.queue_length, self.encoder_batch_size * run.world_size)
        choose_kinds(source, self.augmentations)

    def grows(self) -> str:
        return "encoder_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Both stages in one loop, so that a run resumes anywhere."""
        views = Views(choose_kinds(source, self.augmentations))
        labels = labels_or_none_of(source)
        factors = isinstance(source, AnnotatedDataset)
        images = TrainingImages(source, labels, self.num_images, run)
        names, code_dim = (labels.names, self.factor_dim) if factors else (("content",), self.content_dim)
        discriminative = 0 if factors else self.discriminative_dim
        parts = {"discriminative": (0, discriminative)} if discriminative else {}
        for name, (first, last) in parts_of(names, code_dim, self.residual_dim).items():
            parts[name] = (first + discriminative, last + discriminative)
        width = max(last for _, last in parts.values())
        with run.seeded_init("networks"):
            embeddings = ValueEmbeddings(labels.sizes, discriminative).to(run.device)
            classifiers = AssignedEncoder(source.image_shape, labels.names, labels.sizes, code_dim, 0, self.width)
            assigned = classifiers.to(run.device) if factors else None
            generator: Any = architecture("lord")(width, source.image_shape, self.decoder, self.width, parts)
            generator.to(run.device)
            encoder = SharedEncoder(
                source.image_shape, names, code_dim, self.residual_dim, discriminative, self.encoder, self.encoder_width
            ).to(run.device)
        slow = momentum_copy(encoder)
        table = run_table(len(images), self.residual_dim if factors else width, run)
        order = EpochOrder(len(images), self.batch_size, run.numpy_rng("order"))
        encoder_order = EpochOrder(len(images), self.encoder_batch_size, run.numpy_rng("encoder order"))
        pick, noise, view_rng = run.numpy_rng("annotated"), run.rng("noise"), run.rng("views")
        queues = [
            FeatureQueue(self.queue_length, max(1, size), run.rng(f"queue {i}", shared=True)).to(run.device)
            for i, size in enumerate((len(names) * code_dim, self.residual_dim))
        ]
        value_rate = start_values(assigned, self.value_codes, self.latent_rate) if assigned else self.latent_rate
        groups: list[dict[str, Any]] = [
            {"params": list(generator.parameters()) if self.update_generator else [], "top": self.generator_rate},
            {"params": [*embeddings.parameters(), *([assigned.embeddings] if assigned else [])], "top": value_rate},
            {"params": list(assigned.classifiers.parameters()) if assigned else [], "top": self.classifier_rate},
        ]
        optimizer = torch.optim.Adam(groups, betas=(0.5, 0.999), fused=True)
        second = torch.optim.Adam(encoder.parameters(), lr=self.encoder_rate, fused=True)
        learned = nn.ModuleList([generator, embeddings, *([assigned] if assigned else [])])
        state: dict[str, Any] = {"learned": learned, "encoder": encoder, "slow": slow, "table": table, "noise": noise}
        state |= {"queues": nn.ModuleList(queues), "first": optimizer, "second": second}
        state |= {"annotated": pick, "views": view_rng}
        of_annotated = (self.classification_weight, self.supervised_weight)
        taught: Tensor | None = None  # the classifiers rest in stage 2: they say once what L_sup regresses
        for step in run.steps(self.steps + self.encoder_steps, state):
            if step < self.steps:
                for group in optimizer.param_groups:
                    group["lr"] = cosine_rate(step, self.steps, group["top"], 0.1 * group["top"])
                places = order.batch(step)
                if assigned:
                    annotated = images.pick_annotated(pick, self.batch_size)
                    taken = table.take(np.concatenate([places, annotated]))
                    sharpen = 1e-3 if step >= self.entropy_after * self.steps else 0.0
                    weights = FewLabelWeights(self.reconstruction, self.sigma, self.decay, sharpen, *of_annotated)
                    loss, scalars = few_label_loss(
                        assigned, generator, images, places, annotated, taken.values_ND, noise, weights, run
                    )
                else:
                    taken = table.take(places)
                    loss, scalars = self.latent_loss(embeddings, generator, images, places, taken.values_ND, noise, run)
                descend(optimizer, loss, run)
                table.update(taken, cosine_rate(step, self.steps, self.latent_rate, 0.1 * self.latent_rate))
            else:
                done = step - self.steps
                second.param_groups[0]["lr"] = cosine_rate(done, self.encoder_steps, self.encoder_rate, 1e-5)
                places = encoder_order.batch(done)
                generator.requires_grad_(False)
                pictures = images.batch(places, run)
                if assigned:
                    taught = assigned_codes(assigned, images, run) if taught is None else taught
                    target = torch.cat([taught[places], table.read(places)], dim=1)
                else:
                    own_ND, generative = table.read(places).tensor_split([self.discriminative_dim], dim=1)
                    given_ND = images.codes(embeddings, places, own_ND, run).detach()
                    target = torch.cat([given_ND, generative], dim=1)
                loss, scalars, keys = self.encoder_loss(
                    encoder, slow, generator, queues, pictures, target, views, view_rng, run
                )
                descend(second, loss, run)
                follow(slow, encoder, self.momentum)
                for queue, key in zip(queues, keys, strict=True):
                    queue.push(gathered_rows(key, run))
            run.log(loss=loss, **scalars)

        generator.note = fit_prior(generator, encoder, images, run)
        return Artefacts(encoder=encoder, generator=generator)

    def latent_loss(
        self,
        embeddings: ValueEmbeddings,
        generator: Generator,
        images: TrainingImages,
        places: IntArray,
        rows_ND: Tensor,
        noise: torch.Generator,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1 where no factors are annotated: all codes per image, noise on content and residual."""
        pictures = images.batch(places, run)
        code_ND = images.codes(embeddings, places, rows_ND[:, : self.discriminative_dim], run)
        generative = rows_ND[:, self.discriminative_dim :]
        drawn = torch.randn(generative.shape, generator=noise).to(run.device)
        with run.autocast():
            made = generator(torch.cat([code_ND, generative + self.sigma * drawn], dim=1))
        distance = image_distance(made.float(), pictures, self.reconstruction)
        decay = generative.square().sum(dim=1).mean()
        return distance + self.decay * decay, {"distance": distance, "decay": decay}

    def encoder_loss(
        self,
        encoder: SharedEncoder,
        slow: SharedEncoder,
        generator: Generator,
        queues: list[FeatureQueue],
        pictures: Tensor,
        target_NL: Tensor,
        views: Views,
        rng: torch.Generator,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Eq. 6 on a batch: the loss, what to log, and the keys that go into the queues."""
        n = len(pictures)
        with run.autocast():
            both = encoder.split(torch.cat([pictures, views(pictures, rng)]))
            codes_NL = torch.cat([part[:n] for part in both], dim=1)
            made = generator(codes_NL)
            with torch.no_grad():
                _, *keys = slow.split(views(pictures, rng))
        distance = image_distance(made.float(), pictures, self.reconstruction)
        error = mean_square(codes_NL - target_NL)
        loss = self.reconstruction_weight * distance + self.latent_weight * error
        scalars = {"encoder_distance": distance, "latent_error": error}
        latent = target_NL[:, encoder.discriminative_dim :].split(encoder.sizes[1:], dim=1)
        weights = (self.content_weight, self.residual_weight)
        for name, weight, queue, online, key, anchor in zip(
            ("content", "residual"), weights, queues, both[1:], keys, latent, strict=True
        ):
            if not (weight and key.shape[1]):
                continue
            query, positive = (unit(online[n:]), unit(key))
            if self.anchor == "latent":
                query, positive = unit(anchor), query
            contrast = queue_infonce_loss(query, positive, queue.features, self.temperature)
            loss, scalars[f"{name}_contrast"] = loss + weight * contrast, contrast
        return loss, scalars, [unit(key) if key.shape[1] else key.new_zeros(n, 1) for key in keys]
