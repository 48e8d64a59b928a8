"""CD-GAN's contrast against brute-force loops, what it may see of the labels, and its input checks."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from contrafact.core.artefact import fingerprint
from contrafact.core.dataset import FewLabels
from contrafact.core.method import load_run
from contrafact.core.run import Run, RunInterrupted
from contrafact.methods.cd_gan import CDGAN, RealImages
from contrafact.training.image_pool import ImagePool
from contrafact.training.views import Views, ViewSettings

from .labelled import Stripes

SMALL = CDGAN(
    width=0.1, steps=4, batch_size=6, encoder_batch=6, noise_dim=3, class_dim=4, anchors_per_class=2, unlabelled=12,
    confidence=0.0, start_unlabelled=0.0, augmentation="weak", average=0.5,
)  # fmt: skip


def fit(method, folder, source, **options):
    run = Run(folder, device="cpu", precision="float32", progress=False, log_every=2, **options)
    return method.fit(source, run)


def loop(features, labels, temperature, reading):
    """The contrast written out: every image against all others; same class is positive (Eqs 3, 7; SupCon 2, 3)."""
    total, count = 0.0, 0
    for i in range(len(features)):
        odds = [math.exp(float(features[i] @ features[k]) / temperature) for k in range(len(features))]
        everything = sum(odds[k] for k in range(len(features)) if k != i)
        positives = [odds[k] for k in range(len(features)) if k != i and labels[k] == labels[i]]
        if not positives:
            continue
        if reading == "inside":
            total -= math.log(sum(positives) / everything)
        else:
            total -= sum(math.log(p / everything) for p in positives) / len(positives)
        count += 1
    return total / count


@pytest.mark.parametrize("reading", ["inside", "outside"])
@pytest.mark.parametrize("with_anchors", [True, False])
def test_the_contrast_matches_a_loop(reading, with_anchors):
    torch.manual_seed(0)
    generated, real = F.normalize(torch.randn(9, 5), dim=1), F.normalize(torch.randn(6, 5), dim=1)
    drawn, labels = torch.arange(9) % 3, torch.arange(6) // 2
    method = dataclasses.replace(SMALL, reading=reading, temperature=0.3)
    if with_anchors:
        found = method.contrast([generated, real], [drawn, labels])
        expected = loop(torch.cat([generated, real]), torch.cat([drawn, labels]), 0.3, reading)
    else:
        found = method.contrast([generated], [drawn])
        expected = loop(generated, drawn, 0.3, reading)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_its_weight_there_is_no_contrast():
    features = F.normalize(torch.randn(4, 3), dim=1)
    assert float(dataclasses.replace(SMALL, contrast_weight=0.0).contrast([features], [torch.arange(4) % 2])) == 0


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_it_reads_no_label_but_the_few(tmp_path):
    """All other labels poisoned: the run is the same to the last bit."""
    first = fit(SMALL, tmp_path / "a", Stripes(labels=12))
    second = fit(SMALL, tmp_path / "b", Stripes(labels=12, poisoned=True))
    assert fingerprint(first.encoder) == fingerprint(second.encoder)
    assert fingerprint(first.generator) == fingerprint(second.generator)
    other = fit(SMALL, tmp_path / "c", Stripes(labels=12, label_seed=1))
    assert fingerprint(first.encoder) != fingerprint(other.encoder)


def stopped_and_resumed(method, folder, labels, monkeypatch):
    """A run that is stopped after its second step and goes on."""
    turns = []

    def interrupted(self, step, original=RealImages.all):
        turns.append(step)
        if len(turns) == 2:
            stopped._stop_signal = 2
        return original(self, step)

    stopped = Run(folder, device="cpu", precision="float32", progress=False, log_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(RealImages, "all", interrupted)
        with pytest.raises(RunInterrupted, match="stopped after step 2 of 4"):
            method.fit(Stripes(labels=labels), stopped)
    return fit(method, folder, Stripes(labels=labels), resume=True)


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    whole = fit(SMALL, tmp_path / "whole", Stripes(labels=12))
    resumed = stopped_and_resumed(SMALL, tmp_path / "run", 12, monkeypatch)
    assert fingerprint(resumed.encoder) == fingerprint(whole.encoder)
    assert fingerprint(resumed.generator) == fingerprint(whole.generator)


@pytest.mark.filterwarnings("ignore:mode collapse", "ignore:z is not read")
@pytest.mark.parametrize("labels", [None, 12])
def test_a_centred_encoder_trains_with_and_without_labels_and_resumes(tmp_path, monkeypatch, labels):
    method = dataclasses.replace(SMALL, centred=True, encoder_rate=1e-3)
    whole = fit(method, tmp_path / "whole", Stripes(labels=labels))
    plain = fit(dataclasses.replace(method, centred=False), tmp_path / "plain", Stripes(labels=labels))
    assert fingerprint(whole.encoder) != fingerprint(plain.encoder)
    resumed = stopped_and_resumed(method, tmp_path / "run", labels, monkeypatch)
    assert fingerprint(resumed.encoder) == fingerprint(whole.encoder)
    assert fingerprint(load_run(tmp_path / "run").encoder) == fingerprint(resumed.encoder)


@pytest.mark.filterwarnings("ignore:mode collapse", "ignore:z is not read")
def test_without_labels_the_contrast_starts_on_its_plateau_unless_centred(tmp_path):
    started = {}
    for centred in (False, True):
        method = dataclasses.replace(
            SMALL, centred=centred, steps=1, class_dim=50, batch_size=64, width=0.25, reading="outside"
        )
        run = Run(tmp_path / str(centred), device="cpu", precision="float32", progress=False, log_every=1)
        method.fit(Stripes(), run)
        started[centred] = run.last_line["contrast"]
    assert abs(started[False] - math.log(63)) < 0.01  # all features alike: each of the 63 others is as likely
    assert abs(started[True] - math.log(63)) > 0.2


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_it_learns_from_labels_and_the_knob_follows_them(tmp_path):
    method = dataclasses.replace(
        SMALL, steps=250, batch_size=16, encoder_batch=12, encoder_rate=3e-3, learning_rate=2e-3, contrast_weight=5.0,
        content_weight=0.1, confidence=0.5,
    )  # fmt: skip
    source = Stripes(labels=24)
    learned = fit(method, tmp_path, source)
    codes = learned.encoder(source.batch(np.arange(240)).clamp(0, 1))[:, :4]
    centres = torch.stack([codes[torch.from_numpy(source.labels == k)].mean(dim=0) for k in range(3)])
    right = (codes @ centres.T).argmax(dim=1).numpy() == source.labels
    assert right.mean() > 0.9
    # After so few steps the third value may lag behind: whether it does differs between processors and threads.
    assert load_run(tmp_path).generator.note["class_coverage"] > 0.6


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_the_ablation_runs_without_class_loss(tmp_path):
    method = dataclasses.replace(SMALL, contrast_weight=0.0)
    fit(method, tmp_path, Stripes())
    assert all(line["contrast"] == 0 for line in load_run(tmp_path).log)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, r"batch_size must be at least the number of classes \(3\)"),
        ({"encoder_batch": 2}, r"encoder_batch must be at least the number of classes \(3\)"),
        ({"critic_steps": 0}, "critic_steps must be a whole number of at least 1, got 0"),
        ({"anchors_per_class": 0}, "anchors_per_class must be a whole number of at least 1, got 0"),
        ({"num_classes": 5}, "the labels have 3 classes, but num_classes is 5"),
        ({"unlabelled": -1}, "unlabelled must be a whole number of at least 0"),
        ({"confidence": 2.0}, r"confidence must lie in \[0, 1\], got 2.0"),
        ({"average": 1.0}, r"must lie in \[0, 1\), got 1.0"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"network": "sngan", "width": 0.0}, "width must be above 0"),
        ({"reading": "insid"}, "unknown reading 'insid'; did you mean 'inside'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(dataclasses.replace(SMALL, **changes), tmp_path, Stripes(labels=12))


def test_one_class_and_too_few_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a class knob needs at least 2 classes to tell apart, got 1"):
        fit(SMALL, tmp_path / "one", Stripes(classes=1))
    with pytest.raises(ValueError, match="2 labels are fewer than the 3 values of 'class' in stripes"):
        Stripes(labels=2)
    source = Stripes()
    source.few_labels = FewLabels(np.array([0, 1, 3]), np.array([[0], [1], [0]]), ("class",), (3,))
    with pytest.raises(ValueError, match="no image of class 2 is labelled; give at least one label per class"):
        fit(SMALL, tmp_path / "missing", source)


def test_nothing_to_contrast_is_refused(tmp_path):
    with pytest.raises(ValueError, match="without labels only generated images can be contrasted; give labels"):
        fit(dataclasses.replace(SMALL, generated_contrast=False), tmp_path, Stripes())


def test_images_of_a_size_the_network_cannot_make_are_refused(tmp_path):
    source = Stripes(labels=12)
    source.image_shape = (1, 20, 20)
    with pytest.raises(ValueError, match=r"the sngan network makes square images of 8, 16, 32 or 64 pixels, got 20×20"):
        fit(dataclasses.replace(SMALL, network="sngan"), tmp_path, source)


def test_crops_of_generated_images_join_the_contrast_without_gradient(tmp_path):
    """The later program's second view of each generated image: same class, cropped, detached."""
    method = dataclasses.replace(SMALL, crops=True)
    made = torch.rand(3, 1, 28, 28, requires_grad=True)
    own, real, named = torch.tensor([0, 1, 2]), torch.rand(2, 1, 28, 28), torch.tensor([1, 0])
    shown, labels = method.with_crops(made, own, real, named, torch.Generator().manual_seed(0))
    assert labels.tolist() == [0, 1, 2, 1, 0]
    assert torch.equal(shown[3:], real)
    assert not shown.requires_grad
    again = Views(("crop",), ViewSettings(crop_scale=(0.8, 1.0)))(made.detach(), torch.Generator().manual_seed(0))
    assert torch.equal(shown[:3], again)
    plain = dataclasses.replace(SMALL, crops=False)
    assert plain.with_crops(made, own, real, named, torch.Generator())[0] is real
    run = fit(method, tmp_path, Stripes(labels=6))
    assert math.isfinite(run.log[-1]["contrast"])


def test_the_critic_has_a_batch_of_its_own(tmp_path, monkeypatch):
    """Section 5.2, CIFAR-10: 128 images for the generator, 64 for the critic, 256 for the encoder."""
    assert (CDGAN.preset("cifar10").batch_size, CDGAN.preset("cifar10").critic_batch) == (128, 64)
    seen = []
    draw = ImagePool.random_batch
    monkeypatch.setattr(ImagePool, "random_batch", lambda pool, n, rng: seen.append(n) or draw(pool, n, rng))
    fit(dataclasses.replace(SMALL, critic_batch=5, unlabelled=0), tmp_path, Stripes(labels=6))
    assert seen[:4] == [5] * 4


def test_the_tiny_preset_has_an_image_of_each_class_of_the_data_that_tables_are_of():
    """Fashion-MNIST's ten, which a smoke table takes wherever it is at hand."""
    assert CDGAN.preset("tiny").encoder_batch >= 10


def test_weight_decay_is_of_generator_and_encoder_alone(tmp_path):
    decays = {}

    def note(optimizer, *_):
        decays[id(optimizer)] = optimizer.param_groups[0]["weight_decay"]

    hook = register_optimizer_step_pre_hook(note)
    try:
        fit(dataclasses.replace(SMALL, steps=1, weight_decay=0.5), tmp_path / "decayed", Stripes(labels=6))
        assert sorted(decays.values()) == [0.0, 0.5, 0.5]  # the critic's, generator's and encoder's
        decays.clear()
        fit(dataclasses.replace(SMALL, steps=1), tmp_path / "plain", Stripes(labels=6))
        assert set(decays.values()) == {0.0}
    finally:
        hook.remove()
