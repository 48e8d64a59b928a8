"""CD-GAN: a GAN whose class knob is tied to images by contrast, with a few labels as anchors (Pan et al. 2021).

Contrastive Disentanglement in Generative Adversarial Networks, L. Pan, P. Tang, Z. Chen, Z. Xu, 2021,
https://arxiv.org/abs/2103.03636. Defaults are its Fashion-MNIST settings with few labels; presets hold
the other datasets'.

Where the paper is silent: Adam 1e-4 (0.5, 0.9) for all three networks, c balanced in the encoder's batch, one critic
step. Options beyond it, all off by default: augmentation of the anchors, the sum outside the logarithm (SupCon's better
reading), unlabelled real images that join the contrast under the class of the nearest anchor centre, a moving average
of the encoder, a learning rate of the encoder's own, class codes centred over the batch; and crops of generated
images, the authors' later program's (github.com/learninginvision/CoDeGAN). What each is worth is in
docs/methods/cd_gan.md.

Shape suffixes: N images, J code dimensions, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.label_kinds import LabelKind
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Keep, Positive, RateOrZero, Share, Size, SizeOrZero, Weight
from contrafact.core.run import Run
from contrafact.losses.adversarial import frozen
from contrafact.losses.contrastive import Reading, supervised_contrastive_loss
from contrafact.methods._gan import Game, GANMethod, probe_classes
from contrafact.nn.critics import ClassEncoder, ClassEncoderChoice
from contrafact.training.anchors import Anchors, MovingAverage
from contrafact.training.augment import Augmentation, AugmentationName
from contrafact.training.image_pool import ImagePool
from contrafact.training.views import Views, ViewSettings

CENTRES_EVERY = 20
"""Steps between two looks at all labelled images."""
_SNGAN = {"network": "sngan", "adversary": "hinge"}
_CIFAR10 = {
    **_SNGAN, "encoder": "resnet18", "noise_dim": 118, "class_dim": 128, "batch_size": 128, "critic_batch": 64,
    "encoder_batch": 256, "contrast_weight": 1.0, "temperature": 0.05,
}  # fmt: skip
_CROPS = ViewSettings(crop_scale=(0.8, 1.0))
_BEYOND = {
    "reading": "outside", "temperature": 0.1, "augmentation": "weak", "anchors_per_class": 10, "unlabelled": 128,
    "average": 0.99, "encoder_rate": 1e-3, "contrast_weight": 0.5, "content_weight": 0.5, "learning_rate": 1e-3,
}  # fmt: skip
_QUICK = {**_BEYOND, "width": 0.5, "encoder_batch": 50, "steps": 2000}


@dataclass(frozen=True)
class CDGAN(GANMethod):
    """Contrastive disentanglement of class (c) and content (z).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    >>> run = cf.methods.CDGAN.preset("quick", width=0.1, steps=1, batch_size=8).fit(images, "runs/cd-gan")
    >>> first, last = run.generator.class_range  # the class knob among the latent's dimensions: four shapes
    >>> last - first, run.encoder.class_dim < run.encoder.code_dim
    (4, True)
    """

    labels: ClassVar[Literal["none", "optional", "few"]] = "few"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ()
    older: ClassVar[Mapping[str, Any]] = {"centred": False, "weight_decay": 0.0}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "unsupervised": {"contrast_weight": 100.0},
        "mnist": {"noise_dim": 30, "class_dim": 40, "encoder_batch": 512},
        "cifar10": {
            **_CIFAR10, "content_weight": 5e-5,
        },
        "cifar10_unsupervised": {**_CIFAR10, "content_weight": 0.01},
        "later_program": {
            "class_dim": 120, "encoder_batch": 300, "contrast_weight": 100.0, "reading": "outside", "crops": True,
            "steps": 562_500, "weight_decay": 2.5e-5,
        },
        "dsprites": {
            **_SNGAN, "noise_dim": 52, "class_dim": 40, "batch_size": 300, "encoder_batch": 1200,
            "contrast_weight": 1.0, "content_weight": 1e-4,
        },
        "faces": {
            "noise_dim": 118, "class_dim": 128, "batch_size": 180, "encoder_batch": 3600, "contrast_weight": 10.0,
            "content_weight": 10.0,
        },
        "quick": _QUICK,
        "quick_unsupervised": {**_QUICK, "contrast_weight": 3.0, "content_weight": 0.1},
        "quick_centred": {**_QUICK, "contrast_weight": 0.3, "content_weight": 0.5, "centred": True},
        "standard": {**_BEYOND, "width": 0.5, "encoder_batch": 100, "steps": 6000},
        "tiny": {"encoder": "conv", "encoder_batch": 10, "class_dim": 4, "noise_dim": 3, "unlabelled": 16},
    }  # fmt: skip

    noise_dim: Size = 40
    """Dimensions of the content z, and of the content code e."""
    class_dim: Size = 50
    """Dimensions of the class code f, of unit length."""
    encoder: ClassEncoderChoice = "conv"
    """Encoder: conv (the critic's trunk), residual, resnet18 (CIFAR-10), or one of your own."""
    centred: bool = False
    """Give every dimension of f mean 0 and variance 1 over the batch before it is given unit length. Without labels the
    contrast else starts where all features are alike, and leaves that plateau late and all at once, or never."""
    contrast_weight: Weight = 50.0
    """β₁, weight of the contrastive loss; 0 is the ablation: no class loss at all."""
    content_weight: Weight = 5e-4
    """β₂, weight of the reconstruction of z."""
    temperature: Positive = 0.07
    """τ."""
    reading: Reading = "inside"
    """Where the sum over positives stands: inside the logarithm (Eq. 7), or outside (SupCon)."""
    crops: bool = False
    """Let a crop of every generated image, of four fifths or more of its area and without gradient, join the contrast
    too, as in the authors' later program."""
    encoder_batch: Size = 1200
    """Generated images per encoder step."""
    anchors_per_class: Size = 5
    """Labelled images of every class per step."""
    generated_contrast: bool = True
    """Whether generated images take part when the encoder learns the contrast; without, real ones alone do."""
    augmentation: AugmentationName = "none"
    """Change the anchors, in two views each: none, weak, strong, each also _no_flip."""
    unlabelled: SizeOrZero = 0
    """Unlabelled real images per encoder step that join under the class of the nearest anchor centre."""
    unlabelled_augmentation: AugmentationName = "weak"
    """How the unlabelled images are changed before the encoder learns from them; the teacher sees them changed as
    the anchors are."""
    confidence: Share = 0.8
    """Probability of that class below which an unlabelled image is left out."""
    start_unlabelled: Share = 0.1
    """Share of the steps after which unlabelled images join."""
    encoder_rate: RateOrZero = 0.0
    """Adam's learning rate of the encoder, falling along a cosine; 0 takes learning_rate and keeps it."""
    weight_decay: Weight = 0.0
    """L2 penalty that Adam adds to the gradients of generator and encoder, not of the critic."""
    average: Keep = 0.0
    """Moving average of the encoder that is kept and that names unlabelled images; 0 for none."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Critic, generator and encoder take turns (Algorithm 1)."""
        count = self.class_count(source)
        game = Game(self, source, run, class_count=count)
        labelled = source.few_labels is not None and len(source.few_labels) > 0
        anchors = Anchors(source, run.device) if labelled else None
        with run.seeded_init("encoder"):
            encoder = ClassEncoder(
                source.image_shape, self.class_dim, self.noise_dim, self.encoder, self.width, centred=self.centred
            )
        encoder.to(run.device)
        average = MovingAverage(encoder, self.average)
        optimizer = self.adam(encoder.parameters(), self.encoder_rate or self.learning_rate)
        for group in (*game.generator_optimizer.param_groups, *optimizer.param_groups):
            group["weight_decay"] = self.weight_decay
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._decay)
        real = RealImages(self, anchors, game.pool, average.module, run)
        state = game.state() | {"encoder": encoder, "average": average, "encoder_optimizer": optimizer}
        crops = run.rng("crops")
        state |= {
            "crops": crops,
            "schedule": schedule,
            "real": real.rng,
            "unlabelled": real.numpy_rng,
            "centres": real.centres,
        }

        for step in run.steps(self.steps, state):
            game.critic_turn()
            loss, scalars = self.generator_loss(game, encoder, real, crops)
            game.update(game.generator_optimizer, loss)
            run.log(**scalars)
            loss, scalars = self.encoder_loss(game, encoder, real, crops, step)
            game.update(optimizer, loss)
            schedule.step()
            average.follow()
            run.log(**scalars)
            game.watch()

        kept = average.module.eval()
        centres_KJ = anchors.centres(kept) if anchors is not None else None
        game.generator.note = probe_classes(game.generator, kept, game.pool, run, centres_KJ)
        return Artefacts(encoder=kept, generator=game.generator)

    def generator_loss(
        self, game: Game, encoder: ClassEncoder, real: RealImages, crops: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator minimises on fresh latents, critic and encoder being fixed, and what to log."""
        latent = game.generator.sample(self.batch_size, game.noise_rng)
        with game.run.autocast():
            images = game.generator(latent)
        fooling = game.fool(images)
        with frozen(encoder), game.run.autocast():
            f_NJ, e_N = encoder.heads(images)
            own = game.generator.classes_of(latent)
            # E is fixed, so what it sees in the anchors is too.
            with torch.no_grad():
                shown, labels_N = self.with_crops(images, own, *real.anchors(views=1), crops)
                f_real_NJ = encoder.heads(shown)[0]
        contrast = self.contrast([f_NJ, f_real_NJ], [own, labels_N])
        content = F.mse_loss(e_N, latent[:, : self.noise_dim])
        loss = fooling + self.contrast_weight * contrast + self.content_weight * content
        return loss, {"generator": fooling, "contrast": contrast, "content": content}

    def encoder_loss(
        self, game: Game, encoder: ClassEncoder, real: RealImages, crops: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the encoder minimises on fresh images of every class, the generator being fixed, and what to log."""
        first, last = game.generator.class_range
        classes_N = torch.arange(self.encoder_batch) % (last - first)
        with torch.no_grad(), game.run.autocast():
            latent = game.generator.latents_of_class(classes_N, game.noise_rng)
            images = game.generator(latent).float()
        classes_N = classes_N.to(images.device)
        shown, labels_N = self.with_crops(images, classes_N, *real.all(step), crops)
        with game.run.autocast():
            f_NJ, e_N = encoder.heads(torch.cat([images, shown]))
        start = 0 if self.generated_contrast else len(images)
        contrast = self.contrast([f_NJ[start:]], [torch.cat([classes_N, labels_N])[start:]])
        content = F.mse_loss(e_N[: len(images)], latent[:, : self.noise_dim])
        loss = self.contrast_weight * contrast + self.content_weight * content
        return loss, {"encoder_contrast": contrast, "encoder_content": content}

    def contrast(self, features: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        """L_c over all images at hand, generated and real: same class attracts, others repel (Eqs 3 and 7)."""
        if not self.contrast_weight:
            return features[0].new_zeros(())
        return supervised_contrastive_loss(torch.cat([*features]), torch.cat([*labels]), self.temperature, self.reading)

    def with_crops(
        self, images: Tensor, own_N: Tensor, shown: Tensor, labels_N: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """What joins the generated images in the contrast: crops of them, where asked for, then the real ones."""
        if not (self.crops and self.generated_contrast):
            return shown, labels_N
        cropped = Views(("crop",), _CROPS)(images.detach().float(), rng)
        return torch.cat([cropped, shown]), torch.cat([own_N, labels_N])

    def class_count(self, source: ImageDataset) -> int:
        """K, checked against the encoder's batch and what it contrasts too."""
        count = super().class_count(source)
        if self.encoder_batch < count:
            raise ValueError(
                f"encoder_batch must be at least the number of classes ({count}), so that each has an image; "
                f"got {self.encoder_batch}"
            )
        if not self.generated_contrast and (source.few_labels is None or not len(source.few_labels)):
            raise ValueError(
                "without labels only generated images can be contrasted; give labels (--labels 0.024), or leave "
                "generated_contrast on"
            )
        return count

    def _decay(self, step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.steps)))) if self.encoder_rate else 1.0


class RealImages:
    """Real images that join the contrast: anchors, and unlabelled ones named after the nearest anchor centre."""

    def __init__(
        self, method: CDGAN, anchors: Anchors | None, pool: ImagePool, teacher: ClassEncoder, run: Run
    ) -> None:
        self.method, self.labelled, self.pool, self.teacher, self.run = method, anchors, pool, teacher, run
        self.rng, self.numpy_rng = run.rng("anchors"), run.numpy_rng("unlabelled")
        self.augment = Augmentation.named(method.augmentation)
        self.augment_more = Augmentation.named(method.unlabelled_augmentation)
        self.first = round(method.start_unlabelled * method.steps)
        count = 0 if anchors is None else anchors.count
        # As parameters, so that a checkpoint holds them.
        self.centres = nn.ParameterList([nn.Parameter(torch.zeros(count, method.class_dim), requires_grad=False)])
        self.centres.to(run.device)
        nothing = pool.batch(np.zeros(0, dtype=np.int64))
        self.nothing = (nothing, torch.zeros(0, dtype=torch.long, device=run.device))

    def anchors(self, views: int = 2) -> tuple[Tensor, Tensor]:
        """``anchors_per_class`` labelled images of every class and their labels; ``views`` of each if augmented."""
        if self.labelled is None:
            return self.nothing
        images, labels_N = self.labelled.draw(self.method.anchors_per_class, self.rng)
        if self.method.augmentation == "none":
            return images, labels_N
        return torch.cat([self.augment(images, self.rng) for _ in range(views)]), labels_N.repeat(views)

    @torch.no_grad()
    def all(self, step: int) -> tuple[Tensor, Tensor]:
        """Anchors, and those unlabelled images that the teacher is sure of."""
        method, (images, labels_N) = self.method, self.anchors()
        if self.labelled is None or not method.unlabelled or step < self.first:
            return images, labels_N
        if step % CENTRES_EVERY == 0 or step == self.first:
            self.centres[0].copy_(self.labelled.centres(self.teacher))
        others = self.pool.random_batch(method.unlabelled, self.numpy_rng)
        training = self.teacher.training
        self.teacher.eval()
        with self.run.autocast():
            f_NJ, _ = self.teacher.heads(self.augment(others, self.rng))
        self.teacher.train(training)
        sure_N, named_N = (f_NJ @ self.centres[0].T / method.temperature).softmax(dim=1).max(dim=1)
        kept_N = sure_N >= method.confidence
        self.run.log(unlabelled_used=kept_N.float().mean())
        return torch.cat([images, self.augment_more(others[kept_N], self.rng)]), torch.cat([labels_N, named_N[kept_N]])
