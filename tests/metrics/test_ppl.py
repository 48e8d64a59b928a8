import math

import numpy as np
import pytest
import torch

from contrafact.core.generator import Generator
from contrafact.generators.analytic import Analytic
from contrafact.metrics import ppl


class Painter(Generator):
    """Images whose channels are the latent, doubled by the mapping."""

    latent_dim = prior_dim = 3
    image_shape = (3, 2, 2)
    space = "w"

    def map(self, z, label=None, truncation=None):
        return 2.0 * z

    def forward(self, latent):
        return latent[:, :, None, None].expand(-1, 3, 2, 2)


def colours(images):
    """One map whose pixels, on the sphere, are the image's angles: distances are squared chords."""
    return [images]


def draws(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=rng).double(), torch.randn(n, 3, generator=rng).double()


def unit(values):
    return values / values.norm(dim=-1, keepdim=True)


def middle(lengths):
    low, high = np.percentile(lengths, 1, method="lower"), np.percentile(lengths, 99, method="higher")
    return np.mean([length for length in lengths if low <= length <= high])


def test_in_z_an_arc_of_the_sphere_has_the_length_of_its_angle():
    # The image is the point on the sphere: one step turns it by epsilon times the angle between the two draws.
    first, second = draws(400)
    angles = torch.acos((unit(first) * unit(second)).sum(dim=1)).numpy()
    for sampling in ("end", "full"):
        result = ppl(
            Painter(), extractor=colours, space="z", sampling=sampling, epsilon=0.01, num_latents=400, batch_size=400
        )
        assert result.untrimmed == pytest.approx((angles**2).mean(), rel=1e-3)
        assert result.score == pytest.approx(middle(angles**2), rel=1e-3)
        assert result.median == pytest.approx(np.median(angles**2), rel=1e-3)


def test_in_w_a_step_of_the_line_is_seen_at_its_beginning():
    first, second = draws(300)
    step = first + 0.01 * (second - first)
    expected = ((unit(step) - unit(first)) ** 2).sum(dim=1).numpy() / 0.01**2
    result = ppl(Painter(), extractor=colours, epsilon=0.01, num_latents=300, batch_size=300)
    assert result.untrimmed == pytest.approx(expected.mean(), rel=1e-3)
    assert result.protocol == "ppl_w_end_eps0.01_colours_n300"


def test_it_is_the_same_in_batches_of_any_size_but_for_the_draws():
    generator = Analytic("sprite", size=16)
    first, again = (ppl(generator, extractor=colours, num_latents=30, batch_size=7, seed=3) for _ in range(2))
    assert first.scores() == again.scores()
    assert first.score != ppl(generator, extractor=colours, num_latents=30, batch_size=7, seed=4).score


def test_a_small_step_is_the_same_as_a_smaller_one():
    generator = Analytic("sprite", size=16)
    small, smaller = (
        ppl(generator, extractor=colours, epsilon=step, num_latents=40, batch_size=40).score for step in (1e-2, 3e-3)
    )
    assert small == pytest.approx(smaller, rel=0.1)


def test_large_images_are_pooled_and_faces_cropped():
    seen = []

    class Wide(Painter):
        image_shape = (1, 512, 512)

        def forward(self, latent):
            return latent[:, :1, None, None] + torch.arange(512.0)[:, None] + torch.zeros(512)

    def look(images):
        seen.append(images)
        return [images.abs() + 1.0]

    ppl(Wide(), extractor=look, num_latents=2, batch_size=2)
    assert seen[0].shape == (2, 3, 256, 256)
    # Rows 2r and 2r + 1 are averaged.
    np.testing.assert_allclose((seen[0][0, 0, 1] - seen[0][0, 0, 0]).numpy(), 2.0, atol=1e-4)
    ppl(Wide(), extractor=look, num_latents=2, batch_size=2, crop=True)
    assert seen[2].shape == (2, 3, 256, 256)
    assert float(seen[2][0, 0, 0, 0] - seen[0][0, 0, 0, 0]) == pytest.approx(3 * 64 - 0.5, abs=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "x"}, "space must be 'z' or 'w', got 'x'"),
        ({"sampling": "start"}, "sampling must be 'full' or 'end', got 'start'"),
        ({"epsilon": 0.0}, "epsilon must be between 0 and 1, got 0.0"),
        ({"extractor": lambda images: [images * math.nan]}, "the distance along path 0 is not finite"),
        ({"extractor": "squeeze"}, "extractor must be one of alex, vgg or a function of images"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        ppl(Painter(), **{"extractor": colours, "num_latents": 3, **settings})
