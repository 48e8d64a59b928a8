"""EncDiff: its loss against the paper's, image by image; times, stages, what is left at the end."""

import math

import pytest
import torch

from contrafact.core.run import Run
from contrafact.methods.encdiff import EncDiff
from tests.methods.blobs import Blobs, check_resumes

SMALL = {
    "width": 0.125, "encoder_width": 0.1, "latent_dim": 3, "token_dim": 4, "batch_size": 4, "times": 20,
    "decode_steps": 2,
}  # fmt: skip


def small(**settings):
    return EncDiff.preset("quick", **{**SMALL, **settings})


def quiet(folder, **settings):
    return Run(folder, device="cpu", precision="float32", progress=False, **settings)


def loss_by_hand(method, training, images):
    """E ‖ε − ε_θ(x_t, t, τ(x₀))‖, the paper's Eq. 1, one image after the other; mean over images and numbers."""
    generator = training.generator
    alpha_bar, left = [], 1.0
    for t in range(method.times):
        root = math.sqrt(0.0015) + t / (method.times - 1) * (math.sqrt(0.0155) - math.sqrt(0.0015))
        left *= 1 - root**2
        alpha_bar.append(left)
    clean = generator.to_denoised(images)
    noise = torch.randn(clean.shape, generator=training.noise)
    times = method.draw_times(len(images), training.noise).tolist()
    tokens = generator.tokens(training.encoder.encode(images))  # one batch: its statistics are shared
    total = 0.0
    for x0, epsilon, t, token in zip(clean, noise, times, tokens, strict=True):
        xt = math.sqrt(alpha_bar[t]) * x0 + math.sqrt(1 - alpha_bar[t]) * epsilon
        said = generator.unet(xt[None], torch.tensor([t]), token[None])[0]
        wanted = epsilon if method.prediction == "epsilon" else x0
        off = (said - wanted).flatten()
        total += sum(abs(float(v)) if method.distance == "absolute" else float(v) ** 2 for v in off) / len(off)
    return total / len(images)


@pytest.mark.parametrize("settings", [{"prediction": "epsilon", "distance": "absolute"}, {}])
def test_the_loss_is_the_papers(settings, tmp_path, monkeypatch):
    method = small(**settings)
    by_hand = method.start(Blobs(), quiet(tmp_path / "a"), "attention", method.prediction, 2, method.times)
    torch.manual_seed(5)
    end = torch.randn_like(by_hand.generator.unet.end.weight) / 10  # a fresh U-Net says 0
    by_hand.generator.unet.end.weight.data.copy_(end)
    expected = loss_by_hand(method, by_hand, by_hand.batch())
    seen = []

    def note(self, loss, step):
        seen.append(loss.item())
        raise KeyboardInterrupt

    def with_end(self, *args):
        made = start(self, *args)
        made.generator.unet.end.weight.data.copy_(end)
        return made

    start = EncDiff.start
    monkeypatch.setattr("contrafact.methods._concept_tokens.TokenTraining.descend", note)
    monkeypatch.setattr(EncDiff, "start", with_end)
    with pytest.raises(KeyboardInterrupt):
        method.fit(Blobs(), quiet(tmp_path / "b"))
    assert seen[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("lateness", [1.0, 3.0])
def test_times_are_drawn_as_late_as_asked(lateness):
    times = small(lateness=lateness, times=1000).draw_times(20_000, torch.Generator().manual_seed(0))
    assert times.min() >= 0
    assert times.max() == 999
    for share in (0.3, 0.5, 0.8):  # P(t < share·T) = share^lateness, within five standard errors
        assert (times < 1000 * share).double().mean().item() == pytest.approx(share**lateness, abs=0.018)


def test_the_control_sees_no_image():
    """At the last time √ᾱ is 0.026: what the denoiser sees there is noise."""
    method = small(noised="fully", times=1000)
    assert set(method.draw_times(9, torch.Generator()).tolist()) == {999}


@pytest.mark.parametrize("codebook", [0, 8])
def test_a_resumed_run_ends_where_it_would_have_in_either_stage(codebook, tmp_path, monkeypatch):
    method = small(steps=4, autoencoder_steps=4, codebook=codebook, ema=0.5)
    check_resumes(method, (3, 6) if codebook else (3,), quiet, tmp_path, monkeypatch)


def test_codes_come_in_units_of_their_own_deviation_and_are_drawn_as_they_are_distributed(tmp_path):
    run = small(steps=3, latent_dim=2).fit(Blobs(), quiet(tmp_path))
    codes = run.encoder(Blobs().batch(range(16)))
    drawn = run.generator.sample(4000, seed=0)
    # The training images are these sixteen, drawn 4,096 times to measure.
    torch.testing.assert_close(codes.mean(dim=0), torch.zeros(2), rtol=0, atol=0.1)
    torch.testing.assert_close(codes.std(dim=0, correction=0), torch.ones(2), rtol=0, atol=0.1)
    assert (drawn.amin(dim=0) >= codes.amin(dim=0) - 1e-3).all()
    assert (drawn.amax(dim=0) <= codes.amax(dim=0) + 1e-3).all()


@pytest.mark.slow
def test_it_learns_where_the_square_is(tmp_path):
    run = small(width=0.5, encoder_width=0.25, steps=400, batch_size=16, times=1000, decode_steps=8, latent_dim=4).fit(
        Blobs(), quiet(tmp_path)
    )
    images = Blobs().batch(range(16))
    error = (run.generator(run.encoder(images)) - images).square().mean().item()
    assert error < 0.25 * images.var(correction=0).item()
