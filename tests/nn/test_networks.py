"""Convolutional encoder and decoder: the paper's layers and sizes, clear refusals."""

import itertools

import pytest
import torch
from torch import nn

from contrafact.core.artefact import fingerprint, load_artefact, save_artefact
from contrafact.core.encoder import Encoder
from contrafact.generators.vae import VAE
from contrafact.nn.decoders import ConvDecoder, LocatelloDecoder
from contrafact.nn.encoders import ConvEncoder, GaussianEncoder, LocatelloEncoder
from contrafact.nn.perceptron import MLPEncoder
from contrafact.nn.trainable import fresh_encoder


def layers_of(module: nn.Module) -> list[tuple]:
    return [
        ("conv", m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
        else ("fc", m.in_features, m.out_features)
        for m in module.modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]


def test_encoder_is_table_7():
    assert layers_of(ConvEncoder((3, 64, 64), 32, activation="relu")) == [
        ("conv", 3, 64, 7, 1),
        ("conv", 64, 128, 4, 2),
        ("conv", 128, 256, 4, 2),
        ("conv", 256, 256, 4, 2),
        ("conv", 256, 256, 4, 2),
        ("fc", 4096, 256),
        ("fc", 256, 256),
        ("fc", 256, 32),
    ]


def test_decoder_is_table_8():
    assert layers_of(ConvDecoder(32, (3, 64, 64), activation="relu")) == [
        ("fc", 32, 256),
        ("fc", 256, 256),
        ("fc", 256, 4096),
        ("conv", 256, 256, 4, 2),
        ("conv", 256, 256, 4, 2),
        ("conv", 256, 128, 4, 2),
        ("conv", 128, 64, 4, 2),
        ("conv", 64, 3, 7, 1),
    ]


def test_the_small_networks_are_locatellos():
    """Layers of the public program that made the numbers of Locatello et al. 2019."""
    assert layers_of(LocatelloEncoder((3, 64, 64), 20)) == [
        ("conv", 3, 32, 4, 2),
        ("conv", 32, 32, 4, 2),
        ("conv", 32, 64, 2, 2),
        ("conv", 64, 64, 2, 2),
        ("fc", 1024, 256),
        ("fc", 256, 20),
    ]
    assert layers_of(LocatelloDecoder(10, (3, 64, 64))) == [
        ("fc", 10, 256),
        ("fc", 256, 1024),
        ("conv", 64, 64, 4, 2),
        ("conv", 64, 32, 4, 2),
        ("conv", 32, 32, 4, 2),
        ("conv", 32, 3, 4, 2),
    ]


@pytest.mark.parametrize(
    ("make_encoder", "make_decoder"), [(ConvEncoder, ConvDecoder), (LocatelloEncoder, LocatelloDecoder)]
)
@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_every_usual_size_round_trips(size, make_encoder, make_decoder):
    encoder, images = make_encoder((1, size, size), 5, width=0.1).eval(), torch.rand(2, 1, size, size)
    assert encoder(images).shape == (2, 5)
    decoder = make_decoder(5, (1, size, size), width=0.1)
    made = decoder(torch.randn(2, 5))
    assert made.shape == images.shape
    assert 0 <= made.min() <= made.max() <= 1


def test_both_kinds_of_network_survive_a_file(tmp_path):
    for network in ("disco", "locatello"):
        encoder = GaussianEncoder((1, 16, 16), 3, 0.1, network=network)
        save_artefact(encoder, tmp_path / f"{network}.safetensors")
        assert fingerprint(load_artefact(tmp_path / f"{network}.safetensors", Encoder)) == fingerprint(encoder)
        generator = VAE(3, (1, 16, 16), 0.1, network=network)
        assert VAE(**generator.arguments()).features(torch.randn(2, 3), "blocks.1").shape[2:] == (8, 8)


@pytest.mark.parametrize(
    "make", [lambda: GaussianEncoder((1, 16, 16), 3, network="small"), lambda: VAE(3, (1, 16, 16), network="small")]
)
def test_an_unknown_network(make):
    with pytest.raises(ValueError, match="unknown network 'small'; known: disco, locatello"):
        make()


def test_32_pixels_has_one_convolution_fewer():
    assert len(layers_of(ConvEncoder((3, 32, 32), 5))) == len(layers_of(ConvEncoder((3, 64, 64), 5))) - 1


def test_gaussian_encoder_gives_its_mean():
    encoder, images = GaussianEncoder((3, 16, 16), 4, width=0.1).eval(), torch.rand(3, 3, 16, 16)
    mean, log_variance = encoder.posterior(images)
    assert mean.shape == log_variance.shape == (3, 4)
    torch.testing.assert_close(encoder(images), mean)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 3, 32, 32), r"expects images of shape \(N, 3, 16, 16\), got \(2, 3, 32, 32\)"),
        (torch.rand(2, 3, 16, 16) * 255, "divide bytes by 255"),
        (torch.full((1, 3, 16, 16), torch.nan), "expects images in"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), "expects float images"),
    ],
)
def test_encoder_refuses_images_it_was_not_made_for(images, message):
    with pytest.raises(ValueError, match=message):
        ConvEncoder((3, 16, 16), 2, width=0.1).eval()(images)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConvEncoder((3, 4, 4), 2), "at least 8 pixels"),
        (lambda: ConvEncoder((3, 16, 16), 0), "code_dim must be a whole number of at least 1"),
        (lambda: ConvEncoder((3, 16, 16), 2, width=0), "width must be positive"),
        (lambda: ConvEncoder((3, 16, 16), 2, activation="gelu"), "unknown activation 'gelu'"),
        (lambda: MLPEncoder((0, 8, 8), 2), "channels must be a whole number of at least 1"),
        (lambda: MLPEncoder((1, 8, 8), 2, width=0.0), "width must be positive, got 0.0"),
        (lambda: ConvDecoder(2, (3, 33, 32)), "does not reach 33×32; choose sides such as 28"),
        (lambda: ConvDecoder(2, (3, 38, 38)), "does not reach 38×38"),
        (lambda: ConvDecoder(-1, (3, 32, 32)), "latent_dim must be a whole number"),
    ],
)
def test_bad_sizes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_perceptron_is_three_layers_on_the_pixels(tmp_path):
    encoder = MLPEncoder((1, 8, 16), 5).eval()
    assert layers_of(encoder) == [("fc", 128, 256), ("fc", 256, 256), ("fc", 256, 5)]
    images = torch.rand(3, 1, 8, 16)
    state = {name.removeprefix("layers.layers."): value for name, value in encoder.state_dict().items()}
    hidden = images.flatten(1)
    for linear, norm in (("0", "1"), ("3", "4")):  # fresh statistics: mean 0, variance 1
        hidden = (hidden @ state[f"{linear}.weight"].T / (1 + 1e-5) ** 0.5 * state[f"{norm}.weight"]).relu()
    torch.testing.assert_close(encoder(images), hidden @ state["6.weight"].T + state["6.bias"])
    save_artefact(encoder, tmp_path / "mlp.safetensors")
    assert fingerprint(load_artefact(tmp_path / "mlp.safetensors", Encoder)) == fingerprint(encoder)


@pytest.mark.parametrize(
    ("kind", "network"), [("conv", ConvEncoder), ("locatello", LocatelloEncoder), ("mlp", MLPEncoder)]
)
def test_light_encoders_are_chosen_by_name(kind, network):
    encoder = fresh_encoder(kind, (3, 32, 32), width=0.5)
    assert (type(encoder), encoder.code_dim) == (network, 128)
    assert layers_of(encoder) == layers_of(network((3, 32, 32), 128, 0.5))
    assert fresh_encoder(kind, (3, 32, 32), 7)(torch.rand(2, 3, 32, 32)).shape == (2, 7)


def test_the_released_encoder_is_the_released_programs():
    """Layer by layer as xrenaa/DisCo at a3ceda7 stacks and draws them: torch's slope, weights as for a ReLU."""
    torch.manual_seed(0)
    ours = ConvEncoder((3, 32, 32), 6, 0.25, slope=0.01)
    torch.manual_seed(0)
    sizes, layers = [3, 16, 32, 64, 64], []
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        kernel, stride, padding = (4, 2, 1) if number else (7, 1, 3)
        layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.LeakyReLU()]
    layers += [nn.Flatten(), nn.Linear(64 * 16, 64), nn.LeakyReLU(), nn.Linear(64, 64), nn.LeakyReLU()]
    theirs = nn.Sequential(*layers, nn.Linear(64, 6))
    for layer in theirs:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours.encode(images), theirs(images), atol=1e-5, rtol=1e-5)


def test_a_slope_is_kept_in_the_file_and_one_without_means_what_it_meant(tmp_path):
    save_artefact(ConvEncoder((3, 16, 16), 4, 0.1, slope=0.01), tmp_path / "encoder.safetensors")
    assert load_artefact(tmp_path / "encoder.safetensors", ConvEncoder).slope == 0.01
    arguments = ConvEncoder((3, 16, 16), 4, 0.1).arguments()
    del arguments["slope"]
    assert ConvEncoder(**arguments).convolutions[1].negative_slope == 0.2
    with pytest.raises(ValueError, match="slope must be between 0 and 1, got -1"):
        ConvEncoder((3, 16, 16), 4, slope=-1)
