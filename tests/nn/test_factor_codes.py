"""Encoders and losses of the LORD family against loops over images, factors and networks."""

import math

import pytest
import torch
import torch.nn.functional as F

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.encoder import Encoder
from contrafact.losses.assignment import assignment_entropy, classification_loss
from contrafact.losses.reconstruction import image_distance
from contrafact.nn.factor_codes import AssignedEncoder, ParallelEncoders, RegressedEncoder, SharedEncoder, parts_of

SHAPE = (3, 16, 16)


def images(n=4, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_parallel_encoders_are_separate_networks():
    torch.manual_seed(0)
    net = ParallelEncoders(SHAPE, num_encoders=3, outputs=5, width=0.5)
    x, found = images(), net(images())
    convolutions = [layer for layer in net.convolutions if isinstance(layer, torch.nn.Conv2d)]
    for g in range(3):
        y = x
        for layer in convolutions:
            weight, bias = (p.chunk(3)[g] for p in (layer.weight, layer.bias))
            y = F.relu(F.conv2d(y, weight, bias, stride=2, padding=1))
        y = F.relu(y.flatten(1) @ net.weights[0][g] + net.biases[0][g])
        torch.testing.assert_close(found[:, g], y @ net.weights[1][g] + net.biases[1][g], rtol=1e-4, atol=1e-5)


def test_later_kernels_of_two_are_the_networks_of_locatello_and_zerodim():
    net = ParallelEncoders((3, 64, 64), num_encoders=2, outputs=7, late_kernel=2)
    layers = [layer for layer in net.convolutions if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in layers] == [4, 4, 2, 2]
    assert [layer.out_channels for layer in layers] == [64, 64, 128, 128]
    assert net.weights[0].shape == (2, 64 * 4 * 4, 256)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for g in range(2):
        y = x
        for layer, padding in zip(layers, (1, 1, 0, 0), strict=True):
            weight, bias = (p.chunk(2)[g] for p in (layer.weight, layer.bias))
            y = F.relu(F.conv2d(y, weight, bias, stride=2, padding=padding))
        y = F.relu(y.flatten(1) @ net.weights[0][g] + net.biases[0][g]) @ net.weights[1][g] + net.biases[1][g]
        torch.testing.assert_close(net(x)[:, g], y, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="late_kernel is the side of the later kernels, 2 or 4; got 3"):
        ParallelEncoders(SHAPE, 1, 1, late_kernel=3)


def test_a_file_keeps_the_kernels_and_one_that_does_not_say_has_four(tmp_path):
    encoder = AssignedEncoder(SHAPE, ["a"], [2], width=0.25, late_kernel=2)
    save_artefact(encoder, tmp_path / "encoder.safetensors")
    again = load_artefact(tmp_path / "encoder.safetensors", Encoder)
    torch.testing.assert_close(again(images()), encoder(images()))
    told = encoder.arguments()
    assert told.pop("late_kernel") == 2
    wide = AssignedEncoder(**told)
    assert wide.classifiers.convolutions[2].kernel_size == (4, 4)
    assert wide.arguments() == told


def test_an_assigned_code_is_the_weighted_mean_of_embeddings_and_moves_no_embedding():
    torch.manual_seed(0)
    encoder = AssignedEncoder(SHAPE, ["hue", "size"], [3, 5], factor_dim=2, residual_dim=4, width=0.25)
    logits = encoder.logits(images())
    assert logits[:, 0, 3:].isneginf().all()
    codes = encoder.assign(logits)
    for n in range(4):
        for f, size in enumerate((3, 5)):
            total = sum(math.exp(float(logits[n, f, v].detach())) for v in range(size))
            for e in range(2):
                mean = sum(
                    math.exp(float(logits[n, f, v].detach())) / total * float(encoder.embeddings[f, v, e].detach())
                    for v in range(size)
                )
                assert float(codes[n, f, e].detach()) == pytest.approx(mean, rel=1e-4, abs=1e-6)
    codes.sum().backward()
    assert encoder.embeddings.grad is None
    values = torch.tensor([[2, 4], [0, 0]])
    torch.testing.assert_close(encoder.embed(values)[0, 1], encoder.embeddings[1, 4])
    assert encoder(images()).shape == (4, 4)
    assert encoder.latent(images()).shape == (4, 8)


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: AssignedEncoder(SHAPE, ["a", "b"], [2, 3], width=0.25),
        lambda: RegressedEncoder(SHAPE, ["a", "b"], residual_dim=0, width=0.25),
        lambda: SharedEncoder(SHAPE, ["a", "b"], encoder="conv", width=0.1),
        lambda: SharedEncoder(SHAPE, ["content"], 6, 3, discriminative_dim=5, encoder="conv", width=0.1),
    ],
)
def test_they_survive_a_file(encoder, tmp_path):
    made = encoder().eval()
    save_artefact(made, tmp_path / "encoder.safetensors")
    read = load_artefact(tmp_path / "encoder.safetensors", Encoder)
    torch.testing.assert_close(read.latent(images()), made.latent(images()))
    assert made(images()).shape == (4, made.code_dim)
    assert made.residual(images()).shape == (4, made.residual_dim)
    parts = made.latent(images()).shape[1] - getattr(made, "discriminative_dim", 0)
    assert max(last for _, last in parts_of(made.factor_names, made.factor_dim, made.residual_dim).values()) == parts


def test_factors_and_sizes_must_pair():
    with pytest.raises(ValueError, match="expected a size for each of 2 factors, got 3 sizes"):
        AssignedEncoder(SHAPE, ["a", "b"], [2, 3, 4], width=0.25)


def test_a_shared_encoder_without_factors_has_its_features_as_codes():
    encoder = SharedEncoder(SHAPE, ["content"], 6, 3, discriminative_dim=5, encoder="conv", width=0.1).eval()
    parts = encoder.split(images())
    assert [part.shape[1] for part in parts] == [5, 6, 3]
    codes = encoder(images())
    torch.testing.assert_close(codes, encoder.trunk(images()))
    for name, part in zip(("discriminative", "content"), parts[:2], strict=True):
        torch.testing.assert_close(encoder.represent(codes, name), part)
    with pytest.raises(ValueError, match="unknown encoder 'resnet5'; did you mean 'resnet50'"):
        SharedEncoder(SHAPE, ["content"], encoder="resnet5")


def test_entropy_and_cross_entropy_are_the_loops():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 2, 4, generator=rng).index_fill(2, torch.tensor([3]), -torch.inf).requires_grad_()
    values = torch.randint(3, (5, 2), generator=rng)
    p = logits.detach().softmax(2)
    entropy = -sum(float(q) * math.log(float(q)) for q in p.flatten() if q > 0) / 10
    found = assignment_entropy(logits)
    assert found.item() == pytest.approx(entropy, rel=1e-5)
    error = classification_loss(logits, values)
    total = -sum(math.log(float(p[n, f, values[n, f]])) for n in range(5) for f in range(2)) / 5
    assert error.item() == pytest.approx(total, rel=1e-5)
    (found + error).backward()
    assert torch.isfinite(logits.grad).all()


def test_image_distances():
    made, wanted = images(seed=1), images(seed=2)
    assert image_distance(made, wanted, "squared").item() == pytest.approx(float((made - wanted).square().mean()))
    assert image_distance(made, wanted, "bernoulli").item() == pytest.approx(
        float(-(wanted * made.log() + (1 - wanted) * (1 - made).log()).mean()), rel=1e-5
    )
    total, a, b = float((made - wanted).square().mean()), made, wanted
    for _ in range(4):
        d = (a - b).numpy()
        total += float(((d[:, :, 1:] - d[:, :, :-1]) ** 2).mean() + ((d[..., 1:] - d[..., :-1]) ** 2).mean())
        if d.shape[2] < 4:
            break
        a, b = (x.reshape(len(x), 3, x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean(dim=(3, 5)) for x in (a, b))
    assert image_distance(made, wanted, "multiscale").item() == pytest.approx(total, rel=1e-5)
    with pytest.raises(ValueError, match="unknown reconstruction 'square'; did you mean 'squared'"):
        image_distance(made, wanted, "square")
