"""The edits of a step of DisCo: along which directions, from which images, how far, and who is contrasted with whom.

Shape suffixes: S edits, Q queries, K keys, P groups, J code dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from contrafact.core.ranges import Layer, Positive, Size, SizeOrZero, Weight
from contrafact.core.settings import Group


class Pairs(NamedTuple):
    """Which variations of a step are contrasted with which, and which belong together.

    Attributes:
        queries_QJ: those that ask.
        keys_KJ: those they are compared to.
        positive_QK: pairs of one direction.
        negative_QK: pairs of two.
        groups_PSJ: variations of one direction together, those of queries and positives: Eq. 5's mean is over them.
        asking_PSJ: those of them that ask: the released program's entropy is theirs alone.
    """

    queries_QJ: Tensor
    keys_KJ: Tensor
    positive_QK: Tensor
    negative_QK: Tensor
    groups_PSJ: Tensor
    asking_PSJ: Tensor


@dataclass(frozen=True)
class Edits(Group):
    """The edits of a step: along which directions, from which images, how far."""

    batching: Literal["paper", "all_pairs"] = "paper"
    """paper: one direction a step against others; all_pairs: several directions, every pair of variations compared."""
    num_queries: Size = 32
    """Queries B of a step (paper batching)."""
    num_positives: Size = 32
    """Positives N of a step (paper batching)."""
    num_negatives: Size = 64
    """Negatives M of a step (paper batching)."""
    directions_per_step: Size = 16
    """Directions in a step (all_pairs batching)."""
    samples_per_direction: Size = 8
    """Variations of each of them (all_pairs batching)."""
    shared_bases: bool = False
    """Start every direction of a step from the same base images (all_pairs batching): half the encodings, and negatives
    that differ in nothing but the direction."""
    shift: Literal["uniform", "normal"] | None = None
    """Magnitudes: uniform in ±max_shift, or max_shift times a standard normal; by default the formulation's."""
    max_shift: Positive = 6.0
    """Scale of the magnitudes, in standard deviations of the edit space."""
    min_shift: Weight = 0.5
    """Smaller magnitudes are lifted to this, keeping their sign."""
    pool: SizeOrZero = 0
    """Make the images of so many latents and all their edits once and draw from those: for fixed directions only, with
    shared_bases. 0 makes new ones at every step."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; by default its first."""
    last_layer: Layer | None = None
    """One past the last such layer; by default past its last."""

    def num_edits(self) -> int:
        """Edits of a step."""
        if self.batching == "paper":
            return self.num_queries + self.num_positives + self.num_negatives
        return self.directions_per_step * self.samples_per_direction

    def num_bases(self) -> int:
        """Images that the edits of a step start from."""
        return self.samples_per_direction if self.shared_bases else self.num_edits()

    def images_per_step(self) -> int:
        """Images encoded in a step: the budget a control is given too."""
        return self.num_edits() + self.num_bases()

    def draw(self, num_directions: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Direction and magnitude of every pair of a step, each ``(S,)``; queries first, then positives, negatives."""
        if self.batching == "all_pairs":
            chosen = torch.randperm(num_directions, generator=rng)[: self.directions_per_step]
            index = chosen.repeat_interleave(self.samples_per_direction)
        else:
            one = torch.randint(num_directions, (1,), generator=rng)
            # Adding 1 to D − 1 modulo D reaches every other direction equally often, and never the query's.
            others = torch.randint(1, num_directions, (self.num_negatives,), generator=rng)
            index = torch.cat([one.expand(self.num_queries + self.num_positives), (one + others) % num_directions])
        return index, self.magnitudes(len(index), rng)

    def magnitudes(self, count: int, rng: torch.Generator) -> Tensor:
        """So many magnitudes, none nearer to 0 than ``min_shift``."""
        if self.shift == "normal":
            magnitude = self.max_shift * torch.randn(count, generator=rng)
        else:
            magnitude = self.max_shift * (2 * torch.rand(count, generator=rng) - 1)
        lifted = magnitude.abs().clamp_min(self.min_shift)
        return torch.where(magnitude < 0, -lifted, lifted)

    def pairs(self, variation_SJ: Tensor, index_S: Tensor) -> Pairs:
        """Who is contrasted with whom, given every edit's direction: queries with keys, or all with all others."""
        if self.batching == "all_pairs":
            same_SS = index_S[:, None] == index_S[None]
            itself_SS = torch.eye(len(index_S), dtype=torch.bool, device=index_S.device)
            groups_PSJ = variation_SJ.view(-1, self.samples_per_direction, variation_SJ.shape[1])
            return Pairs(variation_SJ, variation_SJ, same_SS & ~itself_SS, ~same_SS, groups_PSJ, groups_PSJ)
        queries_QJ, keys_KJ = variation_SJ[: self.num_queries], variation_SJ[self.num_queries :]
        same_QK = index_S[: self.num_queries, None] == index_S[self.num_queries :]
        groups_PSJ = variation_SJ[None, : self.num_queries + self.num_positives]
        return Pairs(queries_QJ, keys_KJ, same_QK, ~same_QK, groups_PSJ, queries_QJ[None])
