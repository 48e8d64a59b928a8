"""Training SNGAN: it learns, its statistics are those of its weights, it goes on exactly, and says what is wrong."""

import dataclasses

import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.generators import SNGAN as Generator
from contrafact.losses import adversarial
from contrafact.methods.sngan import SNGAN, _channels, _measure_statistics
from tests.methods.gan_images import Halves, distance_and_left

SMALL = SNGAN(
    latent_dim=8, width=0.06, steps=150, batch_size=16, generator_batch_size=16, discriminator_steps=1,
    learning_rate=2e-3, ema=0.9,
)  # fmt: skip
TINY = dataclasses.replace(SMALL, width=0.02, steps=12, batch_size=4, generator_batch_size=4)


def test_learns_images(tmp_path):
    learned = SMALL.fit(Halves(), Run(tmp_path, precision="float32", progress=False)).generator
    assert isinstance(learned, Generator)
    distance, left = distance_and_left(learned)
    assert distance < 0.18
    assert 0.1 < left < 0.9  # both halves
    assert learned.note["images_seen"] == 2400
    assert distance_and_left(Generator(8, [4, 4], 1).freeze())[0] > 0.25


def test_statistics_are_those_of_the_final_weights():
    torch.manual_seed(0)
    generator = Generator(3, [4, 4], 1)
    with torch.no_grad():
        for _ in range(3):
            generator(torch.randn(8, 3))
    _measure_statistics(generator, 64, torch.Generator().manual_seed(0))
    assert not generator.training
    with torch.no_grad():
        x = generator.dense(torch.randn(20_000, 3)).unflatten(1, (4, 4, 4))
    norm = generator.blocks[0].norm1
    torch.testing.assert_close(norm.running_mean, x.mean(dim=(0, 2, 3)), atol=0.02, rtol=0.05)
    torch.testing.assert_close(norm.running_var, x.var(dim=(0, 2, 3)), atol=0.02, rtol=0.05)


def test_goes_on_bit_by_bit(tmp_path):
    class Cut(Run):
        def _flush_log(self, done):
            if done == 8:
                raise SystemError("the machine went down")
            return super()._flush_log(done)

    whole = TINY.fit(Halves(), Run(tmp_path / "whole", progress=False, log_every=4))
    with pytest.raises(SystemError):
        TINY.fit(Halves(), Cut(tmp_path / "cut", progress=False, log_every=4, save_every=0))
    again = TINY.fit(Halves(), Run(tmp_path / "cut", progress=False, log_every=4, resume=True))
    assert fingerprint(again.generator) == fingerprint(whole.generator)


def test_without_an_average_the_last_weights_are_kept(tmp_path):
    first = dataclasses.replace(TINY, ema=0.0, steps=6, decay=False)
    last = first.fit(Halves(), Run(tmp_path / "a", progress=False)).generator
    averaged = dataclasses.replace(first, ema=0.9).fit(Halves(), Run(tmp_path / "b", progress=False)).generator
    assert not torch.allclose(last.dense.weight, averaged.dense.weight)


@pytest.mark.parametrize(
    ("side", "growing", "shrinking", "halvings"),
    [
        (8, [256] * 2, [128] * 4, 1),
        (32, [256] * 4, [128] * 4, 2),
        (64, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], 5),
        (128, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], 5),
    ],
)
def test_sizes_have_the_published_channels(side, growing, shrinking, halvings):
    assert _channels(Halves(side), 1.0) == (growing, shrinking, halvings)


def test_warns_of_a_collapse(tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "trouble", lambda line: "the generator has collapsed" if line else None)
    with pytest.warns(UserWarning, match="the generator has collapsed"):
        TINY.fit(Halves(), Run(tmp_path, progress=False, log_every=4))


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (Halves(12), {}, r"square images of 8, 16, 32, … pixels, got 12×12; load them with another --size"),
        (Halves(), {"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
        (Halves(), {"width": 0.0}, "width must be above 0"),
        (Halves(), {"discriminator_steps": 0}, "discriminator_steps must be a whole number of at least 1"),
        (Halves(), {"generator_batch_size": 0}, "generator_batch_size must be a whole number"),
        (Halves(), {"latent_dim": 0}, "latent_dim"),
    ],
)
def test_bad_settings(data, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **settings).fit(data, Run(tmp_path / "run", progress=False))
