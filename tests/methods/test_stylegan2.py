"""Training StyleGAN2: it learns images and classes, goes on exactly, averages, and says what is wrong."""

import dataclasses

import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.generators import StyleGAN2 as Generator
from contrafact.generators.stylegan2 import channels_of
from contrafact.losses import adversarial
from contrafact.methods.stylegan2 import StyleGAN2
from tests.methods.gan_images import Halves, distance_and_left

SMALL = StyleGAN2(
    channel_base=128, max_channels=16, latent_dim=8, mapping_layers=2, batch_size=8, steps=240, learning_rate=0.006,
    r1_weight=0.1, path_every=8, ema_images=400.0,
)  # fmt: skip
TINY = dataclasses.replace(SMALL, channel_base=32, max_channels=4, steps=12, batch_size=4, r1_every=3, path_every=2)


def test_learns_images_and_classes(tmp_path):
    method = dataclasses.replace(SMALL, conditional=True, augment="ada", augment_images=20_000.0)
    learned = method.fit(Halves(), Run(tmp_path, precision="float32", progress=False)).generator
    assert isinstance(learned, Generator)
    assert learned.num_classes == 2
    assert learned.note["images_seen"] == 1920
    assert learned.note["trained_on"] == "halves"
    for label, left in ((0, 1.0), (1, 0.0)):
        distance, share = distance_and_left(learned, torch.full((200,), label))
        assert distance < 0.26  # 0.3 and more untrained
        assert share == pytest.approx(left, abs=0.3)  # chance is 0.5, and no two processors train alike
    untrained = Generator(8, 8, channels=[16, 16], mapping_layers=2, image_channels=1, classes=2).freeze()
    assert distance_and_left(untrained, torch.zeros(200, dtype=torch.long))[0] > 0.3


def test_goes_on_bit_by_bit(tmp_path):
    method = dataclasses.replace(TINY, augment="ada", augment_images=200.0, augment_target=-1.0)

    class Cut(Run):
        def _flush_log(self, done):
            if done == 8:
                raise SystemError("the machine went down")
            return super()._flush_log(done)

    whole = method.fit(Halves(), Run(tmp_path / "whole", progress=False, log_every=4))
    with pytest.raises(SystemError):
        method.fit(Halves(), Cut(tmp_path / "cut", progress=False, log_every=4, save_every=0))
    again = method.fit(Halves(), Run(tmp_path / "cut", progress=False, log_every=4, resume=True))
    assert fingerprint(again.generator) == fingerprint(whole.generator)
    # Augmentation was at work: its probability rises, as every sign is above −1.
    assert '"augment_probability": 0.1799' in (tmp_path / "whole" / "log.jsonl").read_text()


def test_the_average_forgets_half_in_its_half_life():
    method = dataclasses.replace(TINY, ema_images=40.0, batch_size=4)
    average, generator = (Generator(8, 4, channels=[2, 2], mapping_layers=1) for _ in range(2))
    run = Run("unused", progress=False)
    with torch.no_grad():
        for network, value in ((average, 1.0), (generator, 0.0)):
            for parameter in network.parameters():
                parameter.fill_(value)
    generator.w_avg.fill_(7.0)
    for step in range(10):
        method._average(average, generator, 4 * (step + 1), run)
    assert average.const.mean().item() == pytest.approx(0.5)
    assert torch.equal(average.w_avg, generator.w_avg)
    # With a ramp-up of one half, after 8 images the half-life is 4: one batch.
    method = dataclasses.replace(method, ema_rampup=0.5)
    method._average(average, generator, 8, run)
    assert average.const.mean().item() == pytest.approx(0.25)


def test_mixing_takes_coarse_layers_from_one_latent_and_fine_ones_from_another():
    generator = Generator(16, 4, channels=[2, 2, 2], mapping_layers=1)
    run = Run("unused", progress=False)
    mixed = dataclasses.replace(TINY, mixing=1.0)._latents(generator, 3, None, torch.Generator().manual_seed(0), run)
    assert mixed.shape == (3, 6, 4)
    changes = (mixed[:, 1:] != mixed[:, :-1]).any(dim=2)
    assert changes.sum(dim=1).tolist() == [1, 1, 1]
    plain = dataclasses.replace(TINY, mixing=0.0)._latents(generator, 3, None, torch.Generator().manual_seed(0), run)
    assert torch.equal(plain, plain[:, :1].expand(-1, 6, -1))
    # The same noise is mapped either way, and its mean has entered W's.
    assert torch.equal(plain[:, 0], mixed[:, 0])
    assert generator.w_avg.norm() > 0


def test_rates_make_up_for_the_regularisers():
    network = torch.nn.Linear(1, 1)
    lazy, plain = SMALL._adam(network, 4).param_groups[0], SMALL._adam(network, 0).param_groups[0]
    assert lazy["lr"] == pytest.approx(0.8 * 0.006)
    assert lazy["betas"] == (0.0, pytest.approx(0.99**0.8))
    assert (plain["lr"], plain["betas"]) == (0.006, (0.0, 0.99))


def test_warns_of_a_collapse(tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "trouble", lambda line: "the generator has collapsed" if line else None)
    with pytest.warns(UserWarning, match="the generator has collapsed"):
        TINY.fit(Halves(), Run(tmp_path, progress=False, log_every=4))


def test_presets_build_the_published_networks():
    for name, setting in (("paper", "config-f"), ("small", "small")):
        method = StyleGAN2.preset(name)
        counts = [min(method.channel_base // side, method.max_channels) for side in (4, 8, 16, 32, 64, 128, 256)]
        assert counts == channels_of(setting, 256)


class _Unlabelled(Halves):
    labels = None


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (Halves(12), {}, r"square images of 8, 16, 32, … pixels, got 12×12; load them with another --size"),
        (_Unlabelled(), {"conditional": True}, "needs class labels, and halves has none"),
        (Halves(), {"mixing": 1.5}, r"mixing must lie in \[0, 1\], got 1.5"),
        (Halves(), {"r1_weight": -1.0}, "r1_weight must be at least 0, got -1.0"),
        (Halves(), {"path_every": 0}, "path_every must be a whole number of at least 1"),
        (Halves(), {"ema_images": 0.0}, "ema_images must be above 0"),
        (Halves(), {"augment": "adda"}, "unknown augment 'adda'; did you mean 'ada'"),
        (Halves(), {"augment_probability": 2.0}, r"augment_probability must lie in \[0, 1\], got 2.0"),
        (Halves(channels=2), {"augment": "fixed", "augment_probability": 0.5}, "grey images and colour ones"),
        (Halves(), {"batch_size": 6}, "a batch of 6 images does not divide into groups of 4"),
    ],
)
def test_bad_settings(data, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **settings).fit(data, Run(tmp_path / "run", progress=False))
