"""LORD's generators: the draw of codes, and the decoders' shapes."""

import numpy as np
import pytest
import torch
from scipy import stats

from contrafact.generators.lord import LORD


def test_each_coordinate_is_drawn_from_its_own_distribution():
    rng = np.random.default_rng(0)
    codes = np.stack([rng.choice([-1.0, 0.5, 2.0], 5000, p=[0.5, 0.3, 0.2]), rng.exponential(size=5000)], axis=1)
    generator = LORD(2, (3, 16, 16), width=0.25)
    generator.fit_prior(torch.from_numpy(codes))
    drawn = generator.sample(5000, torch.Generator().manual_seed(1)).numpy()
    assert stats.ks_2samp(drawn[:, 1], codes[:, 1]).pvalue > 0.01
    values, counts = np.unique(drawn[:, 0].round(6), return_counts=True)
    frequent = dict(zip(values.tolist(), (counts / 5000).tolist(), strict=True))
    assert [frequent[v] for v in (-1.0, 0.5, 2.0)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05
    median = generator.sample(3, torch.Generator().manual_seed(1), truncation=0.0)
    torch.testing.assert_close(median, median[:1].expand(3, -1))
    assert float(median[0, 1]) == pytest.approx(float(np.median(codes[:, 1])), abs=0.05)


def test_before_it_is_fitted_the_prior_is_normal():
    drawn = LORD(3, (3, 16, 16), width=0.25).sample(20_000, torch.Generator().manual_seed(0))
    assert stats.kstest(drawn[:, 0].numpy(), "norm").statistic < 0.02


@pytest.mark.parametrize(("side", "blocks"), [(16, 2), (28, 2), (32, 3), (64, 4)])
def test_the_decoder_reaches_every_usual_size(side, blocks):
    generator = LORD(4, (1, side, side))
    assert len(generator.blocks) == blocks
    assert generator(torch.zeros(2, 4)).shape == (2, 1, side, side)


def test_the_benchmark_decoder_has_the_published_size():
    """FC 10→256→1024, transposed conv4s 64→64→32→32→3 with biases."""
    parameters = sum(p.numel() for p in LORD(10, (3, 64, 64)).parameters())
    linear = 11 * 256 + 257 * 1024
    convolutions = sum(16 * i * o + o for i, o in ((64, 64), (64, 32), (32, 32), (32, 3)))
    assert parameters == linear + convolutions


def test_the_style_decoder_reads_codes_in_every_layer():
    generator = LORD(6, (3, 16, 16), "style", width=0.05)
    latent = torch.randn(2, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    images = generator(latent)
    assert images.shape == (2, 3, 16, 16)
    images.square().sum().backward()
    assert (latent.grad != 0).all()
    with pytest.raises(ValueError, match="square images"):
        LORD(6, (3, 16, 32), "style")
    with pytest.raises(ValueError, match="unknown decoder 'styles'; did you mean 'style'"):
        LORD(6, (3, 16, 16), "styles")
