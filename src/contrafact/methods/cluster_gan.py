"""ClusterGAN: a GAN with a discrete-continuous prior and an encoder back to it (Mukherjee et al. 2019).

ClusterGAN: Latent Space Clustering in Generative Adversarial Networks, S. Mukherjee, H. Asnani, E. Lin, S. Kannan, AAAI
2019, https://arxiv.org/abs/1809.03627. Noise 0.1·N(0, I), one-hot class; WGAN-GP with five critic steps; generator and
encoder minimise one loss together. Defaults: its Fashion-MNIST settings, a fifth of the released steps; β of MNIST is
the preset ``mnist``.

Deviations: clusters are read from the class probabilities alone (the noise's estimate follows them in the codes), as
for every method here; the encoder is the critic's trunk.

Shape suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Positive, Size, Weight
from contrafact.core.run import Run
from contrafact.methods._gan import Game, GANMethod, probe_classes
from contrafact.nn.critics import ClassEncoder
from contrafact.nn.own_encoder import Backbone


@dataclass(frozen=True)
class ClusterGAN(GANMethod):
    """GAN that clusters by inverting its own prior.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.ClusterGAN.preset("quick", width=0.1, steps=1, batch_size=10).fit(images, "runs/cluster-gan")
    >>> classes = run.generator.classes_of(run.generator.sample(5, seed=0))
    >>> classes.shape, int(classes.max()) < 10
    (torch.Size([5]), True)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 500_000},
        "mnist": {"noise_dim": 30, "noise_weight": 10.0, "steps": 500_000},
        "cifar10": {"network": "sngan", "adversary": "hinge"},
        "quick": {"width": 0.5, "steps": 2000, "critic_steps": 1, "learning_rate": 1e-3},
        "tiny": {"noise_dim": 3},
    }

    noise_dim: Size = 40
    """Noise dimensions z_n."""
    sigma: Positive = 0.1
    """Standard deviation of the noise."""
    critic_steps: Size = 5
    """Critic steps per generator step."""
    encoder: Backbone = None
    """A network of your own that reads the images; a linear layer on its features makes the codes. Empty: a trunk like
    the critic's."""
    noise_weight: Weight = 0.0
    """β_n, weight of the noise's squared error; 10 on MNIST."""
    class_weight: Weight = 10.0
    """β_c, weight of the class's cross-entropy."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Critic's turn, then generator and encoder together."""
        count = self.class_count(source)
        game = Game(self, source, run, class_count=count)
        with run.seeded_init("encoder"):
            kind = self.trunk if self.encoder is None else self.encoder
            encoder = ClassEncoder(source.image_shape, count, self.noise_dim, kind, self.width, "softmax")
        encoder.to(run.device)
        optimizer = self.adam(encoder.parameters())
        state = game.state() | {"encoder": encoder, "encoder_optimizer": optimizer}

        for _ in run.steps(self.steps, state):
            game.critic_turn()
            latent = game.generator.sample(self.batch_size, game.noise_rng)
            with run.autocast():
                images = game.generator(latent)
                logits_NK, noise = encoder.heads(images)
            fooling = game.fool(images)
            of_noise, of_class = inversion_loss(
                noise, latent[:, : self.noise_dim], logits_NK, game.generator.classes_of(latent)
            )
            optimizer.zero_grad(set_to_none=True)
            game.update(game.generator_optimizer, fooling + self.noise_weight * of_noise + self.class_weight * of_class)
            run.average_gradients(encoder.parameters())
            optimizer.step()
            run.log(generator=fooling, noise_error=of_noise, class_entropy=of_class)
            game.watch()

        encoder.eval()
        game.generator.note = probe_classes(game.generator, encoder, game.pool, run)
        return Artefacts(encoder=encoder, generator=game.generator)


def inversion_loss(noise: Tensor, true_noise: Tensor, logits_NK: Tensor, classes_N: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error of the noise, and cross-entropy of the class: how far E(G(z)) is from z."""
    return F.mse_loss(noise, true_noise), F.cross_entropy(logits_NK, classes_N)
