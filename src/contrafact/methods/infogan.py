"""InfoGAN: a GAN whose codes can be read off its images, by a head Q on the critic (Chen et al. 2016).

InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, X. Chen, Y. Duan,
R. Houthooft, J. Schulman, I. Sutskever, P. Abbeel, NeurIPS 2016, https://arxiv.org/abs/1606.03657. Defaults: its MNIST
settings, 62 noise dimensions, a 10-way class and two uniform codes.

Deviations: WGAN-GP instead of the first GAN loss, as the ClusterGAN and CD-GAN papers compare it; Q's Gaussian has a
fixed standard deviation of 1; no batch norm in the critic, which the gradient penalty forbids. The encoder is Q: class
probabilities, then means of the codes.

Shape suffixes: N images, J codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.run import Run
from contrafact.losses.adversarial import information_loss
from contrafact.methods._gan import Game, ReadCodes, probe_classes
from contrafact.nn.critics import plain_weights


@dataclass(frozen=True)
class InfoGAN(ReadCodes):
    """GAN with mutual information between codes and images.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.InfoGAN.preset("quick", width=0.1, steps=1, batch_size=10).fit(images, "runs/infogan")
    >>> run.generator(run.generator.sample(2, seed=0)).shape
    torch.Size([2, 3, 16, 16])
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "released": {
            "batch_size": 128, "learning_rate": 1e-3, "critic_rate": 2e-4, "code_weight": 1.0, "adam_beta2": 0.999,
            "steps": 5000,
        },
        "cifar10": {"network": "sngan", "adversary": "hinge"},
        "quick": {"width": 0.5, "steps": 2000, "learning_rate": 1e-3, "q_hidden": 0},
        "tiny": {"noise_dim": 3},
    }  # fmt: skip

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Critic's turn, then generator and Q together."""
        count = self.class_count(source)
        game = Game(self, source, run, self.num_codes, count)
        with run.seeded_init("encoder"):
            encoder = self.make_q(game, source, count)
        encoder.to(run.device)
        optimizer = self.adam(encoder.parameters(), self.critic_rate)
        state = game.state() | {"encoder": encoder, "encoder_optimizer": optimizer}
        codes = slice(self.noise_dim, self.noise_dim + self.num_codes)

        for _ in run.steps(self.steps, state):
            game.critic_turn()
            latent = game.generator.sample(self.batch_size, game.noise_rng)
            with run.autocast():
                images = game.generator(latent)
                logits_NK, means_NJ = encoder.heads(images)
            fooling = game.fool(images)
            of_class, of_codes = information_loss(
                logits_NK, game.generator.classes_of(latent), means_NJ, latent[:, codes]
            )
            optimizer.zero_grad(set_to_none=True)
            game.update(game.generator_optimizer, fooling + self.class_weight * of_class + self.code_weight * of_codes)
            run.average_gradients(encoder.parameters())
            optimizer.step()
            run.log(generator=fooling, class_information=of_class, code_information=of_codes)
            game.watch()

        plain_weights(encoder.eval())
        game.generator.note = probe_classes(game.generator, encoder, game.pool, run)
        return Artefacts(encoder=encoder, generator=game.generator)
