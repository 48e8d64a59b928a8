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
- Keys are encoded in shuffled groups, as MoCo's, so that batch statistics do not give the positive away.
- MoCo's augmentations destroy hues and positions: ``auto`` leaves those out; L_rec and L_sup see clean images.

Shape suffixes: N images, F factors, E code dimensions, R residual dimensions, J dimensions of a contrast, K queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core.dataset import AnnotatedDataset, ImageDataset, IntArray
from contrafact.core.few_labels import CLASS, labels_or_none_of
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Length, Positive, Rate, Share, Size, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.contrastive import queue_infonce_loss, unit
from contrafact.methods._latent_optimisation import FewLabelTerm, LatentOptimisation
from contrafact.nn.factor_codes import AssignedEncoder, SharedEncoder, parts_of
from contrafact.nn.trainable import EncoderChoice
from contrafact.training.gather import gathered_rows
from contrafact.training.latent_table import EpochOrder, LatentTable, Taken, cosine_rate
from contrafact.training.latent_training import (
    FewLabelWeights,
    TrainingImages,
    ValueEmbeddings,
    assigned_codes,
    descend,
    few_label_loss,
    fit_prior,
    mean_square,
    run_table,
    start_values,
)
from contrafact.training.momentum import FeatureQueue, check_queue, follow, in_shuffled_groups, momentum_copy
from contrafact.training.stages import stages
from contrafact.training.views import Views, choose_kinds


@dataclass(frozen=True)
class ContraLORD(FewLabelTerm, LatentOptimisation):
    """Codes by latent optimisation, an encoder by regression and contrast.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> settings = {"width": 0.1, "steps": 1, "encoder_steps": 1, "batch_size": 8, "encoder_batch_size": 8}
    >>> run = cf.methods.ContraLORD.preset("quick", **settings).fit(images, "runs/contralord")
    >>> run.annotated_factors, run.encoder.code_dim, run.generator.latent_dim
    (('shape',), 1, 8)
    """

    older: ClassVar[Mapping[str, Any]] = {"vgg_weights": None, "late_kernel": 4}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            "width": 0.5, "encoder": "locatello", "steps": 5000, "encoder_steps": 2500,
            "batch_size": 64, "encoder_batch_size": 64, "generator_rate": 1e-3, "latent_rate": 1e-2,
            "value_codes": "spaced", "supervised_weight": 3.0, "classification_weight": 1e-2, "entropy_after": 0.7,
            "latent_weight": 300.0, "queue_length": 4096, "key_groups": 1, "late_kernel": 4,
        },
        "tiny": {"encoder": "conv", "encoder_batch_size": 4, "encoder_steps": 4, "queue_length": 10, "num_images": 9},
    }  # fmt: skip

    discriminative_dim: Size = 256
    """Dimensions of d where no factors are annotated."""
    content_dim: Size = 128
    """Dimensions of gᶜ where no factors are annotated."""
    sigma: Weight = 1.0
    """Standard deviation σ of the noise on codes that are not annotated."""
    decay: Weight = 1e-3
    """Weight λ of their squared length (Eq. 1)."""
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
    encoder_steps: Steps = 15_700
    """Steps of stage 2."""
    latent_rate: Rate = 1e-3
    """Learning rate of the codes in stage 1, ten times the generator's."""
    generator_rate: Rate = 1e-4
    """Learning rate of the generator in stage 1."""
    encoder_rate: Rate = 1e-3
    """Learning rate of stage 2."""
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
    key_groups: Size = 8
    """Shuffled groups in which keys are encoded, each with batch statistics of its own; 1 suits networks without batch
    normalisation."""
    queue_length: Length = 12_800
    """Negatives K of each contrast; need not be a multiple of the batch."""
    augmentations: str = "auto"
    """auto, none, or kinds of view separated by commas: crop, flip, light, color, grayscale, blur."""

    def check_options(self) -> None:
        """Refuse a queue shorter than a step's images."""
        super().check_options()
        check_queue(self.queue_length, self.encoder_batch_size)

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a queue shorter than the images of all processes, and views that the images do not have."""
        super().check_source(source, run)
        check_queue(self.queue_length, self.encoder_batch_size * run.world_size)
        choose_kinds(source, self.augmentations)

    def grows(self) -> str:
        return "encoder_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Optimise codes with the generator, then teach the encoder."""
        views = Views(choose_kinds(source, self.augmentations))
        made = self._made(source, run)
        first, second = stages(run, (self.steps, self.encoder_steps), made.state())
        self._optimise_codes(first, made, run)
        self._teach_encoder(second, made, views, run)
        made.generator.note = fit_prior(made.generator, made.encoder, made.images, run)
        return Artefacts(encoder=made.encoder, generator=made.generator)

    def _made(self, source: ImageDataset, run: Run) -> Networks:
        """Networks, tables and optimisers of both stages."""
        labels = labels_or_none_of(source)
        has_factors = isinstance(source, AnnotatedDataset) or labels.names != (CLASS,)
        images = TrainingImages(source, labels, self.num_images, run)
        names, code_dim = (labels.names, self.factor_dim) if has_factors else (("content",), self.content_dim)
        discriminative = 0 if has_factors else self.discriminative_dim
        parts = {"discriminative": (0, discriminative)} if discriminative else {}
        for name, (first, last) in parts_of(names, code_dim, self.residual_dim).items():
            parts[name] = (first + discriminative, last + discriminative)
        width = max(last for _, last in parts.values())
        with run.seeded_init("networks"):  # all of them, so that those in use start alike with and without factors
            embeddings = ValueEmbeddings(labels.sizes, discriminative).to(run.device)
            assigned = AssignedEncoder(
                source.image_shape, labels.names, labels.sizes, code_dim, 0, self.width, late_kernel=self.late_kernel
            )
            generator: Any = architecture("lord")(width, source.image_shape, self.decoder, self.width, parts)
            generator.to(run.device)
            encoder = SharedEncoder(
                source.image_shape, names, code_dim, self.residual_dim, discriminative, self.encoder, self.encoder_width
            ).to(run.device)
        codes: AnnotatedCodes | OwnCodes = OwnCodes(self, images, embeddings)
        if has_factors:
            codes = AnnotatedCodes(self, images, embeddings, assigned.to(run.device), run)
        queues = [
            FeatureQueue(self.queue_length, max(1, size), run.rng(f"queue {i}", shared=True)).to(run.device)
            for i, size in enumerate((len(names) * code_dim, self.residual_dim))
        ]
        groups: list[dict[str, Any]] = [
            {"params": list(generator.parameters()) if self.update_generator else [], "top": self.generator_rate},
            {"params": codes.embedded, "top": codes.rate},
            {"params": codes.classifying, "top": self.classifier_rate},
        ]
        return Networks(
            images=images,
            codes=codes,
            generator=generator,
            encoder=encoder,
            slow=momentum_copy(encoder),
            table=run_table(len(images), self.residual_dim if has_factors else width, run),
            queues=queues,
            code_optimizer=torch.optim.Adam(groups, betas=(0.5, 0.999), fused=True),
            encoder_optimizer=torch.optim.Adam(encoder.parameters(), lr=self.encoder_rate, fused=True),
            pick=run.numpy_rng("annotated"),
            noise=run.rng("noise"),
            views=run.rng("views"),
            groups=run.rng("groups"),
        )

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
        groups_rng: torch.Generator,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Eq. 6 on a batch: the loss, what to log, and the keys that go into the queues."""
        n = len(pictures)
        with run.autocast():
            both = encoder.split(torch.cat([pictures, views(pictures, rng)]))
            codes_NL = torch.cat([part[:n] for part in both], dim=1)
            made = generator(codes_NL)
            with torch.no_grad():
                seen = views(pictures, rng)
                codes = in_shuffled_groups(lambda x: torch.cat(slow.split(x), dim=1), seen, self.key_groups, groups_rng)
                _, *keys = codes.split(slow.sizes, dim=1)
        distance = self.distance(made.float(), pictures)
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

    def _optimise_codes(self, steps: Iterable[int], made: Networks, run: Run) -> None:
        """Stage 1: codes and generator, down Eq. 1 or ZeroDIM's loss."""
        order = EpochOrder(len(made.images), self.batch_size, run.numpy_rng("order"))
        for step in steps:
            for group in made.code_optimizer.param_groups:
                group["lr"] = cosine_rate(step, self.steps, group["top"], 0.1 * group["top"])
            taken, loss, scalars = made.codes.loss(step, order.batch(step), made, run)
            descend(made.code_optimizer, loss, run)
            made.table.update(taken, cosine_rate(step, self.steps, self.latent_rate, 0.1 * self.latent_rate))
            run.log(loss=loss, **scalars)

    def _teach_encoder(self, steps: Iterable[int], made: Networks, views: Views, run: Run) -> None:
        """Stage 2: the encoder alone, down Eq. 6, towards stage 1's codes and away from the queues."""
        order = EpochOrder(len(made.images), self.encoder_batch_size, run.numpy_rng("encoder order"))
        made.generator.requires_grad_(False)
        made.codes.rest(run)
        for step in steps:
            rate = cosine_rate(step, self.encoder_steps, self.encoder_rate, 1e-5)
            made.encoder_optimizer.param_groups[0]["lr"] = rate
            places = order.batch(step)
            pictures, target_NL = made.images.batch(places, run), made.codes.target(places, made.table, run)
            networks = (made.encoder, made.slow, made.generator, made.queues)
            loss, scalars, keys = self.encoder_loss(*networks, pictures, target_NL, views, made.views, made.groups, run)
            descend(made.encoder_optimizer, loss, run)
            follow(made.slow, made.encoder, self.momentum)
            for queue, key in zip(made.queues, keys, strict=True):
                queue.push(gathered_rows(key, run))
            run.log(loss=loss, **scalars)


@dataclass
class Networks:
    """What both stages train, and what they draw from."""

    images: TrainingImages
    codes: AnnotatedCodes | OwnCodes
    generator: Any
    encoder: SharedEncoder
    slow: SharedEncoder
    table: LatentTable
    queues: list[FeatureQueue]
    code_optimizer: torch.optim.Optimizer
    encoder_optimizer: torch.optim.Optimizer
    pick: np.random.Generator
    noise: torch.Generator
    views: torch.Generator
    groups: torch.Generator

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {
            "learned": nn.ModuleList([self.generator, *self.codes.modules]),
            "encoder": self.encoder,
            "slow": self.slow,
            "table": self.table,
            "noise": self.noise,
            "queues": nn.ModuleList(self.queues),
            "first": self.code_optimizer,
            "second": self.encoder_optimizer,
            "annotated": self.pick,
            "views": self.views,
            "groups": self.groups,
        }


class AnnotatedCodes:
    """Codes of images with annotated factors: gᶜ by ZeroDIM's classifiers and value embeddings, gʳ in the table.

    Attributes:
        modules: what learns them.
        embedded: value embeddings, which learn at ``rate``.
        classifying: the classifiers' weights.
    """

    def __init__(
        self, method: ContraLORD, images: TrainingImages, values: ValueEmbeddings, assigned: AssignedEncoder, run: Run
    ) -> None:
        self.method, self.images, self.assigned = method, images, assigned
        self.rate = start_values(assigned, method.value_codes, method.latent_rate)
        self.modules: list[nn.Module] = [values, assigned]
        self.embedded = [*values.parameters(), assigned.embeddings]
        self.classifying = list(assigned.classifiers.parameters())
        self._taught_ND: Tensor | None = None

    def loss(self, step: int, places: IntArray, made: Networks, run: Run) -> tuple[Taken, Tensor, dict[str, Tensor]]:
        """ZeroDIM's objective on a batch and annotated images: the rows it is of, the loss, what to log."""
        method = self.method
        annotated = self.images.pick_annotated(made.pick, method.batch_size)
        taken = made.table.take(np.concatenate([places, annotated]))
        sharpen = 1e-3 if step >= method.entropy_after * method.steps else 0.0
        of_annotated = (method.classification_weight, method.supervised_weight)
        weights = FewLabelWeights(method.distance, method.sigma, method.decay, sharpen, *of_annotated)
        rows = (self.images, places, annotated, taken.values_ND)
        return taken, *few_label_loss(self.assigned, made.generator, *rows, made.noise, weights, run)

    def rest(self, run: Run) -> None:
        """Learn no more: say once what L_sup regresses."""
        self._taught_ND = assigned_codes(self.assigned, self.images, run)

    def target(self, places: IntArray, table: LatentTable, run: Run) -> Tensor:
        """All codes of a batch ``(N, F·E + R)``, without gradient."""
        assert self._taught_ND is not None
        return torch.cat([self._taught_ND[places], table.read(places)], dim=1)


class OwnCodes:
    """d, gᶜ and gʳ of images without annotated factors; a class label fixes d. As :class:`AnnotatedCodes` otherwise."""

    def __init__(self, method: ContraLORD, images: TrainingImages, embeddings: ValueEmbeddings) -> None:
        self.method, self.images, self.embeddings = method, images, embeddings
        self.rate = method.latent_rate
        self.modules: list[nn.Module] = [embeddings]
        self.embedded = list(embeddings.parameters())
        self.classifying: list[nn.Parameter] = []

    def _split(self, rows_NL: Tensor, places: IntArray, run: Run) -> tuple[Tensor, Tensor]:
        own_ND, generative = rows_NL.tensor_split([self.method.discriminative_dim], dim=1)
        return self.images.codes(self.embeddings, places, own_ND, run), generative

    def loss(self, step: int, places: IntArray, made: Networks, run: Run) -> tuple[Taken, Tensor, dict[str, Tensor]]:
        """Eq. 1, noise on content and residual: the rows it is of, the loss, what to log."""
        method, taken = self.method, made.table.take(places)
        pictures = self.images.batch(places, run)
        code_ND, generative = self._split(taken.values_ND, places, run)
        drawn = torch.randn(generative.shape, generator=made.noise).to(run.device)
        with run.autocast():
            images = made.generator(torch.cat([code_ND, generative + method.sigma * drawn], dim=1))
        distance = method.distance(images.float(), pictures)
        decay = generative.square().sum(dim=1).mean()
        return taken, distance + method.decay * decay, {"distance": distance, "decay": decay}

    def rest(self, run: Run) -> None:
        """Learn no more."""

    def target(self, places: IntArray, table: LatentTable, run: Run) -> Tensor:
        """All codes of a batch ``(N, D + E + R)``, without gradient."""
        code_ND, generative = self._split(table.read(places), places, run)
        return torch.cat([code_ND.detach(), generative], dim=1)
