"""Images of edits, made once and drawn from ever after: what fixed directions allow.

Shape suffixes: P pooled latents, D directions, S edits of a step, C, H, W image sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.generator import Generator, images_at_once

MOST_BYTES = 1 << 31


class EditPool(NamedTuple):
    """Latents' images before and after an edit along every direction, in half precision.

    Attributes:
        before_PCHW: as they are.
        after_PDCHW: after the edits.
        magnitude_PD: of the edits.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> pool = EditPool.of(scene, scene.own_directions(), 3, lambda n, rng: torch.ones(n), torch.Generator())
    >>> before, after, magnitude = pool.take(2, torch.tensor([5, 5, 0, 0]), torch.Generator())
    >>> before.shape, after.shape, magnitude.shape
    (torch.Size([2, 3, 16, 16]), torch.Size([4, 3, 16, 16]), torch.Size([4]))
    """

    before_PCHW: Tensor
    after_PDCHW: Tensor
    magnitude_PD: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        source: Generator,
        directions: Directions,
        size: int,
        magnitudes: Callable[[int, torch.Generator], Tensor],
        rng: torch.Generator,
    ) -> EditPool:
        """A pool of ``size`` latents.

        Args:
            source: the frozen generator.
            directions: that do not change any more.
            size: P.
            magnitudes: draws so many.
            rng: draws latents and magnitudes.

        Raises:
            ValueError: more images than two gigabytes hold.
        """
        count = directions.num_directions
        check_pool(source, count, size)
        latents = source.sample(size, rng)
        magnitude_PD = magnitudes(size * count, rng).view(size, count).to(latents.device)
        before, after = [], []
        most = 2 * images_at_once(source)
        at_once = max(1, most // count)
        for batch, steps in zip(latents.split(at_once), magnitude_PD.split(at_once), strict=True):
            before.append(source(batch).half())
            index = torch.arange(count, device=latents.device).repeat(len(batch))
            repeated = batch.repeat_interleave(count, dim=0)
            moved = directions(repeated, index, steps.flatten())
            made = torch.cat([source(part).half() for part in moved.split(most)])
            after.append(made.unflatten(0, (len(batch), count)))
        return cls(torch.cat(before), torch.cat(after), magnitude_PD)

    def take(self, bases: int, index_S: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(bases, C, H, W)`` of latents drawn from the pool, and their edits' images and magnitudes.

        Args:
            bases: how many latents, S a multiple of it.
            index_S: direction of each edit; edit s is of latent ``s % bases``.
            rng: draws the latents.
        """
        chosen = torch.randint(len(self.before_PCHW), (bases,), generator=rng).to(index_S.device)
        of_edit = chosen.repeat(len(index_S) // bases)
        after = self.after_PDCHW[of_edit, index_S].float()
        return self.before_PCHW[chosen].float(), after, self.magnitude_PD[of_edit, index_S]


def check_pool(source: Generator, directions: int, size: int) -> None:
    """Refuse (ValueError) a pool of ``size`` latents, each with so many edits, that two gigabytes do not hold."""
    needed = 2 * size * (directions + 1) * math.prod(source.image_shape)
    if needed > MOST_BYTES:
        raise ValueError(
            f"a pool of {size} latents with {directions} edits each takes {needed / 2**30:.1f} GiB of images, more "
            f"than {MOST_BYTES >> 30}; ask for at most {size * MOST_BYTES // needed} (pool)"
        )
