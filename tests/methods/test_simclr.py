"""SimCLR learns what views share, and refuses what cannot be contrasted."""

import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.losses.contrastive import unit
from contrafact.methods.simclr import SimCLR

from ..training.toy_images import ToyImages


def fit(folder, **settings):
    small = {"encoder": "resnet18", "width": 0.1, "batch_size": 16, "warmup_steps": 2, "steps": 3}
    run = Run(folder, device="cpu", precision="float32", progress=False, log_every=1)
    SimCLR(**{**small, **settings}).fit(ToyImages(), run)
    return load_run(folder)


def test_views_of_an_image_come_together_and_images_apart(tmp_path):
    run = fit(tmp_path, steps=40, augmentations="crop")
    assert run.log[-1]["loss"] < run.log[0]["loss"] - 0.3
    codes = run.encoder(ToyImages().batch(range(60)))
    z = unit(run.encoder.represent(codes, "z"))
    labels = torch.from_numpy(ToyImages().labels)
    same = labels[:, None] == labels[None]
    cosine = z @ z.T
    assert cosine[same & ~torch.eye(60, dtype=torch.bool)].mean() > cosine[~same].mean() + 0.3


def test_the_codes_are_the_networks_features_and_z_its_head(tmp_path):
    encoder = fit(tmp_path, head_layers=2, feature_dim=9, head_norm=False).encoder
    assert encoder.code_dim == 8 * 8
    codes = torch.rand(4, encoder.code_dim)
    first, _, second = encoder.heads[0].layers
    torch.testing.assert_close(encoder.represent(codes, "z"), second(first(codes).relu()))
    with pytest.raises(ValueError, match="this ProjectedEncoder has no representation 'y'; it has z"):
        encoder.represent(codes, "y")


def test_lars_learns_too_and_goes_on_from_a_checkpoint(tmp_path):
    run = fit(tmp_path, steps=30, augmentations="crop", optimizer="lars", learning_rate=30.0)
    assert run.log[-1]["loss"] < run.log[0]["loss"] - 0.1
    assert SimCLR.preset("paper").optimizer == "lars"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature must be above 0, got -1.0"),
        ({"batch_size": 1}, "a batch of one image has no negatives; batch_size must be at least 2"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"width": 0.0}, "width must be above 0, got 0.0"),
        ({"head_layers": 0}, "layers must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **settings)
