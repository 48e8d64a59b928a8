"""MoCo's step against a plain one: what follows, what is queued in which order, and where no gradient goes."""

import sys

import pytest
import torch
import torch.nn.functional as F

from contrafact.core.run import Run
from contrafact.methods.moco import MoCo, encode_shuffled
from contrafact.nn.projected import ProjectedEncoder
from contrafact.training.momentum import FeatureQueue, momentum_copy
from contrafact.training.views import Views

from ..training.toy_images import ToyImages


def fit(folder, **settings):
    small = {"encoder": "conv", "width": 0.1, "batch_size": 6, "steps": 4, "queue_length": 10, "feature_dim": 5}
    run = Run(folder, device="cpu", precision="float32", progress=False, log_every=1)
    return MoCo(**{**small, **settings}).fit(ToyImages(), run)


def test_training_is_a_plain_loop_with_a_list_for_a_queue(tmp_path, monkeypatch):
    """Steps rewritten from Algorithm 1 with the views and keys that the method made; weights and queue must agree."""
    module, seen = sys.modules["contrafact.methods.moco"], []
    queues = []

    class Watched(FeatureQueue):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            queues.append(self)
            self.start = self.features.clone()

    def watched_views(self, images, rng):
        seen.append(images.clone())
        return images

    copies = []

    def watched_copy(encoder):
        copies.extend([momentum_copy(encoder), momentum_copy(encoder).requires_grad_(True)])
        return momentum_copy(encoder)

    monkeypatch.setattr(module, "FeatureQueue", Watched)
    monkeypatch.setattr(module.Views, "__call__", watched_views)
    monkeypatch.setattr(module, "momentum_copy", watched_copy)
    learned = fit(tmp_path, momentum=0.7, learning_rate=20.0, schedule="steps", weight_decay=0.01)
    slow, fast = copies
    optimizer = torch.optim.SGD(fast.parameters(), lr=20.0 * 6 / 256, momentum=0.9, weight_decay=0.01)
    ring, place = list(queues[0].start), 0
    for step, images in enumerate(seen):
        for group in optimizer.param_groups:
            group["lr"] = 20.0 * 6 / 256 * (1.0 if step < 0.6 * 4 else 0.1 if step < 0.8 * 4 else 0.01)
        first, second = images.chunk(2)
        q = F.normalize(fast.project(fast.encode(first)), dim=1)
        with torch.no_grad():
            for theta_k, theta_q in zip(slow.parameters(), fast.parameters(), strict=True):
                theta_k.copy_(0.7 * theta_k + 0.3 * theta_q)
            k = F.normalize(slow.project(slow.encode(second)), dim=1)
        negatives = torch.stack(ring)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ negatives.T], dim=1) / 0.07
        loss = F.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for row in k:
            ring[place] = row
            place = (place + 1) % 10
    assert len(seen) == 4
    for name, parameter in learned.encoder.named_parameters():
        torch.testing.assert_close(parameter, fast.get_parameter(name), atol=2e-5, rtol=1e-3)
    torch.testing.assert_close(queues[0].features, torch.stack(ring), atol=1e-4, rtol=1e-3)
    assert int(queues[0].place) == 4 * 6 % 10


def test_shuffled_keys_come_back_in_order():
    torch.manual_seed(0)
    encoder = ProjectedEncoder("conv", (1, 16, 16), width=0.1, feature_dim=4)
    images = torch.rand(7, 1, 16, 16)
    whole = F.normalize(encoder.project(encoder.encode(images)), dim=1)
    keys = encode_shuffled(encoder, images, 3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(keys, whole, atol=1e-5, rtol=1e-4)
    assert not keys.requires_grad


def test_groups_have_batch_statistics_of_their_own():
    torch.manual_seed(0)
    encoder = ProjectedEncoder("resnet18", (1, 16, 16), width=0.1, feature_dim=4)
    images = torch.rand(8, 1, 16, 16)
    one = encode_shuffled(encoder, images, 1, torch.Generator().manual_seed(1))
    four = encode_shuffled(encoder, images, 4, torch.Generator().manual_seed(1))
    again = encode_shuffled(encoder, images, 100, torch.Generator().manual_seed(1))  # pairs at the least
    assert (one - four).abs().max() > 1e-3
    torch.testing.assert_close(four, again)


def test_the_second_version_turns_hues_less_and_not_in_every_view(tmp_path, monkeypatch):
    """main_moco.py of facebookresearch/moco (commit 3b42c2a): ColorJitter(0.4, 0.4, 0.4, 0.1) with p = 0.8, not 0.4."""
    seen, module = [], sys.modules["contrafact.methods.moco"]
    monkeypatch.setattr(module, "Views", lambda kinds, settings: seen.append(settings) or Views(kinds, settings))
    for jitter in ("v1", "v2"):
        fit(tmp_path / jitter, steps=1, jitter=jitter)
    assert [(s.hue, s.jitter_probability) for s in seen] == [(0.4, 1.0), (0.1, 0.8)]
    assert all((s.brightness, s.contrast, s.saturation, s.crop_scale) == (0.4, 0.4, 0.4, (0.2, 1.0)) for s in seen)
    assert MoCo.preset("v2").jitter == "v2"


def test_the_queue_may_be_any_length_from_the_batch_up(tmp_path):
    for length in (6, 7):
        fit(tmp_path / str(length), queue_length=length)
    with pytest.raises(
        ValueError, match=r"queue_length must be at least the batch, or new features would.* got 5 for a"
    ):
        fit(tmp_path / "short", queue_length=5)


def test_rates_fall_in_steps_or_along_a_cosine():
    steps = [MoCo(steps=10)._rate_factor(step) for step in range(10)]
    assert steps == pytest.approx([1] * 6 + [0.1] * 2 + [0.01] * 2)
    cosine = [MoCo(steps=10, schedule="cosine")._rate_factor(step) for step in (0, 5)]
    assert cosine == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"key_groups": 0}, "key_groups must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **settings)
