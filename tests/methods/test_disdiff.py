"""DisDiff: both terms and the whole loss against loops over images; stages, what is frozen, what is left."""

import math
import sys

import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.evaluation.run import default_metrics
from contrafact.methods.attention_decoder import AttentionDecoder
from contrafact.methods.disdiff import DisDiff, disentangling_terms, principal_axes
from tests.methods.blobs import Blobs, check_resumes

SMALL = {
    "width": 0.125, "encoder_width": 0.1, "num_factors": 3, "factor_dim": 2, "batch_size": 4, "times": 20,
    "decode_steps": 2, "denoiser_steps": 3, "steps": 3,
}  # fmt: skip


def small(**settings):
    return DisDiff.preset("quick", **{**SMALL, **settings})


def quiet(folder, **settings):
    return Run(folder, device="cpu", precision="float32", progress=False, **settings)


def length(vector):
    return math.sqrt(sum(x * x for x in vector))


def cross_entropy(scores, chosen):
    return math.log(sum(math.exp(score) for score in scores)) - scores[chosen]


def terms_by_hand(own, seen, changed, chosen):
    """The definitions, one image: d_k = ‖ẑ^{k|c} − ẑ^k‖; d^n_k = ‖ẑ^k − z^k‖ and d^p_k = ‖ẑ^{k|c} − z^k‖."""
    moved, nearer = [], []
    for z, z_hat, z_hat_c in zip(own, seen, changed, strict=True):
        moved.append(length([a - b for a, b in zip(z_hat_c, z_hat, strict=True)]))
        negative = length([a - b for a, b in zip(z_hat, z, strict=True)])
        positive = length([a - b for a, b in zip(z_hat_c, z, strict=True)])
        nearer.append(negative - positive)
    return cross_entropy(moved, chosen), cross_entropy(nearer, chosen)


def test_both_terms_are_cross_entropies_of_distances():
    rng = torch.Generator().manual_seed(0)
    own, seen, changed = (torch.randn(5, 4, 3, generator=rng, dtype=torch.float64) for _ in range(3))
    chosen = [2, 0, 3, 3, 1]
    invariant, variant = disentangling_terms(own, seen, changed, torch.tensor(chosen))
    for n, c in enumerate(chosen):
        first, second = terms_by_hand(own[n].tolist(), seen[n].tolist(), changed[n].tolist(), c)
        assert invariant[n].item() == pytest.approx(first)
        assert variant[n].item() == pytest.approx(second)


def test_terms_of_a_field_of_nothing_have_finite_gradients():
    """As at the first step, when all distances are 0."""
    codes = torch.zeros(2, 3, 2, requires_grad=True)
    invariant, variant = disentangling_terms(codes.detach(), codes.detach(), codes, torch.tensor([0, 1]))
    (invariant + variant).sum().backward()
    assert torch.isfinite(codes.grad).all()
    assert invariant.tolist() == pytest.approx([math.log(3)] * 2)


def at_random(generator):
    """A fresh U-Net says 0, and so do fields."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in (*generator.unet.parameters(), *generator.fields.parameters()):
            if not weight.any():
                weight.copy_(torch.randn(weight.shape, generator=rng) / 10)


def loss_by_hand(method, parts):
    """L_r + λ · ‖x̂₀ − x̂₀^c‖² · (L_in + L_va), one image after the other; means over images and over numbers."""
    generator, encoder = parts.generator, parts.encoder
    alpha_bar, left = [], 1.0
    for t in range(method.times):
        root = math.sqrt(0.0015) + t / (method.times - 1) * (math.sqrt(0.0155) - math.sqrt(0.0015))
        left *= 1 - root**2
        alpha_bar.append(left)
    images = parts.batch()
    clean = generator.to_denoised(images)
    noise = torch.randn(clean.shape, generator=parts.noise)
    times = method.draw_times(len(images), parts.noise).tolist()
    codes = encoder.encode(images)  # one batch: its statistics are shared
    chosen = torch.randint(3, (len(images),), generator=parts.factors).tolist()
    encoder.eval()
    total = 0.0
    for x0, epsilon, t, code, c in zip(clean, noise, times, codes, chosen, strict=True):
        keep, add = math.sqrt(alpha_bar[t]), math.sqrt(1 - alpha_bar[t])
        xt, at = (keep * x0 + add * epsilon)[None], generator.unet.at_time(torch.tensor([t]))
        told = torch.nn.functional.silu(at)
        skips = generator.unet.descend(xt, told)
        said = generator.unet.ascend(skips, told)[0]
        fields = generator.fields(skips, at, code.view(1, 3, 2))[0]
        if method.prediction == "epsilon":
            added = [-add * field for field in fields]
            predicted = [(xt[0] - add * noise_) / keep for noise_ in (said, said + added[c])]
        else:
            added = list(fields)
            predicted = [said, said + added[c]]
        off = (said + sum(added) - (epsilon if method.prediction == "epsilon" else x0)).flatten().tolist()
        power = 1 if method.distance == "absolute" else 2
        total += sum(abs(v) ** power for v in off) / len(off)
        z_hat, z_hat_c = (encoder.encode(generator.to_images(p[None]))[0].view(3, 2).tolist() for p in predicted)
        invariant, variant = terms_by_hand(code.view(3, 2).tolist(), z_hat, z_hat_c, c)
        apart = ((predicted[1] - predicted[0]) ** 2).mean().item()
        total += method.disentangling * apart * (invariant + variant)
    return total / len(images)


@pytest.mark.parametrize("settings", [{"prediction": "epsilon", "distance": "absolute", "lateness": 1.0}, {}])
def test_the_loss_is_the_sum_over_images(settings, tmp_path, monkeypatch):
    method = small(**settings, denoiser_steps=1, copied=False)
    by_hand = method._parts(Blobs(), quiet(tmp_path / "a"))
    at_random(by_hand.generator)
    method._noised(by_hand)  # what the denoiser's only step draws
    expected = loss_by_hand(method, by_hand)
    seen, start = [], DisDiff._parts

    def at_random_too(self, *args):
        made = start(self, *args)
        at_random(made.generator)
        return made

    def note(self, loss, rate):
        seen.append(loss.item())
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[DisDiff.__module__]._Learner, "descend", note)
    monkeypatch.setattr(DisDiff, "_parts", at_random_too)
    with pytest.raises(KeyboardInterrupt):
        method.fit(Blobs(), quiet(tmp_path / "b"))
    assert seen[1] == pytest.approx(expected, rel=1e-4)


def test_the_disentangling_loss_moves_encoder_and_fields_and_no_denoiser(tmp_path):
    """Gradients reach the encoder by what fields are told, not by what it reads of the images predicted."""
    method = small()
    parts = method._parts(Blobs(), quiet(tmp_path))
    at_random(parts.generator)
    parts.generator.unet.requires_grad_(False)
    images, _, _, noised, times = method._noised(parts)
    codes = parts.encoder.encode(images)
    said, added = parts.generator.asked_apart(noised, times, codes)
    running = [buffer.clone() for buffer in parts.encoder.buffers()]
    terms = method._terms(parts, codes, said, added, noised, times, torch.tensor([0, 1, 2, 0]))
    assert all(torch.equal(a, b) for a, b in zip(running, parts.encoder.buffers(), strict=True))
    assert not terms.weight.requires_grad
    (through,) = torch.autograd.grad((terms.invariant + terms.variant).sum(), codes, retain_graph=True)
    assert through.abs().sum() > 0
    (terms.invariant + terms.variant).sum().backward()
    head = parts.encoder.head.weight.grad
    hidden = torch.autograd.grad(parts.encoder.encode(images), parts.encoder.head.weight, through)[0]
    torch.testing.assert_close(head, hidden, rtol=1e-3, atol=1e-6)
    assert parts.generator.fields.vector.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in parts.generator.unet.parameters())


@pytest.mark.parametrize("codebook", [0, 8])
def test_a_resumed_run_ends_where_it_would_have_in_every_stage(codebook, tmp_path, monkeypatch):
    method = small(autoencoder_steps=3, codebook=codebook, ema=0.5)
    check_resumes(method, (6,) if codebook else (2, 5), quiet, tmp_path, monkeypatch)


def test_a_denoiser_is_frozen_and_may_be_that_of_another_run(tmp_path):
    """With and without the disentangling loss it is the same; taken, it stays as it was."""
    first = small().fit(Blobs(), quiet(tmp_path / "first"))
    control = small(disentangling=0.0).fit(Blobs(), quiet(tmp_path / "control"))
    frozen = fingerprint(first.generator.unet)
    assert fingerprint(control.generator.unet) == frozen
    assert fingerprint(control.generator.fields) != fingerprint(first.generator.fields)
    assert set(control.log[-1]) == {"step", "denoiser_loss", "loss", "reconstruction"}
    taking = small(denoiser=str(tmp_path / "first"), num_factors=2, denoiser_steps=100_000, width=4.0)
    taken = taking.fit(Blobs(), quiet(tmp_path / "taken", seed=1))
    assert fingerprint(taken.generator.unet) == frozen
    assert taken.generator.latent_dim == 4


def test_the_control_sees_the_same_images_and_noise(tmp_path, monkeypatch):
    drawn, noised = [], DisDiff._noised

    def kept(self, parts):
        drawn.append(noised(self, parts))
        return drawn[-1]

    monkeypatch.setattr(DisDiff, "_noised", kept)
    for weight in (0.0, 0.05):
        small(disentangling=weight).fit(Blobs(), quiet(tmp_path / str(weight)))
    assert len(drawn) == 12
    for ours, its in zip(drawn[:6], drawn[6:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, its, strict=True))


def test_a_denoiser_that_does_not_fit_is_refused(tmp_path):
    small(steps=1, denoiser_steps=1).fit(Blobs(), quiet(tmp_path / "first"))
    tiny = {"width": 0.125, "encoder_width": 0.1, "steps": 1}
    AttentionDecoder.preset("quick", **tiny).fit(Blobs(), quiet(tmp_path / "other"))
    for name, settings, message in (
        ("other", {}, "has a TokenDiffusion for its generator; expected the run of contrafact fit disdiff"),
        ("first", {"prediction": "epsilon"}, r"says the image at 20 times; give --prediction image --times 20"),
        ("first", {"times": 30}, r"says the image at 20 times; give --prediction image --times 20"),
    ):
        with pytest.raises(ValueError, match=message):
            small(denoiser=str(tmp_path / name), **settings).fit(Blobs(), quiet(tmp_path / "new"))
    colours = torch.rand(4, 3, 16, 16)
    with pytest.raises(ValueError, match=r"was trained on images of shape \(1, 16, 16\), these have \(3, 16, 16\)"):
        small(denoiser=str(tmp_path / "first")).fit(colours, quiet(tmp_path / "new"))
    with pytest.raises(
        ValueError, match="a U-Net of 8 channels tells 16 factors apart, got 17; give fewer num_factors"
    ):
        small(num_factors=17).fit(Blobs(), quiet(tmp_path / "new"))


def test_vectors_lie_along_their_principal_axes_and_are_read_back(tmp_path):
    run = small().fit(Blobs(), quiet(tmp_path))
    again = load_run(tmp_path)
    images = Blobs().batch(range(16))
    codes = run.encoder(images)
    assert torch.equal(again.encoder(images), codes)
    assert torch.equal(again.generator(codes), run.generator(codes))
    vectors = codes.unflatten(1, (3, 2))
    # The training images are these sixteen, drawn 4,096 times to measure.
    torch.testing.assert_close(vectors.mean(dim=0), torch.zeros(3, 2), rtol=0, atol=0.1)
    torch.testing.assert_close(vectors[:, :, 0].std(dim=0, correction=0), torch.ones(3), rtol=0, atol=0.1)
    assert (vectors[:, :, 1].std(dim=0) < 1.1).all()
    assert torch.equal(run.encoder.represent(codes, "principal"), vectors[:, :, 0])
    assert default_metrics(again) == ("mig:principal", "dci:principal")


def test_principal_axes_are_those_of_a_singular_value_decomposition():
    vectors = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([3.0, 1, 0.2])
    )
    center, axes = principal_axes(vectors)
    for k in range(2):
        off = (vectors[:, k] - vectors[:, k].mean(dim=0)).double()
        _, sizes, right = torch.linalg.svd(off, full_matrices=False)
        expected = off @ right.T / (sizes[0] / math.sqrt(49))
        made = (vectors[:, k] - center[k]) @ axes[k]
        torch.testing.assert_close(made.abs().double(), expected.abs(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_it_learns_where_the_square_is(tmp_path):
    settings = {"width": 0.5, "encoder_width": 0.25, "batch_size": 16, "times": 1000, "decode_steps": 8}
    method = small(**settings, num_factors=4, factor_dim=1, denoiser_steps=300, steps=300)
    run = method.fit(Blobs(), quiet(tmp_path))
    images = Blobs().batch(range(16))
    error = (run.generator(run.encoder(images)) - images).square().mean().item()
    assert error < 0.25 * images.var(correction=0).item()
