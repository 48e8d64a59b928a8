"""NoiseCLR: directions whose effect on a denoiser's noise is the same in every image, and unlike others' (Dalva 2024).

NoiseCLR: A Contrastive Learning Approach for Unsupervised Discovery of Interpretable Directions in Diffusion Models,
Dalva & Yanardag, CVPR 2024, https://arxiv.org/abs/2312.05390. In the paper a direction is a new word, and its effect
the difference of the noise that Stable Diffusion sees in a noised image with that word and with none. Here it is a
vector of whatever a denoiser is edited by (:class:`~contrafact.core.denoiser.Denoiser`): codes, bottleneck, prompt.

Deviations: images are the generator's own, on the way of its solver, instead of a folder's under fresh noise, so that
every denoiser will do and x_t is one that it meets; a direction has unit length times ``magnitude`` where a word's
length is free, since effects are compared by their direction alone; a larger batch stands for accumulated gradients.

Shape suffixes: N images, K directions that are compared, F numbers of an effect, E of an edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import sample_latents
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Positive, Rate, Size, Steps, Weight
from contrafact.core.run import Run


@dataclass(frozen=True)
class NoiseCLR(Method):
    """Contrastive directions of a denoiser.

    >>> import contrafact as cf
    >>> generator = cf.generators.TokenDiffusion.tiny()
    >>> run = cf.methods.NoiseCLR.preset("quick", num_directions=3, steps=2).fit(generator, "runs/noiseclr")
    >>> run.directions(generator.sample(4, seed=0), index=2, magnitude=-1.5).shape
    torch.Size([4, 3])
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    asks: ClassVar[Literal["any", "denoiser"]] = "denoiser"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {},
        "quick": {"num_directions": 10, "num_compared": 9, "batch_size": 8, "steps": 300, "learning_rate": 1e-2},
    }

    num_directions: Size = 100
    """Directions D."""
    num_compared: Size = 20
    """Others that a step's direction is compared with, at most all."""
    magnitude: Positive = 1.0
    """Length of the edits whose effects are compared, in standard deviations of the edit space."""
    temperature: Positive = 0.5
    """Temperature τ."""
    steps: Steps = 1000
    """Training steps, one direction each."""
    batch_size: Size = 24
    """Images N of a step, all at one step of the solver."""
    learning_rate: Rate = 1e-3
    """AdamW's learning rate."""
    weight_decay: Weight = 1e-2
    """AdamW's weight decay."""

    def check_options(self) -> None:
        """Refuse settings that leave nothing to contrast."""
        if self.num_directions < 2 or self.batch_size < 2:
            raise ValueError(
                "a contrast needs at least 2 directions and 2 images, or nothing is negative or positive; got "
                f"num_directions {self.num_directions} and batch_size {self.batch_size}"
            )

    def train(self, source: Any, run: Run) -> Artefacts:
        """A direction a step: draw it towards itself in other images, away from others in the same."""
        with run.seeded_init("directions"):
            directions = GlobalDirections(
                source.edit_dim,
                self.num_directions,
                scale=source.latent_scale(),
                num_layers=source.num_layers,
                columns=source.edit_columns,
            )
            nn.init.normal_(directions.weight)
        directions.to(run.device)
        optimizer = torch.optim.AdamW(
            directions.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        rng = run.rng("images")
        for _ in run.steps(self.steps, {"directions": directions, "optimizer": optimizer, "rng": rng}):
            place = int(torch.randint(source.steps, (), generator=rng))
            chosen_K = torch.randperm(self.num_directions, generator=rng)[: self.num_compared + 1].to(run.device)
            with torch.no_grad():
                noise, edits = source.split(sample_latents(source, self.batch_size, rng))
                x = source.walk(noise, edits[:place])
            effect_KNF = self.effects(source, x, place, directions, chosen_K)
            loss, scalars = contrast_effects(effect_KNF, self.temperature)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, directions.parameters())
            optimizer.step()
            run.log(loss=loss, **scalars)
        return Artefacts(directions=directions, generator=source)

    def effects(self, source: Any, x: Tensor, place: int, directions: GlobalDirections, chosen_K: Tensor) -> Tensor:
        """What each chosen direction changes in what the denoiser says of each image: ``(K, N, F)``, in float32."""
        edit_KE = self.magnitude * directions.scale * directions.vectors()[chosen_K]
        edits = edit_KE.repeat_interleave(len(x), dim=0)
        effect = source.effect(x.repeat(len(chosen_K), 1, 1, 1), place, edits).flatten(1).float()
        effect_KNF: Tensor = effect.unflatten(0, (len(chosen_K), len(x)))
        return effect_KNF


def contrast_effects(effect_KNF: Tensor, temperature: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The first direction's loss: −log of mean exp(s/τ) over its pairs of images, over that over the others' effects.

    s is the cosine of two effects. The first direction's in two images are a positive; its effect in an image and
    another direction's in the same image are a negative. An effect of nothing is like nothing.

    Args:
        effect_KNF: effects of the direction of this step, then of those it is compared with, in each image.
        temperature: τ.

    Returns:
        the loss, and what to log: the mean similarities ``within`` the direction and ``across`` directions.

    >>> alike = torch.eye(3)[:2, None].expand(2, 4, 3)  # two directions, each with one effect in every image
    >>> loss, logged = contrast_effects(alike, 0.5)
    >>> round(float(loss), 3), float(logged["within"]), float(logged["across"])
    (-2.0, 1.0, 0.0)
    """
    unit_KNF = F.normalize(effect_KNF, dim=2)
    count = unit_KNF.shape[1]
    first_NF, others_KNF = unit_KNF[0], unit_KNF[1:]
    upper = torch.triu_indices(count, count, offset=1, device=unit_KNF.device)
    within_P = (first_NF @ first_NF.T)[upper[0], upper[1]]
    across_KN = (others_KNF * first_NF).sum(dim=2)
    attraction = (within_P / temperature).exp().mean()
    repulsion = (across_KN / temperature).exp().mean()
    return repulsion.log() - attraction.log(), {"within": within_P.mean(), "across": across_KN.mean()}
