"""Shapes and sizes of the critics' networks, against the published tables."""

import pytest
import torch

from contrafact.core.artefact import fingerprint, load_artefact, save_artefact
from contrafact.core.encoder import Encoder
from contrafact.nn.critics import ClassEncoder, ConvTrunk, Critic, ResidualTrunk, make_trunk


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_28_pixel_critic_has_the_published_layers():
    """conv64 k4, conv128 k4, FC 1024 from 7·7·128, FC 1: weights and biases counted by hand."""
    expected = (16 * 64 + 64) + (16 * 64 * 128 + 128) + (7 * 7 * 128 * 1024 + 1024) + (1024 + 1)
    assert count(Critic((1, 28, 28))) == expected


def test_the_residual_critic_has_the_published_layers():
    """SNGAN, Table 4: two halving blocks and two plain ones of 128 channels; 1×1 shortcuts in the first two."""
    first = (27 * 128 + 128) + (9 * 128 * 128 + 128) + (3 * 128 + 128)
    second = 2 * (9 * 128 * 128 + 128) + (128 * 128 + 128)
    plain = 2 * (9 * 128 * 128 + 128)
    assert count(Critic((3, 32, 32), "residual")) == first + second + 2 * plain + 129


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 16, 16)])
@pytest.mark.parametrize("kind", ["conv", "residual"])
def test_every_size_gives_one_score_per_image(kind, shape):
    assert Critic(shape, kind, width=0.1)(torch.rand(2, *shape)).shape == (2,)


def test_spectral_critics_have_weights_of_norm_one():
    torch.manual_seed(0)
    critic = Critic((1, 16, 16), width=0.1, spectral=True)
    for _ in range(30):  # the power iteration needs some passes
        critic(torch.rand(2, 1, 16, 16))
    weight = critic.eval().trunk.dense.weight
    assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.02)


def test_weights_start_as_dcgan_says():
    torch.manual_seed(0)
    trunk = ConvTrunk((1, 28, 28))
    assert float(trunk.dense.weight.std()) == pytest.approx(0.02, rel=0.02)
    assert not trunk.dense.bias.any()


def test_unknown_names_and_widths_are_refused():
    with pytest.raises(ValueError, match="unknown trunk 'cnv'; did you mean 'conv'"):
        make_trunk("cnv", (1, 28, 28))
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        ResidualTrunk((1, 28, 28), width=0)
    with pytest.raises(ValueError, match="unknown head 'unti'; did you mean 'unit'"):
        ClassEncoder((1, 28, 28), 4, head="unti")
    with pytest.raises(ValueError, match="content_dim must be 0 or more, got -1"):
        ClassEncoder((1, 28, 28), 4, -1)
    with pytest.raises(ValueError, match="does not reach 30×31"):
        ConvTrunk((1, 30, 31))


@pytest.mark.parametrize("kind", ["conv", "residual", "resnet18"])
def test_an_encoder_gives_class_codes_first_and_survives_its_file(kind, tmp_path):
    torch.manual_seed(0)
    encoder = ClassEncoder((1, 28, 28), 5, 3, kind, width=0.1).eval()
    images = torch.rand(2, 1, 28, 28)
    f, e = encoder.heads(images)
    assert torch.equal(encoder(images), torch.cat([f, e], dim=1))
    torch.testing.assert_close(f.norm(dim=1), torch.ones(2))
    save_artefact(encoder, tmp_path / "encoder.safetensors")
    again = load_artefact(tmp_path / "encoder.safetensors", Encoder)
    assert fingerprint(again) == fingerprint(encoder)
    assert again.class_dim == 5


def test_a_softmax_head_gives_probabilities():
    encoder = ClassEncoder((1, 28, 28), 5, 3, width=0.1, head="softmax").eval()
    probabilities = encoder(torch.rand(2, 1, 28, 28))[:, :5]
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("kind", ["conv", "resnet18"])
def test_centred_codes_are_the_plain_ones_standardised_over_the_batch(kind, tmp_path):
    plain, images = ClassEncoder((1, 28, 28), 5, 3, kind, width=0.1), torch.rand(40, 1, 28, 28)
    centred = ClassEncoder((1, 28, 28), 5, 3, kind, width=0.1, centred=True)
    centred.body = plain.body
    with torch.no_grad():
        raw, _ = plain.body(images).split([5, 3], dim=1)
        f, e = centred.heads(images)
    standard = (raw - raw.mean(dim=0)) / (raw.var(dim=0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(f, standard / standard.norm(dim=1, keepdim=True), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(e, plain.body(images)[:, 5:].detach(), atol=1e-5, rtol=1e-4)
    assert centred.heads(images[:0])[0].shape == (0, 5)
    save_artefact(centred.eval(), tmp_path / "encoder.safetensors")
    again = load_artefact(tmp_path / "encoder.safetensors", Encoder)
    assert fingerprint(again) == fingerprint(centred)
    torch.testing.assert_close(again(images[:1]), centred(images[:1]))  # one image: by the batches seen


def test_a_fresh_encoder_tells_images_apart_only_if_centred():
    torch.manual_seed(0)
    images, likeness = torch.rand(64, 1, 28, 28), {}
    for centred in (False, True):
        f, _ = ClassEncoder((1, 28, 28), 50, 3, width=0.25, centred=centred).heads(images)
        likeness[centred] = float((f @ f.T).fill_diagonal_(0).sum() / (64 * 63))
    assert likeness[False] > 0.7
    assert abs(likeness[True]) < 0.05
