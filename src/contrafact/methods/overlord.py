"""OverLORD: labelled, correlated and uncorrelated attributes, with sharp images (Gabbay & Hoshen 2021).

Scaling-up Disentanglement for Image Translation, ICCV 2021, https://arxiv.org/abs/2103.14017. Stage 1: one embedding
per label, a code of the correlated attributes read from a view that destroys the uncorrelated ones, one noised and
decayed latent per image for the latter, and the generator. Stage 2 regresses all of them from the image, stage 3 trains
encoders and generator with a discriminator (logistic loss, R1).

Deviations: an image without a label has a label code of its own (few labels); views are crops and flips (the release's
masks need files that few sets have); moments of a latent stand still while its image is not in the batch.

Shape suffixes: N images, F factors, E code dimensions, A correlated dimensions, R uncorrelated dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.encoder import Encoder
from contrafact.core.few_labels import labels_or_none_of
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Range, Rate, Size, SizeOrZero, Steps, Weight
from contrafact.core.run import Run
from contrafact.losses.adversarial import (
    frozen,
    logistic_discriminator_loss,
    logistic_generator_loss,
    r1_penalty,
)
from contrafact.losses.reconstruction import Reconstruction
from contrafact.methods._latent_optimisation import LatentOptimisation
from contrafact.nn.encoders import ConvEncoder, LocatelloEncoder
from contrafact.nn.factor_codes import ParallelEncoders, RegressedEncoder, parts_of
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
from contrafact.training.views import Views, ViewSettings


@dataclass(frozen=True)
class OverLORD(LatentOptimisation):
    """Attributes that go with a label, attributes that do not, and a generator trained against a discriminator.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> small = {"width": 0.1, "steps": 1, "encoder_steps": 1, "synthesis_steps": 1, "batch_size": 8}
    >>> run = cf.methods.OverLORD.preset("quick", **small).fit(images, "runs/overlord")
    >>> run.encoder.code_dim, run.generator.latent_dim  # label and what goes with it; and the rest
    (24, 40)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "afhq": {
            "factor_dim": 512, "batch_size": 8, "num_images": 14_630,
            "steps": 365_750, "encoder_steps": 182_875, "synthesis_steps": 182_875,
        },
        "celeba": {
            "correlated": "none", "factor_dim": 512, "decay_weight": 1e-4, "num_images": 202_599,
            "steps": 316_561, "encoder_steps": 316_561, "synthesis_steps": 316_561,
        },
        "celebahq": {
            "correlated": "none", "residual_dim": 256, "decay_weight": 1e-5, "num_images": 30_000,
            "steps": 93_750, "encoder_steps": 93_750, "synthesis_steps": 93_750,
        },
        "ffhq": {
            "correlated": "none", "residual_dim": 256, "sigma": 0.01, "decay_weight": 1e-4, "num_images": 70_000,
            "steps": 218_750, "encoder_steps": 109_375, "synthesis_steps": 218_750,
        },
        "quick": {
            "factor_dim": 16,
            "correlated_dim": 8,
            "residual_dim": 16,
            "decoder": "conv",
            "reconstruction": "squared",
            "encoder_rate": 1e-3,
            "decay_weight": 1e-5,
            "steps": 3000,
            "encoder_steps": 1000,
            "synthesis_steps": 1000,
            "batch_size": 64,
        },
    }  # fmt: skip

    factor_dim: Size = 256
    """Dimensions E of each label's code."""
    correlated: Literal["none", "views"] = "views"
    """none: everything unlabelled is uncorrelated; views: what crops and flips keep goes with the label."""
    correlated_dim: Size = 64
    """Dimensions A of the correlated code."""
    smallest_crop: Annotated[float, Range(above=0, at_most=1)] = 0.6
    """Smallest share of the image a view keeps."""
    residual_dim: SizeOrZero = 64
    """Dimensions R of the uncorrelated latent."""
    sigma: Weight = 0.1
    """Standard deviation of the noise on it."""
    reconstruction: Reconstruction = "multiscale"
    """squared, bernoulli, or multiscale (photographs without a perceptual network)."""
    decoder: Literal["conv", "style"] = "style"
    """A StyleGAN2 synthesis network, or the factor benchmarks' decoder."""
    encoder: Backbone = None
    """A network of your own that reads the images from stage 2 on: a copy for the codes, one for the latent. Empty: a
    small one for each."""
    batch_size: Size = 32
    """Images per step."""
    steps: Steps = 62_500
    """Steps of stage 1 (100 epochs of 20,000 images)."""
    encoder_steps: Steps = 31_000
    """Steps of stage 2."""
    synthesis_steps: Steps = 62_500
    """Steps of stage 3."""
    latent_rate: Rate = 1e-2
    """Learning rate of label codes and latents."""
    generator_rate: Rate = 1e-3
    """Learning rate of the generator in stage 1; a tenth of it in stage 3, for the discriminator too."""
    encoder_rate: Rate = 1e-4
    """Learning rate of the encoders."""
    decay_weight: Weight = 0.1
    """Weight of the uncorrelated latents' mean square; the released configurations without views have 1e-5 or 1e-4."""
    latent_weight: Weight = 10.0
    """Weight of each regression in stage 3."""
    adversarial_weight: Weight = 1.0
    """Weight of the adversarial loss in stage 3; 0 leaves the discriminator out."""

    def grows(self) -> str:
        return "synthesis_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Three stages in one loop, so that a run resumes anywhere."""
        images = TrainingImages(source, labels_or_none_of(source), self.num_images, run)
        labels, extra = images.labels, self.correlated_dim if self.correlated == "views" else 0
        views = Views(("crop", "flip"), ViewSettings(crop_scale=(self.smallest_crop, 1.0), crop_ratio=(1.0, 1.0)))
        with run.seeded_init("networks"):
            shape, sizes = source.image_shape, (self.factor_dim, self.residual_dim, self.width, extra)
            encoder = RegressedEncoder(shape, labels.names, *sizes, self.encoder).to(run.device)
            correlated = ParallelEncoders(shape, 1, max(1, extra), self.width).to(run.device)
            embeddings = ValueEmbeddings(labels.sizes, self.factor_dim).to(run.device)
            parts = parts_of(labels.names, self.factor_dim, self.residual_dim, extra)
            width = encoder.code_dim + self.residual_dim
            generator: Any = architecture("lord")(width, shape, self.decoder, self.width, parts).to(run.device)
            # Beside the light decoder the light network: the other's double backward takes a second a step on a CPU.
            judge = LocatelloEncoder if self.decoder == "conv" else ConvEncoder
            critic = judge(shape, 1, self.width).to(run.device)
        table = run_table(len(images), width - extra, run)
        order, noise = EpochOrder(len(images), self.batch_size, run.numpy_rng("order")), run.rng("noise")
        view_rng, betas = run.rng("views"), (0.5, 0.999)
        slow = 0.1 * self.generator_rate
        groups: list[dict[str, Any]] = [{"params": list(m.parameters())} for m in (embeddings, generator, correlated)]
        first = torch.optim.Adam(groups, lr=self.encoder_rate, betas=betas, fused=True)
        second = torch.optim.Adam(encoder.parameters(), lr=self.encoder_rate, fused=True)
        third = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], lr=slow, betas=betas, fused=True)
        fourth = torch.optim.Adam(critic.parameters(), lr=slow, betas=betas, fused=True)
        modules = nn.ModuleList([encoder, correlated, embeddings, generator, critic])
        state: dict[str, Any] = {"modules": modules, "table": table, "noise": noise, "views": view_rng}
        state |= {"first": first, "second": second, "third": third, "critic": fourth}

        for step in run.steps(self.steps + self.encoder_steps + self.synthesis_steps, state):
            places = order.batch(step)
            pictures = images.batch(places, run)
            taken = table.take(places)
            own_ND, residual_NR = taken.values_ND.tensor_split([width - extra - self.residual_dim], dim=1)
            code_ND = images.codes(embeddings, places, own_ND, run)
            with run.autocast(), torch.set_grad_enabled(step < self.steps):
                seen_NA = correlated(views(pictures, view_rng))[:, 0, :extra]
            target = torch.cat([code_ND, seen_NA.float(), residual_NR], dim=1)
            if step < self.steps:
                rate = cosine_rate(step, self.steps, self.latent_rate, 1e-5)
                first.param_groups[0]["lr"] = rate
                first.param_groups[1]["lr"] = cosine_rate(step, self.steps, self.generator_rate, 1e-5)
                loss, scalars = self.latent_loss(generator, target, residual_NR, pictures, noise, run)
                descend(first, loss, run)
                table.update(taken, rate)
            elif step < self.steps + self.encoder_steps:
                with run.autocast():
                    codes = torch.cat([encoder.encode(pictures), encoder.residual(pictures)], dim=1)
                loss = mean_square(codes.float() - target.detach())
                scalars = {"latent_error": loss}
                descend(second, loss, run)
            else:
                loss, scalars = self.synthesis_loss(encoder, generator, critic, fourth, pictures, target.detach(), run)
                descend(third, loss, run)
            run.log(loss=loss, **scalars)

        generator.note = fit_prior(generator, encoder, images, run)
        return Artefacts(encoder=encoder, generator=generator)

    def latent_loss(
        self,
        generator: Generator,
        target_NL: Tensor,
        residual_NR: Tensor,
        pictures: Tensor,
        noise: torch.Generator,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Stage 1: images made of codes and of latents that are noised, and the latents' decay."""
        drawn = torch.zeros_like(target_NL)
        drawn[:, target_NL.shape[1] - residual_NR.shape[1] :] = torch.randn(residual_NR.shape, generator=noise).to(
            run.device
        )
        with run.autocast():
            made = generator(target_NL + self.sigma * drawn)
        distance, decay = self.distance(made.float(), pictures), mean_square(residual_NR)
        return distance + self.decay_weight * decay, {"distance": distance, "decay": decay}

    def synthesis_loss(
        self,
        encoder: RegressedEncoder,
        generator: Generator,
        critic: Encoder,
        optimizer: torch.optim.Optimizer,
        pictures: Tensor,
        target_NL: Tensor,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step of the discriminator, then the loss of encoders and generator (stage 3)."""
        with run.autocast():
            codes = torch.cat([encoder.encode(pictures), encoder.residual(pictures)], dim=1)
            made = generator(codes).float()
        distance, error = self.distance(made, pictures), mean_square(codes.float() - target_NL)
        loss, scalars = distance + self.latent_weight * error, {"sharp_distance": distance, "sharp_error": error}
        if self.adversarial_weight:
            real = pictures.detach().clone().requires_grad_()
            real_scores = critic.encode(real).float()
            contest = logistic_discriminator_loss(real_scores, critic.encode(made.detach()).float())
            descend(optimizer, contest + 0.5 * r1_penalty(real_scores, real), run)
            with frozen(critic):
                adversarial = logistic_generator_loss(critic.encode(made).float())
            loss = loss + self.adversarial_weight * adversarial
            scalars |= {"discriminator": contest, "adversarial": adversarial}
        return loss, scalars
