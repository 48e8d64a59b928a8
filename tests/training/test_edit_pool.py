"""Edits made once: they are the generator's and the directions' own."""

import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.generators import wrap
from contrafact.generators.analytic import Analytic
from contrafact.training.edit_pool import EditPool


def _magnitudes(count, rng):
    return torch.randn(count, generator=rng)


def test_what_is_taken_are_the_edits_of_the_latents_taken():
    scene = Analytic(size=16)
    directions = scene.own_directions()
    pool = EditPool.of(scene, directions, 5, _magnitudes, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    latents = scene.sample(5, rng)
    index = torch.tensor([3, 3, 0, 0, 7, 7])
    before, after, magnitude = pool.take(2, index, torch.Generator().manual_seed(1))
    chosen = torch.randint(5, (2,), generator=torch.Generator().manual_seed(1))
    # Half precision: one part in two thousand.
    torch.testing.assert_close(before, scene(latents[chosen]), atol=1e-3, rtol=0)
    expected = scene(directions(latents[chosen].repeat(3, 1), index, magnitude))
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=0)
    assert torch.equal(magnitude, pool.magnitude_PD[chosen.repeat(3), index])


def test_no_more_images_are_made_at_once_than_of_two_million_pixels():
    seen = []

    class Large(torch.nn.Module):
        def forward(self, latent):
            seen.append(len(latent))
            return latent.sigmoid()[:, :1, None, None].expand(-1, 1, 512, 512)

    generator = wrap(Large(), 12, image_range=(0, 1)).freeze()
    directions = GlobalDirections.of(torch.eye(12))
    seen.clear()
    pool = EditPool.of(generator, directions, 3, _magnitudes, torch.Generator().manual_seed(0))
    assert max(seen) == 8
    assert pool.after_PDCHW.shape[:2] == (3, 12)


def test_a_pool_that_no_memory_holds_is_refused():
    with pytest.raises(ValueError, match=r"a pool of 9000000 latents with 8 edits each takes .* GiB .* at most \d+"):
        EditPool.of(Analytic(size=16), Analytic(size=16).own_directions(), 9_000_000, _magnitudes, torch.Generator())
