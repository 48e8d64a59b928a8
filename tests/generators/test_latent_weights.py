"""The weights that the latent meets first are the Jacobian of what they make of it."""

import pytest
import torch
from torch import nn

from contrafact.core.generator import Generator
from contrafact.generators import CATALOG, BigGAN, StyleGAN, StyleGAN2, StyleGAN3, wrap
from contrafact.generators.analytic import Analytic
from contrafact.generators.class_knob import ClassKnob
from contrafact.generators.dcgan import DCGAN
from contrafact.generators.lord import LORD
from contrafact.generators.prog_gan import ProgGAN
from contrafact.generators.sngan import SNGAN
from contrafact.generators.vae import VAE


def biggan(conditioning: str, label: int | None) -> BigGAN:
    return BigGAN([(True, 16, 8), (True, 8, 8)], 6, 3, 5, conditioning=conditioning, label=label)


def stylegan2(**changes) -> StyleGAN2:
    return StyleGAN2(16, latent_dim=6, prior_dim=4, channels=[8, 6, 4], mapping_layers=2, **changes)


def modulations(generator: StyleGAN2, w: torch.Tensor) -> torch.Tensor:
    """What the released SeFa takes of all layers: every convolution's style, and the last image's."""
    return torch.cat([module.affine(w) for module in [*generator.convs, generator.to_images[-1]]], dim=1)


CASES = {
    "vae": (VAE.tiny, lambda g, z: g.decoder.stem[0](z)),
    "vae in w": (lambda: VAE(4, (3, 16, 16), width=0.1, flow_layers=2), lambda g, z: g.decoder.stem[0](z)),
    "dcgan": (DCGAN.tiny, lambda g, z: g.dense[0](z)),
    "class_knob": (ClassKnob.tiny, lambda g, z: g.body.dense[0](z)),
    "lord": (LORD.tiny, lambda g, z: g.stem[0](z)),
    "lord, style": (
        lambda: LORD(4, (3, 16, 16), "style", width=0.05),
        lambda g, z: modulations(g.synthesis, z),
    ),
    "sngan": (SNGAN.tiny, lambda g, z: g.dense(z)),
    "prog_gan": (ProgGAN.tiny, lambda g, z: g.convs[0](z[:, :, None, None])),
    "biggan, class": (lambda: biggan("class", 1), lambda g, z: g.first(z)),
    "biggan, class open": (lambda: biggan("all", None), lambda g, z: g.first(z)),
    "biggan, all": (lambda: biggan("all", 1), lambda g, z: g.first(torch.cat([z, torch.ones(len(z), 3)], dim=1))),
    "biggan, hierarchical": (lambda: biggan("hierarchical", 1), lambda g, z: g.first(z[:, :2])),
    "stylegan": (StyleGAN.tiny, lambda g, w: torch.cat([layer.affine(w) for layer in g.convs], dim=1)),
    "stylegan2": (stylegan2, modulations),
    "stylegan2 in z": (lambda: stylegan2(space="z"), lambda g, z: z @ (g.mapping[0].weight * g.mapping[0].gain).T),
    "stylegan3": (
        StyleGAN3.tiny,
        lambda g, w: torch.cat([module.affine(w) for module in [*g.layers, g.to_image]], dim=1),
    ),
    "analytic": (lambda: Analytic(dead_dims=2), lambda g, z: g.factors(z)),
}


@pytest.mark.parametrize("case", CASES)
def test_they_are_the_jacobian(case):
    make, first_layer = CASES[case]
    torch.manual_seed(0)
    generator = make().freeze()
    weights = generator.latent_weights()
    at = torch.randn(generator.latent_dim)
    jacobian = torch.autograd.functional.jacobian(lambda z: first_layer(generator, z[None]).flatten(), at)
    assert weights.shape == (len(jacobian), generator.latent_dim)
    # The order of the rows is free: compare Gram matrices.
    torch.testing.assert_close(weights.T @ weights, jacobian.T @ jacobian, atol=1e-4, rtol=1e-4)


def test_layer_ranges_choose_modulations():
    torch.manual_seed(0)
    generator = stylegan2().freeze()
    rows = [(m.affine.weight * m.affine.gain) for m in [*generator.convs, generator.to_images[-1]]]
    assert [len(row) for row in rows] == [8, 8, 6, 6, 4, 4]
    assert torch.equal(generator.latent_weights((1, 3)), torch.cat(rows[1:3]))
    assert torch.equal(generator.latent_weights((5, 6)), rows[5])


WITHOUT = ("autoencoder_kl", "diffusion", "field_diffusion", "glow", "rectified_flow", "token_diffusion", "wrap")


@pytest.mark.parametrize("name", CATALOG.names())
def test_every_generator_has_them_or_says_that_it_has_none(name):
    item = CATALOG.get(name)
    generator = item.tiny() if isinstance(item, type) else wrap(nn.Conv2d(3, 3, 3), 48, latent_shape=(3, 4, 4))
    if name in WITHOUT:
        with pytest.raises(ValueError, match="has no layer whose weights act on the latent as a whole; use a method"):
            generator.latent_weights()
    else:
        assert generator.latent_weights().shape[1] == generator.latent_dim


def test_a_wrapped_module_is_searched_for_the_layer_that_takes_the_latent():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(5, 3 * 16), nn.Linear(48, 48), nn.Unflatten(1, (3, 4, 4)))
    assert torch.equal(wrap(dense, 5).latent_weights(), dense[0].weight)

    dcgan = nn.Sequential(nn.ConvTranspose2d(5, 6, 4), nn.ReLU(), nn.ConvTranspose2d(6, 3, 2, stride=2))
    weights = wrap(dcgan, 5, latent_shape=(5, 1, 1)).latent_weights()
    at = torch.randn(5)
    jacobian = torch.autograd.functional.jacobian(lambda z: dcgan[0](z[None, :, None, None]).flatten(), at)
    torch.testing.assert_close(weights.T @ weights, jacobian.T @ jacobian)

    normalised = nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 48), nn.Unflatten(1, (3, 4, 4)))
    with pytest.raises(ValueError, match="Wrapped has no layer whose weights"):
        wrap(normalised, 5).latent_weights()


def test_layer_ranges_are_checked():
    generator: Generator = stylegan2()
    assert generator.layer_range() is None
    assert generator.layer_range(2) == (2, 6)
    assert generator.layer_range(None, 3) == (0, 3)
    for first, last in ((3, 3), (-1, 2), (0, 7), (9, None)):
        with pytest.raises(ValueError, match=r"0 <= first < last <= 6, got \("):
            generator.layer_range(first, last)
