"""What the GAN methods share: settings, the two players and their turns, and what to watch.

Shape suffixes: N images, L latent dimensions, K classes, J code dimensions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Method
from contrafact.core.ranges import Keep, Positive, Rate, RateOrZero, Size, SizeOrZero, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.adversarial import Adversary, critic_loss, frozen, gradient_penalty
from contrafact.nn.critics import UNREAD, ClassEncoder, Critic, TrunkKind, scaled
from contrafact.training.image_pool import ImagePool

Network = Literal["dcgan", "sngan"]
DEFAULT_CLASSES = 10
WILD_SCORE, WILD_PENALTY = 1e3, 25.0
"""A critic whose scores or whose squared excess gradient norm are beyond these has diverged."""
PROBES, MERGED, STALE = 128, 0.5, 0.3
"""Images drawn per class by the probe; share of them below which a class is lost; share of the data's spread."""


@dataclass(frozen=True)
class GANMethod(Method):
    """Settings every GAN method has."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")

    network: Network = "dcgan"
    """Networks: dcgan (InfoGAN's, with WGAN-GP at 28 px), or sngan (residual, 32 and 64 px)."""
    adversary: Adversary = "wgan_gp"
    """Adversarial loss: wgan_gp (gradient penalty), or hinge (with spectral normalisation)."""
    noise_dim: Size = 30
    """Noise dimensions z."""
    num_classes: SizeOrZero = 0
    """Values of the class knob c; 0 takes the dataset's number of classes, or 10 where it has none."""
    sigma: Positive = 1.0
    """Standard deviation of the noise (ClusterGAN's prior is 0.1)."""
    width: Width = 1.0
    """Multiplies the channel counts of all networks."""
    steps: Steps = 100_000
    """Generator steps."""
    batch_size: Size = 64
    """Images per generator step."""
    critic_batch: SizeOrZero = 0
    """Images per critic step; 0 takes batch_size."""
    critic_steps: Size = 1
    """Critic steps per generator step."""
    penalty: Weight = 10.0
    """Weight of the gradient penalty (wgan_gp)."""
    learning_rate: Rate = 1e-4
    """Adam's learning rate, of all networks."""
    critic_rate: RateOrZero = 0.0
    """Adam's learning rate of the critic, and of a Q that stands on it; 0 takes learning_rate."""
    adam_beta1: Keep = 0.5
    """Adam's β₁."""
    adam_beta2: Keep = 0.9
    """Adam's β₂."""

    @property
    def trunk(self) -> TrunkKind:
        """The critic's trunk."""
        return "residual" if self.network == "sngan" else "conv"

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images of a side the networks cannot make, and classes that do not fit the settings."""
        self._arguments(source)
        if "encoder" in self.yields:  # else nothing reads a class knob, and none is made
            self.class_count(source)

    def class_count(self, source: ImageDataset) -> int:
        """K, checked against the labels and the batch.

        Raises:
            ValueError: labels of another number of classes, one class, or a batch smaller than their number.
        """
        known = len(source.class_names) or DEFAULT_CLASSES
        if source.few_labels is not None and len(source.few_labels):
            known = source.few_labels.sizes[0] if len(source.few_labels.names) == 1 else known
            if self.num_classes not in (0, known):
                raise ValueError(
                    f"the labels have {known} classes, but num_classes is {self.num_classes}; leave it at 0"
                )
        count = self.num_classes or known
        if count < 2:
            raise ValueError(f"a class knob needs at least 2 classes to tell apart, got {count}; set num_classes")
        if self.batch_size < count:
            raise ValueError(
                f"batch_size must be at least the number of classes ({count}), so that a batch can hold each; "
                f"got {self.batch_size}"
            )
        return count

    def make_generator(self, source: ImageDataset, num_codes: int, class_count: int) -> Generator:
        """A generator with noise, codes and a class knob in its latent.

        Raises:
            ValueError: images of a side the network cannot make.
        """
        generator: Generator = architecture("class_knob")(
            self.network, self._arguments(source), self.noise_dim, num_codes, class_count, self.sigma
        )
        return generator

    def _arguments(self, source: ImageDataset) -> dict[str, Any]:
        """Arguments of the generator's network."""
        channels, height, width = source.image_shape
        if self.network != "sngan":
            return {"image_shape": list(source.image_shape), "width": self.width}
        levels = int(math.log2(height)) - 1
        if height != width or height != 2 << levels or levels < 2:
            raise ValueError(
                f"the sngan network makes square images of 8, 16, 32 or 64 pixels, got {height}×{width}; choose "
                "--size, or --network dcgan"
            )
        return {"channels": [scaled(256, self.width)] * levels, "image_channels": channels}

    def adam(self, parameters: Any, rate: float = 0.0) -> torch.optim.Adam:
        """Adam with the method's β, at ``learning_rate`` unless another ``rate`` is given."""
        # Fused: the wide layers make an update in several passes over memory as dear as the gradient.
        return torch.optim.Adam(parameters, rate or self.learning_rate, (self.adam_beta1, self.adam_beta2), fused=True)


@dataclass(frozen=True)
class ReadCodes(GANMethod):
    """A GAN whose codes are read off its images by Q, a head on the critic (InfoGAN's on MNIST)."""

    without: ClassVar[Mapping[str, str]] = {
        "encoder": "its encoder is Q, a head on the critic's own features, so no other network can be it; "
        "cluster_gan and cd_gan train one of your own"
    }

    noise_dim: Size = 62
    """Noise dimensions z."""
    num_codes: Size = 2
    """Uniform codes in [-1, 1]."""
    class_weight: Weight = 1.0
    """λ of the class."""
    code_weight: Weight = 0.1
    """λ of the uniform codes."""
    q_hidden: SizeOrZero = 128
    """Width of Q's own layer between the critic's features and what it reads; 0 reads them linearly."""

    def make_q(self, game: Game, source: ImageDataset, num_classes: int) -> ClassEncoder:
        """Q, on the critic's trunk."""
        shape, trunk = source.image_shape, game.critic.trunk
        codes, hidden = self.num_codes, self.q_hidden
        return ClassEncoder(shape, num_classes, codes, self.trunk, self.width, "softmax", trunk, hidden)


class Game:
    """A generator and a critic, their optimisers, and the turns every GAN has.

    Args:
        method: settings.
        source: images.
        run: device, seeds, precision.
        num_codes: uniform codes of the latent.
        class_count: K, 0 for no class knob.
    """

    def __init__(
        self, method: GANMethod, source: ImageDataset, run: Run, num_codes: int = 0, class_count: int = 0
    ) -> None:
        self.method, self.run = method, run
        with run.seeded_init("generator"):
            self.generator = method.make_generator(source, num_codes, class_count).to(run.device)
        with run.seeded_init("critic"):
            critic = Critic(source.image_shape, method.trunk, method.width, method.adversary == "hinge")
            self.critic = critic.to(run.device)
        self.generator_optimizer = method.adam(self.generator.parameters())
        self.critic_optimizer = method.adam(self.critic.parameters(), method.critic_rate)
        self.pool = ImagePool(source, run.device)
        self.images_rng, self.noise_rng = run.numpy_rng("images"), run.rng("noise")
        self._warned = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "generator_optimizer": self.generator_optimizer,
            "critic_optimizer": self.critic_optimizer,
            "images": self.images_rng,
            "noise": self.noise_rng,
        }

    def critic_turn(self) -> None:
        """``critic_steps`` updates of the critic on fresh images."""
        method, run, n = self.method, self.run, self.method.critic_batch or self.method.batch_size
        for _ in range(method.critic_steps):
            real = self.pool.random_batch(n, self.images_rng)
            with torch.no_grad(), run.autocast():
                fake = self.generator(self.generator.sample(n, self.noise_rng)).float()
            with run.autocast():
                real_N, fake_N = self.critic(torch.cat([real, fake])).float().chunk(2)
            loss = critic_loss(real_N, fake_N, method.adversary)
            run.log(critic=loss, score_real=real_N.mean(), score_fake=fake_N.mean())
            if method.adversary == "wgan_gp":
                mix_N = torch.rand(n, generator=self.noise_rng).to(run.device)
                with run.autocast():
                    excess = gradient_penalty(self.critic, real, fake, mix_N)
                run.log(gradient_excess=excess)
                loss = loss + method.penalty * excess
            self.update(self.critic_optimizer, loss)

    def fool(self, images: Tensor) -> Tensor:
        """What the generator minimises: minus the frozen critic's mean score of its images."""
        with frozen(self.critic), self.run.autocast():
            score: Tensor = self.critic(images).float().mean()
            return -score

    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """One descent step."""
        optimizer.zero_grad(set_to_none=True)
        self.run.backward(loss, (p for group in optimizer.param_groups for p in group["params"]))
        optimizer.step()

    def watch(self) -> None:
        """Warn once when the last line of the log shows a critic that has run away."""
        line = self.run.last_line
        wild = max(abs(line.get("score_real", 0.0)), abs(line.get("score_fake", 0.0)))
        if self._warned or (wild < WILD_SCORE and line.get("gradient_excess", 0.0) < WILD_PENALTY):
            return
        self._warned = True
        warnings.warn(
            f"the critic is diverging (scores up to {wild:.3g}, squared excess of its gradient "
            f"{line.get('gradient_excess', 0.0):.3g}): try a lower learning_rate, a higher penalty, more critic_steps, "
            "or --precision float32",
            stacklevel=2,
        )


def play(game: Game, steps: int) -> None:
    """A plain GAN's loop: critic and generator take turns."""
    for _ in game.run.steps(steps, game.state()):
        game.critic_turn()
        with game.run.autocast():
            images = game.generator(game.generator.sample(game.method.batch_size, game.noise_rng))
        loss = game.fool(images)
        game.update(game.generator_optimizer, loss)
        game.run.log(generator=loss)
        game.watch()


@torch.no_grad()
def probe_classes(
    generator: Generator, encoder: Encoder, pool: ImagePool, run: Run, centres_KJ: Tensor | None = None
) -> dict[str, Any]:
    """Does every value of the class knob make images of its own, and varied ones that tell of z? Warns where not.

    A class counts as covered when most of its images are nearest to its own centre in the encoder's class codes:
    ``centres_KJ`` (of labelled images) where given, else the mean code of other images of the same class. That says
    nothing of z: a generator that makes one image of each class covers all of them.

    Returns:
        ``class_coverage``: share of classes covered; ``class_spread``: standard deviation of a pixel within a class
        over that within the data; and of an encoder that also reads z, ``content_read``: the share of z's variance
        that it tells from the images, 0 where it does no better than the mean.
    """
    first, last = generator.class_range
    count, rng = last - first, run.rng("probe", shared=True)
    classes = torch.arange(count).repeat_interleave(PROBES)
    training = generator.training
    generator.eval()
    latents = generator.latents_of_class(classes, rng)
    images = torch.cat([generator(part).float() for part in latents.split(512)])
    generator.train(training)
    codes = torch.cat([encoder(part.clamp(0, 1)) for part in images.split(512)])
    codes_KNJ, half = codes[:, : encoder.class_dim].unflatten(0, (count, PROBES)), PROBES // 2
    centres = codes_KNJ[:, :half].mean(dim=1) if centres_KJ is None else centres_KJ
    nearest_KN = torch.cdist(codes_KNJ[:, half:], centres.expand(count, -1, -1)).argmin(dim=2)
    own_K = (nearest_KN == torch.arange(count, device=codes.device)[:, None]).float().mean(dim=1)
    data = pool.random_batch(512, run.numpy_rng("probe", shared=True))
    within = images.unflatten(0, (count, PROBES)).var(dim=1).mean(dim=(1, 2, 3)).sqrt()
    spread_K = within / data.var(dim=0).mean().sqrt().clamp_min(1e-6)
    lost, stale = (own_K < MERGED).nonzero().flatten().tolist(), (spread_K < STALE).nonzero().flatten().tolist()
    if lost:
        warnings.warn(
            f"mode collapse: values {', '.join(map(str, lost))} of the class knob make images like other values' ones "
            f"({count - len(lost)} of {count} covered); try more steps, a larger weight of the class loss, "
            "or more labels",
            stacklevel=2,
        )
    if stale:
        warnings.warn(
            f"mode collapse: values {', '.join(map(str, stale))} of the class knob make nearly one image each; try a "
            "smaller weight of the class loss, a larger one of the content's, or more steps",
            stacklevel=2,
        )
    note = {
        "class_coverage": round(1 - len(lost) / count, 3),
        "class_spread": round(float(spread_K.mean()), 3),
    }
    if isinstance(encoder, ClassEncoder) and encoder.content_dim == generator.noise_dim:
        note["content_read"] = round(_read(codes[:, encoder.class_dim :], latents[:, : generator.noise_dim]), 3)
        if note["content_read"] < UNREAD:
            alike = (
                f", and images of {len(stale)} of {count} positions are nearly the same for every z" if stale else ""
            )
            warnings.warn(
                f"z is not read: the encoder tells {note['content_read']:.3f} of its variance from the images{alike}; "
                "the class knob says all that there is to say; try a larger weight of the content's loss against the "
                "class's, fewer noise dimensions, or more steps",
                stacklevel=2,
            )
    return note


def _read(read_NZ: Tensor, true_NZ: Tensor) -> float:
    """Share of the variance that a reading explains, summed over dimensions; 0 where it is worse than the mean."""
    missed, whole = (read_NZ - true_NZ).square().sum(), (true_NZ - true_NZ.mean(dim=0)).square().sum()
    return max(0.0, 1.0 - float(missed / whole.clamp_min(1e-12)))
