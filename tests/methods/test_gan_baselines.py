"""The baselines' losses against loops, what their priors draw, and the warnings of games that go wrong."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.generators.class_knob import ClassKnob
from contrafact.losses.adversarial import information_loss
from contrafact.methods._gan import Game, probe_classes
from contrafact.methods.cluster_gan import ClusterGAN, inversion_loss
from contrafact.methods.gan_features import GANFeatures
from contrafact.methods.gan_inversion import GANInversion, InversionEncoder
from contrafact.methods.infogan import InfoGAN
from contrafact.methods.infogan_cr import InfoGANCR, draw_pairs
from contrafact.methods.wgan_gp import WGANGP
from contrafact.nn.critics import ClassEncoder
from contrafact.training.image_pool import ImagePool

from .labelled import Stripes

TINY = {"width": 0.1, "steps": 2, "batch_size": 4, "noise_dim": 3}


def quiet(folder):
    return Run(folder, device="cpu", precision="float32", progress=False)


def log_softmax(row):
    top = max(row)
    return [v - top - math.log(sum(math.exp(u - top) for u in row)) for v in row]


def test_information_matches_a_loop():
    torch.manual_seed(0)
    logits, classes, means, codes = (
        torch.randn(5, 3),
        torch.tensor([0, 2, 1, 1, 0]),
        torch.randn(5, 2),
        torch.rand(5, 2),
    )
    of_class, of_codes = information_loss(logits, classes, means, codes)
    expected = -sum(log_softmax(logits[n].tolist())[classes[n]] for n in range(5)) / 5
    assert float(of_class) == pytest.approx(expected, rel=1e-5)
    squares = sum(0.5 * float(means[n, j] - codes[n, j]) ** 2 for n in range(5) for j in range(2)) / 5
    assert float(of_codes) == pytest.approx(squares, rel=1e-5)


def test_information_bounds_the_gaussian_log_likelihood():
    """Half the squared error is −log N(c; m, 1) up to its constant."""
    means, codes = torch.randn(6, 2), torch.randn(6, 2)
    likelihood = torch.distributions.Normal(means, 1.0).log_prob(codes).sum(dim=1).mean()
    found = information_loss(torch.zeros(6, 2), torch.zeros(6, dtype=torch.long), means, codes)[1]
    assert float(found) == pytest.approx(float(-likelihood) - math.log(2 * math.pi), rel=1e-5)


def test_inversion_matches_a_loop():
    torch.manual_seed(0)
    noise, true, logits, classes = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    of_noise, of_class = inversion_loss(noise, true, logits, classes)
    squares = [float(noise[n, j] - true[n, j]) ** 2 for n in range(4) for j in range(3)]
    assert float(of_noise) == pytest.approx(sum(squares) / 12, rel=1e-5)
    entropy = -sum(log_softmax(logits[n].tolist())[classes[n]] for n in range(4)) / 4
    assert float(of_class) == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize("gap", [0.0, 0.7, 1.9])
def test_pairs_share_one_factor_and_differ_in_the_others(gap):
    generator, codes = ClassKnob("dcgan", {"image_shape": [1, 16, 16], "width": 0.1}, 3, 2, 4), slice(3, 5)
    first, second, shared = draw_pairs(generator, 4000, gap, codes, torch.Generator().manual_seed(0))
    difference = (first[:, codes] - second[:, codes]).abs()
    for code in range(2):
        is_shared = shared == code
        assert not difference[is_shared, code].any()
        assert difference[~is_shared, code].min() >= gap - 1e-5
        assert first[:, 3 + code].abs().max() <= 1
    same_class = generator.classes_of(first) == generator.classes_of(second)
    assert torch.equal(same_class, shared == 2)
    assert torch.equal(second[:, 5:].sum(dim=1), torch.ones(4000))
    assert set(shared.tolist()) == {0, 1, 2}
    if gap == 0.0:
        # Two independent uniform draws on [-1, 1] are 2/3 apart on average.
        assert float(difference[shared != 0, 0].mean()) == pytest.approx(2 / 3, abs=0.03)


def test_the_prior_is_what_the_papers_draw():
    knob = ClassKnob("dcgan", {"image_shape": [1, 16, 16], "width": 0.1}, 4, 2, 5, sigma=0.1)
    latent = knob.sample(20_000, torch.Generator().manual_seed(0))
    assert float(latent[:, :4].std()) == pytest.approx(0.1, rel=0.02)
    uniform = latent[:, 4:6]
    assert float(uniform.min()) >= -1
    assert float(uniform.max()) <= 1
    assert float(uniform.var()) == pytest.approx(1 / 3, rel=0.02)
    shares = latent[:, 6:].mean(dim=0)
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="sigma is the noise's standard deviation and must be positive, got 0"):
        ClassKnob("dcgan", {"image_shape": [1, 16, 16]}, 4, sigma=0)
    with pytest.raises(ValueError, match="class_count 0 or at least 2, got 0 and 1"):
        ClassKnob("dcgan", {"image_shape": [1, 16, 16]}, 4, class_count=1)
    with pytest.raises(ValueError, match=r"classes must be \(N,\) from 0 to 4, got \[5\]"):
        knob.latents_of_class(torch.tensor([5]), torch.Generator())
    plain = ClassKnob("dcgan", {"image_shape": [1, 16, 16]}, 4)
    with pytest.raises(ValueError, match="this ClassKnob has no class knob in its latent"):
        plain.latents_of_class(torch.tensor([0]), torch.Generator())


def test_inversion_finds_the_class_of_the_generators_own_images():
    torch.manual_seed(0)
    knob = ClassKnob("dcgan", {"image_shape": [1, 16, 16], "width": 0.2}, 2, 0, 3)
    for module in knob.modules():  # untrained weights of 0.02 make almost no picture
        if hasattr(module, "weight") and module.weight is not None and module.weight.ndim > 1:
            module.weight.data.mul_(8)
    knob.freeze()
    encoder = InversionEncoder(knob.arguments(), steps=60, rate=0.1)
    encoder.generator.load_state_dict(knob.state_dict())
    classes = torch.arange(6) % 3
    latent = knob.latents_of_class(classes, torch.Generator().manual_seed(1))
    codes = encoder.encode(knob(latent))
    assert codes[:, :3].argmax(dim=1).tolist() == classes.tolist()
    torch.testing.assert_close(codes[:, 3:], latent[:, :2], atol=0.2, rtol=0)


@pytest.mark.filterwarnings("ignore:mode collapse")
@pytest.mark.parametrize("method", [InfoGAN, InfoGANCR, ClusterGAN, GANFeatures, GANInversion, WGANGP])
def test_no_critic_step_and_too_small_batches_are_refused(method, tmp_path):
    with pytest.raises(ValueError, match="critic_steps must be a whole number of at least 1, got 0"):
        method(**TINY, critic_steps=0).fit(Stripes(), quiet(tmp_path / "a"))
    if method is not WGANGP:
        with pytest.raises(ValueError, match=r"batch_size must be at least the number of classes \(3\)"):
            method(**(TINY | {"batch_size": 2})).fit(Stripes(), quiet(tmp_path / "b"))


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_hinge_with_shared_spectral_trunk_can_be_stored(tmp_path):
    method = InfoGAN(**TINY, network="sngan", adversary="hinge")
    learned = method.fit(Stripes(), quiet(tmp_path))
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(load_run(tmp_path).encoder(images), learned.encoder(images))


@pytest.mark.parametrize(("field", "value"), [("gap", 2.0), ("gap_until", 1.0)])
def test_schedules_that_cannot_be_are_refused(field, value, tmp_path):
    with pytest.raises(ValueError, match=rf"{field} must lie in [\[(]0, [12]\), got {value}"):
        InfoGANCR(**TINY, **{field: value}).fit(Stripes(), quiet(tmp_path))


def test_a_critic_that_runs_away_is_noticed_once(tmp_path):
    run = quiet(tmp_path)
    game = Game(WGANGP(**TINY), Stripes(), run)
    run.last_line = {"score_real": 4.0, "gradient_excess": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        game.watch()
    run.last_line = {"score_real": -5e6, "gradient_excess": 0.1}
    with pytest.warns(UserWarning, match=r"the critic is diverging \(scores up to 5e\+06.*try a lower learning_rate"):
        game.watch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        game.watch()


class Painter(ClassKnob):
    """A generator whose classes are grey levels, with noise on top."""

    levels = (0.1, 0.5, 0.9)
    noise = 0.2

    def forward(self, latent):
        level = latent[:, 3:6] @ torch.tensor(self.levels)
        grain = torch.sin(latent[:, :1] * torch.arange(1, 257) + latent[:, 1:2]) * self.noise
        return (level[:, None] + grain).view(-1, 1, 16, 16)


class Eye(ClassEncoder):
    """Sees the mean grey level."""

    def encode(self, images):
        return images.mean(dim=(1, 2, 3))[:, None].expand(-1, self.code_dim)


def probe(tmp_path, **changes):
    painter = Painter("dcgan", {"image_shape": [1, 16, 16], "width": 0.1}, 3, 0, 3)
    for name, value in changes.items():
        setattr(painter, name, value)
    source, run = Stripes(), quiet(tmp_path)
    return probe_classes(painter, Eye((1, 16, 16), 1, width=0.1).eval(), ImagePool(source, run.device), run)


def test_a_healthy_knob_raises_no_alarm(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note = probe(tmp_path)
    assert note["class_coverage"] == 1.0
    assert 0.35 < note["class_spread"] < 0.7


def test_classes_that_look_alike_are_named(tmp_path):
    with pytest.warns(UserWarning, match=r"mode collapse: values .* like other values' ones .*; try more steps"):
        note = probe(tmp_path, levels=(0.1, 0.9, 0.9))
    assert note["class_coverage"] < 1


def test_classes_of_one_image_each_are_named(tmp_path):
    with pytest.warns(UserWarning, match="mode collapse: values 0, 1, 2 .* make nearly one image each; try a smaller"):
        assert probe(tmp_path, noise=0.001)["class_coverage"] == 1.0


class Reader(Eye):
    """Also claims to read z: from the first grey level's grain where ``sees``, else nothing of it."""

    sees = 1.0

    def encode(self, images):
        level = images.mean(dim=(1, 2, 3))[:, None]
        return torch.cat([level, self.sees * REAL_Z[: len(images)]], dim=1)


REAL_Z = torch.zeros(0)


def test_a_reader_that_tells_nothing_of_z_is_named_although_every_class_is_covered(tmp_path, monkeypatch):
    painter = Painter("dcgan", {"image_shape": [1, 16, 16], "width": 0.1}, 3, 0, 3)
    painter.noise = 0.001
    source, run = Stripes(), quiet(tmp_path)
    reader = Reader((1, 16, 16), 1, 3, width=0.1).eval()
    classes = torch.arange(3).repeat_interleave(128)
    true = painter.latents_of_class(classes, quiet(tmp_path / "again").rng("probe", shared=True))[:, :3]
    monkeypatch.setitem(globals(), "REAL_Z", true)
    pool = ImagePool(source, run.device)

    def read(sees):
        monkeypatch.setattr(Reader, "sees", sees)
        return probe_classes(painter, reader, pool, quiet(tmp_path / f"run {sees}"))

    with pytest.warns(UserWarning, match="make nearly one image each"):
        assert read(1.0)["content_read"] == 1.0
    # Half of z read: a quarter of its variance is missed, plus what its mean adds.
    missed = float((0.25 * true.square()).sum() / (true - true.mean(dim=0)).square().sum())
    with pytest.warns(UserWarning, match="make nearly one image each"):
        assert read(0.5)["content_read"] == pytest.approx(1 - missed, abs=1e-3)
    said = r"z is not read: the encoder tells 0.000 of its variance .*images of 3 of 3 positions are nearly the same"
    with pytest.warns(UserWarning, match=said):
        note = read(0.0)
    assert note["content_read"] == 0.0
    assert note["class_coverage"] == 1.0


def test_batches_are_the_datasets_images(tmp_path):
    source = Stripes()
    pool, far = ImagePool(source, torch.device("cpu")), ImagePool(source, torch.device("cpu"), limit_bytes=10)
    assert len(pool) == 240
    torch.testing.assert_close(pool.batch(np.arange(5)), source.batch(np.arange(5)), atol=1 / 500, rtol=0)
    assert torch.equal(far.batch(np.arange(5)), source.batch(np.arange(5)))
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 240\)"):
        pool.batch(np.array([240]))


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="unknown network 'dcgen'; did you mean 'dcgan'"):
        dataclasses.replace(WGANGP(), network="dcgen")


@pytest.mark.parametrize("hidden", [0, 6])
def test_q_has_a_layer_of_its_own_on_the_critics_features(hidden, tmp_path):
    """openai/InfoGAN, regularized_gan.py: a fully connected layer with batch norm and leaky ReLU, then the codes."""
    method = InfoGAN(**TINY, q_hidden=hidden, critic_rate=1e-3)
    run = method.fit(Stripes(), quiet(tmp_path))
    own = [type(layer).__name__ for layer in run.encoder.body][1:]
    assert own == (["Linear", "BatchNorm1d", "LeakyReLU", "Linear"] if hidden else ["Linear"])
    images = Stripes().batch(range(3))
    torch.testing.assert_close(load_run(tmp_path).encoder(images), run.encoder(images))


def test_the_critic_and_q_may_learn_at_a_rate_of_their_own(tmp_path):
    rates = []
    for method in (InfoGAN(**TINY, critic_rate=2e-4), InfoGANCR(**TINY)):
        game = Game(method, Stripes(), quiet(tmp_path / str(len(rates))), 2, 3)
        rates.append([game.generator_optimizer.param_groups[0]["lr"], game.critic_optimizer.param_groups[0]["lr"]])
    assert rates == [[1e-4, 2e-4], [1e-4, 1e-4]]
