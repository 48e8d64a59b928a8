"""InfoGAN-CR: InfoGAN with a guess of which code a pair of images shares (Lin et al. 2020).

InfoGAN-CR and ModelCentrality, Z. Lin, K. Thekumparampil, G. Fanti, S. Oh, ICML 2020, https://arxiv.org/abs/1906.06034.
A network H sees two images that share one factor (a uniform code, or the class) and guesses which; generator and H
both gain when it is right. While H learns, the other codes of a pair differ by at least a gap that falls to 0; then the
regulariser's coefficient rises from 0.

Deviations: WGAN-GP by default, as in ``infogan``; the class knob is one of the factors a pair may share; gap and
coefficient move linearly, where the release moves them in a few jumps.

Shape suffixes: N pairs, J codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Range, Size, Weight
from contrafact.core.run import Run
from contrafact.losses.adversarial import information_loss
from contrafact.methods._gan import Game, ReadCodes, probe_classes
from contrafact.nn.critics import make_trunk, plain_weights


@dataclass(frozen=True)
class InfoGANCR(ReadCodes):
    """InfoGAN with a contrastive regulariser.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.InfoGANCR.preset("quick", width=0.1, steps=1, batch_size=10).fit(images, "runs/infogan-cr")
    >>> run.generator(run.generator.sample(2, seed=0)).shape
    torch.Size([2, 3, 16, 16])
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cifar10": {"network": "sngan", "adversary": "hinge"},
        "released": {
            "network": "sngan", "adversary": "hinge", "noise_dim": 5, "num_codes": 5, "code_weight": 0.05,
            "contrast_weight": 2.0, "gap": 0.0, "gap_until": 0.893, "learning_rate": 1e-3, "critic_rate": 2e-3,
            "adam_beta2": 0.999, "steps": 322_560,
        },
        "quick": {"width": 0.5, "steps": 2000, "learning_rate": 1e-3, "q_hidden": 0},
        "tiny": {"noise_dim": 3},
    }  # fmt: skip

    contrast_weight: Weight = 1.0
    """α, coefficient of the regulariser at the end."""
    gap: Annotated[float, Range(at_least=0, below=2)] = 1.9
    """Least difference of the codes a pair does not share, at the start; 2 is the whole range."""
    gap_until: Annotated[float, Range(above=0, below=1)] = 0.5
    """Share of the steps over which the gap falls to 0; from there the regulariser's coefficient rises from 0."""
    generator_steps: Size = 2
    """Generator steps per step."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Critic's turn, then generator, Q and H together, twice."""
        count = self.class_count(source)
        game = Game(self, source, run, self.num_codes, count)
        channels, height, width = source.image_shape
        with run.seeded_init("encoder"):
            encoder = self.make_q(game, source, count).to(run.device)
            trunk = make_trunk("conv", (2 * channels, height, width), self.width)
            guesser = nn.Sequential(trunk, nn.Linear(trunk.out_dim, self.num_codes + 1)).to(run.device)
        optimizer = self.adam([*encoder.parameters(), *guesser.parameters()], self.critic_rate)
        state = game.state() | {"encoder": encoder, "guesser": guesser, "encoder_optimizer": optimizer}
        codes = slice(self.noise_dim, self.noise_dim + self.num_codes)

        for step in run.steps(self.steps, state):
            game.critic_turn()
            done = step / (self.gap_until * self.steps)
            gap = self.gap * max(0.0, 1 - done)
            weight = self.contrast_weight * min(1.0, max(0.0, done - 1) / (1 / self.gap_until - 1))
            for _ in range(self.generator_steps):
                first, second, shared_N = draw_pairs(game.generator, self.batch_size, gap, codes, game.noise_rng)
                with run.autocast():
                    images, others = game.generator(torch.cat([first, second])).chunk(2)
                    logits_NK, means_NJ = encoder.heads(images)
                    # Below its weight the guess must not move the generator, yet H must learn: H sees the pair as it
                    # is, the generator feels `weight` of the gradient.
                    pair = torch.cat([images, others], dim=1)
                    guess = guesser(weight * pair + (1 - weight) * pair.detach()).float()
                fooling = game.fool(images)
                of_class, of_codes = information_loss(
                    logits_NK, game.generator.classes_of(first), means_NJ, first[:, codes]
                )
                guessing = F.cross_entropy(guess, shared_N)
                loss = fooling + self.class_weight * of_class + self.code_weight * of_codes + guessing
                optimizer.zero_grad(set_to_none=True)
                game.update(game.generator_optimizer, loss)
                run.average_gradients([*encoder.parameters(), *guesser.parameters()])
                optimizer.step()
                right = (guess.argmax(dim=1) == shared_N).float().mean()
                run.log(generator=fooling, class_information=of_class, code_information=of_codes)
                run.log(guess=guessing, guessed=right)
            game.watch()

        plain_weights(encoder.eval())
        game.generator.note = probe_classes(game.generator, encoder, game.pool, run)
        return Artefacts(encoder=encoder, generator=game.generator)


def draw_pairs(
    generator: Generator, n: int, gap: float, codes: slice, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of latents ``(N, L)`` that share one factor, and which ``(N,)``: a code's number, or J for the class.

    Noise is drawn anew for both. Codes that are not shared are uniform over all pairs at least ``gap`` apart, and a
    class that is not shared differs.
    """
    first, second = (generator.sample(n, rng).clone() for _ in range(2))
    number, device = codes.stop - codes.start, first.device
    shared_N = torch.randint(number + 1, (n,), generator=rng).to(device)
    draws = torch.rand(3, n, number, generator=rng).to(device)
    low, high = torch.minimum(draws[0], draws[1]), torch.maximum(draws[0], draws[1])
    # Two triangles of legs 2 - gap: uniform in one by sorting two draws, then either by a coin.
    low, high = -1 + (2 - gap) * low, -1 + gap + (2 - gap) * high
    flip = draws[2] < 0.5
    one, two = torch.where(flip, high, low), torch.where(flip, low, high)
    is_shared = F.one_hot(shared_N, number + 1)[:, :number].bool()
    first[:, codes] = torch.where(is_shared, first[:, codes], one)
    second[:, codes] = torch.where(is_shared, first[:, codes], two)
    start, stop = generator.class_range
    classes_N = generator.classes_of(first)
    away_N = 1 + torch.randint(stop - start - 1, (n,), generator=rng).to(device)
    others_N = torch.where(shared_N == number, classes_N, (classes_N + away_N) % (stop - start))
    second[:, start:stop] = F.one_hot(others_N, stop - start).to(second.dtype)
    return first, second, shared_N
