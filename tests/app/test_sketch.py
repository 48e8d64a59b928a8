"""A small picture read off a layer: right where the layer tells it, none where it does not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contrafact.app.sketch import EXPLAINED, Sketch
from contrafact.generators.checkpoints import load_generator
from contrafact.generators.prog_gan import ProgGAN
from contrafact.generators.stylegan3 import StyleGAN3
from tests.app.talking import Slow


def test_a_readout_is_the_least_squares_solution():
    """Against numpy's, on the same pixels, of a generator whose layer tells most of its pictures and not all."""
    generator = load_generator("shapes3d-vae")
    sketch = Sketch.learned(generator)
    (readout,) = sketch.readouts
    assert (readout.side, generator.image_shape[1]) == (16, 32)
    assert EXPLAINED <= readout.explained < 1
    latents = generator.sample(32, seed=0)
    maps = generator.features(latents, readout.layer).permute(0, 2, 3, 1).numpy().astype(np.float64)
    images = generator(latents).clamp(0, 1)
    wanted = F.avg_pool2d(images, 2).permute(0, 2, 3, 1).numpy()
    design = np.concatenate([maps, np.ones_like(maps[..., :1])], axis=-1)
    weight = np.linalg.lstsq(design[:24].reshape(-1, design.shape[-1]), wanted[:24].reshape(-1, 3), rcond=None)[0]
    guess = design[24:] @ weight
    explained = 1 - ((guess - wanted[24:]) ** 2).sum() / ((wanted[24:] - wanted[24:].mean((0, 1, 2))) ** 2).sum()
    assert readout.explained == pytest.approx(explained, abs=0.03)
    pictures = sketch(generator, latents[24:], 16).permute(0, 2, 3, 1).numpy()
    assert np.sqrt(((pictures - guess) ** 2).mean()) < 0.03


def test_a_layer_that_tells_nothing_of_the_picture_is_not_used():
    class Mute(Slow):
        def features(self, latent, layer):
            return torch.ones(len(latent), 5, 20, 20)

    assert Sketch.learned(Mute(layered=True)) is None
    assert Sketch.learned(Slow(layered=False)) is None
    broken = Slow(layered=True)
    broken.features = lambda latent, layer: torch.full((len(latent), 5, 20, 20), torch.nan)
    assert Sketch.learned(broken) is None, "no numbers tell nothing, and stop nobody"
    assert Sketch.learned(Slow(layered=True)).readouts[0].explained > 0.95


def test_layers_are_those_of_a_side_that_helps_without_their_margin():
    torch.manual_seed(0)
    grown = ProgGAN(8, [8, 8, 8, 8, 8]).freeze()  # 64 pixels
    sketch = Sketch.learned(grown)
    sides = [] if sketch is None else [readout.side for readout in sketch.readouts]
    assert set(sides) <= {16, 32}
    from contrafact.app import sketch as module

    assert module._layers(grown, grown.sample(1, seed=0)) == ["convs.5", "convs.7"]
    aliased = StyleGAN3(64, 8, channels=[8] * 6, bands=6).freeze()
    found = module._layers(aliased, aliased.sample(1, seed=0))
    assert aliased.feature_margin == 10
    assert [name.split("_")[1] for name in found] == ["36", "52"], "16 and 32 pixels, and ten around them"
