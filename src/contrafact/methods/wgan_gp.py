"""WGAN-GP: a plain GAN with a gradient penalty, the generator the others are compared with (Gulrajani et al. 2017).

Improved Training of Wasserstein GANs, NeurIPS 2017, https://arxiv.org/abs/1704.00028. Networks of InfoGAN (28, 32, 64
pixels), Adam and five critic steps of the released program.

Deviations: no class knob and no encoder, so the run yields a generator only; ``gan_features`` and ``gan_inversion``
make encoders of the same game. With ``adversary="hinge"`` and ``network="sngan"`` the loop trains SNGAN's networks.
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


@dataclass(frozen=True)
class WGANGP(GANMethod):
    """Wasserstein GAN with gradient penalty.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.WGANGP.preset("quick", width=0.1, steps=1, batch_size=8).fit(images, "runs/wgan-gp")
    >>> run.has("encoder"), run.generator(run.generator.sample(2, seed=0)).shape
    (False, torch.Size([2, 3, 16, 16]))
    """

    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 200_000},
        "quick": {"width": 0.5, "steps": 4000, "critic_steps": 1, "learning_rate": 3e-4},
    }

    noise_dim: Size = 128
    """Noise dimensions z."""
    critic_steps: Size = 5
    """Critic steps per generator step."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Critic and generator take turns."""
        game = Game(self, source, run)
        play(game, self.steps)
        return Artefacts(generator=game.generator)
