"""StyleGAN2: a generator of your own images, ready for direction finders (Karras et al. 2020).

Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, https://arxiv.org/abs/1912.04958; adaptive
augmentation and class conditioning from Training Generative Adversarial Networks with Limited Data (StyleGAN2-ADA),
NeurIPS 2020, https://arxiv.org/abs/2006.06676. Skip generator, residual discriminator.

Deviations: bfloat16 instead of float16, which needs no clamp and no loss scaling; regularisers in float32. Generated
images take the classes of the step's real ones. Of ADA's transformations there are the blit, geometric and colour ones
(``bgc``).

Shape suffixes: N images, K layers, L latent (W) dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Depth, Positive, Range, Rate, Share, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.losses import adversarial
from contrafact.nn.discriminators import StyleGAN2Discriminator
from contrafact.training.adaptive_augmentation import AdaptiveAugmentation

_QUICK: dict[str, Any] = {
    "channel_base": 512, "max_channels": 128, "latent_dim": 64, "mapping_layers": 3, "batch_size": 16, "steps": 14_000,
    "learning_rate": 0.0025, "r1_weight": 0.1, "path_weight": 0.0, "mixing": 0.0, "noise": False, "ema_rampup": 0.05,
}  # fmt: skip
W_MEAN_RATE = 0.005
"""Weight of a batch's mean in the running mean of W."""


@dataclass(frozen=True)
class StyleGAN2(Method):
    """Style-based GAN, its edit space W.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.StyleGAN2.preset("tiny", steps=1, batch_size=4).fit(images, "runs/stylegan2")
    >>> run.generator.space, run.generator.num_layers  # directions may act on some of the layers
    ('w', 6)
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {"channel_base": 16_384, "max_channels": 256, "mapping_layers": 3, "steps": 200_000},
        "quick": _QUICK,
        "tiny": {
            "channel_base": 64, "max_channels": 8, "latent_dim": 8, "mapping_layers": 2, "r1_every": 2, "path_every": 2,
            "augment": "ada",
        },
    }  # fmt: skip

    channel_base: Size = 32_768
    """Channels at side R are this over R."""
    max_channels: Size = 512
    """But no more than this."""
    latent_dim: Size = 512
    """Dimensions L of W and of the prior."""
    mapping_layers: Depth = 8
    """Layers of the mapping network."""
    conditional: bool = False
    """Condition on the dataset's classes."""
    steps: Steps = 781_250
    """Training steps: one of the discriminator, one of the generator."""
    batch_size: Size = 32
    """Images per step, in each process."""
    learning_rate: Rate = 0.002
    """Adam's learning rate, for both networks."""
    r1_weight: Weight = 10.0
    """Weight γ of the gradient penalty on real images, which is halved."""
    r1_every: Size = 16
    """Steps between its evaluations, which count that often."""
    path_weight: Weight = 2.0
    """Weight of the path-length penalty; 0 turns it off."""
    path_every: Size = 4
    """Steps between its evaluations."""
    path_shrink: Size = 2
    """It sees this fraction of a batch (2: half of it)."""
    noise: bool = True
    """Add learned amounts of noise to the activations; off, an image depends on its latent alone."""
    mixing: Share = 0.9
    """Probability of style mixing."""
    ema_images: Positive = 10_000.0
    """Images over which the weights' moving average forgets half."""
    ema_rampup: Weight = 0.0
    """Forget faster at first: over this share of the images seen; 0 does not."""
    augment: Literal["none", "ada", "fixed"] = "none"
    """Augment what the discriminator sees: not, with a probability that follows its overfitting, or a fixed one."""
    augment_probability: Share = 0.0
    """The probability; with ada its first value."""
    augment_target: Annotated[float, Range(at_least=-1, at_most=1)] = 0.6
    """Overfitting that ada aims at: mean sign of the scores of real images."""
    augment_images: Positive = 500_000.0
    """Images over which ada's probability can go from 0 to 1."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images of a side the networks cannot make, and missing labels."""
        _sides(source)
        if self.conditional:
            _labels(source)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Alternate discriminator and generator steps, each regularised once in a while."""
        channels, height, _ = source.image_shape
        counts = [max(1, min(self.channel_base // side, self.max_channels)) for side in _sides(source)]
        labels = _labels(source) if self.conditional else None
        classes = 0 if labels is None else int(labels.max()) + 1
        with run.seeded_init("networks"):
            generator: Any = architecture("stylegan2")(
                height, self.latent_dim, channels=counts, mapping_layers=self.mapping_layers, image_channels=channels,
                classes=classes,
            ).to(run.device)  # fmt: skip
            discriminator = StyleGAN2Discriminator(source.image_shape, counts, classes).to(run.device)
        average = copy.deepcopy(generator).requires_grad_(False)
        augment = AdaptiveAugmentation(self.augment_target, self.augment_images, probability=self.augment_probability)
        path_penalty = adversarial.PathLengthPenalty().to(run.device)
        generator_adam = self._adam(generator, self.path_every if self.path_weight else 0)
        discriminator_adam = self._adam(discriminator, self.r1_every if self.r1_weight else 0)
        images_rng, latents_rng, augment_rng = run.numpy_rng("images"), run.rng("latents"), run.rng("augment")
        noise_rng = torch.Generator(run.device).manual_seed(run.rng("noise").initial_seed())
        state: dict[str, Any] = {"generator": generator, "average": average, "discriminator": discriminator}
        state |= {"augment": augment, "path_penalty": path_penalty}
        state |= {"generator_adam": generator_adam, "discriminator_adam": discriminator_adam}
        state |= {"images": images_rng, "latents": latents_rng, "augmentation": augment_rng, "noise": noise_rng}

        def score(images: Tensor, label: Tensor | None) -> Tensor:
            seen = images if self.augment == "none" else augment(images, augment_rng)
            scores: Tensor = discriminator(seen, label)
            return scores

        def fakes(n: int, label: Tensor | None) -> tuple[Tensor, Tensor]:
            latent_NKL = self._latents(generator, n, label, latents_rng, run)
            images = generator(latent_NKL, noise="random" if self.noise else "none", rng=noise_rng)
            return 2 * images - 1, latent_NKL

        warned = False
        for step in run.steps(self.steps, state):
            indices = images_rng.integers(len(source), size=self.batch_size)
            real = 2 * source.batch(indices).to(run.device) - 1
            label = None if labels is None else labels[indices].to(run.device)
            with run.autocast():
                with torch.no_grad():
                    fake, _ = fakes(self.batch_size, label)
                real_scores, fake_scores = score(real, label), score(fake, label)
            loss = adversarial.logistic_discriminator_loss(real_scores, fake_scores)
            _step(discriminator_adam, loss, run)
            run.log(discriminator_loss=loss, real_score=real_scores.mean(), fake_score=fake_scores.mean())
            if self.augment == "ada":
                augment.adapt(run.average(real_scores.detach().sign().mean()).cpu(), self.batch_size * run.world_size)
            if self.r1_weight and step % self.r1_every == 0:
                watched = real.clone().requires_grad_()
                penalty = adversarial.r1_penalty(score(watched, label), watched)
                _step(discriminator_adam, self.r1_weight / 2 * self.r1_every * penalty, run)
                run.log(r1=penalty)

            with run.autocast():
                fake, _ = fakes(self.batch_size, label)
                loss = adversarial.logistic_generator_loss(score(fake, label))
            _step(generator_adam, loss, run)
            run.log(generator_loss=loss, spread=adversarial.spread(fake) / adversarial.spread(real))
            if self.path_weight and step % self.path_every == 0:
                n = max(1, self.batch_size // self.path_shrink)
                fake, latent_NKL = fakes(n, None if label is None else label[:n])
                noise = torch.randn(fake.shape, generator=noise_rng, device=run.device)
                lengths = adversarial.path_lengths(fake, latent_NKL, noise)
                _step(generator_adam, self.path_weight * self.path_every * path_penalty(lengths), run)
                path_penalty.mean.copy_(run.average(path_penalty.mean))
                run.log(path_length=lengths.mean())
            self._average(average, generator, (step + 1) * self.batch_size * run.world_size, run)
            if self.augment != "none":
                run.log(augment_probability=float(augment.probability))
            warned = warned or adversarial.warn_of_trouble(run.last_line, step, self.steps)

        average.note = {"images_seen": self.steps * self.batch_size * run.world_size}
        return Artefacts(generator=average)

    def _adam(self, network: nn.Module, every: int) -> torch.optim.Adam:
        """Adam whose rate and memory make up for the regulariser's own steps (Karras et al. 2020, Appendix B)."""
        share = every / (every + 1) if every else 1.0
        betas = (0.0, 0.99**share)
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate * share, betas=betas, eps=1e-8, fused=True)

    def _latents(self, generator: Any, n: int, label: Tensor | None, rng: torch.Generator, run: Run) -> Tensor:
        """W of fresh noise for every layer ``(N, K, L)``, with the probability ``mixing`` two of them: style mixing."""
        w_NL = generator.to_w(generator.prior(n, rng), label)
        generator.w_avg.lerp_(run.average(w_NL.detach().float().mean(dim=0)), W_MEAN_RATE)
        other_NL = generator.to_w(generator.prior(n, rng), label)
        mixed = float(torch.rand((), generator=rng)) < self.mixing
        layer = int(torch.randint(1, generator.num_layers, (), generator=rng))
        latent_NKL: Tensor = generator.mix(w_NL, other_NL if mixed else w_NL, layer)
        return latent_NKL

    @torch.no_grad()
    def _average(self, average: Any, generator: Any, seen: int, run: Run) -> None:
        """Move the average weights towards the generator's."""
        half_life = min(self.ema_images, seen * self.ema_rampup) if self.ema_rampup else self.ema_images
        decay = 0.5 ** (self.batch_size * run.world_size / half_life)
        torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - decay)
        average.w_avg.copy_(generator.w_avg)


def _step(adam: torch.optim.Optimizer, loss: Tensor, run: Run) -> None:
    """One step of a network's optimiser; the other network's gradients are not even computed."""
    parameters = adam.param_groups[0]["params"]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    run.average_gradients(parameters)
    adam.step()


def _sides(source: ImageDataset) -> list[int]:
    """4, 8, … up to the images' side."""
    _, height, width = source.image_shape
    if height != width or height < 8 or height & (height - 1):
        raise ValueError(
            f"StyleGAN2 learns from square images of 8, 16, 32, … pixels, got {height}×{width}; load them with another "
            "--size"
        )
    return [4 << i for i in range((height // 4).bit_length())]


def _labels(source: ImageDataset) -> Tensor:
    if source.labels is None:
        raise ValueError(f"conditional training needs class labels, and {source.name} has none; leave it off")
    return torch.from_numpy(source.labels)
