"""GAN with Disc φ: a plain GAN, its images clustered by the critic's last features (Mukherjee et al. 2019, baselines).

A baseline of ClusterGAN (AAAI 2019, https://arxiv.org/abs/1809.03627) and of CD-GAN: WGAN-GP with noise and a one-hot
class in its prior, and nothing that ties the class to the images. The encoder is the critic without its last layer.

Deviations: the noise has a deviation of 1 by default, in the program of ClusterGAN 0.1, as in the preset ``paper``; the
same holds for ``gan_inversion``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Size
from contrafact.core.run import Run
from contrafact.methods._gan import Game, GANMethod, play
from contrafact.nn.critics import FeatureEncoder, plain_weights


@dataclass(frozen=True)
class GANFeatures(GANMethod):
    """GAN with the critic's features as codes.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.GANFeatures.preset("quick", width=0.1, steps=1, batch_size=10).fit(images, "runs/gan-features")
    >>> run.encoder(images.batch([0, 1])).shape[1] == run.encoder.code_dim
    True
    """

    without: ClassVar[Mapping[str, str]] = {
        "encoder": "its encoder is the critic without its last layer, which the game trains; cluster_gan and cd_gan "
        "train one of your own"
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"sigma": 0.1, "steps": 200_000},
        "quick": {"width": 0.5, "steps": 2000, "critic_steps": 1, "learning_rate": 1e-3},
        "tiny": {"noise_dim": 3},
    }

    critic_steps: Size = 5
    """Critic steps per generator step."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """A plain GAN; the encoder is what the critic sees."""
        game = Game(self, source, run, class_count=self.class_count(source))
        play(game, self.steps)
        encoder = FeatureEncoder(source.image_shape, self.trunk, self.width)
        encoder.trunk.load_state_dict(plain_weights(game.critic.trunk).state_dict())
        return Artefacts(encoder=encoder.to(run.device), generator=game.generator)
