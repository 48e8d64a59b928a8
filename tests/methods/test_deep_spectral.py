import sys

import numpy as np
import pytest
import torch

from contrafact.core.run import Run
from contrafact.generators import BigGAN, StyleGAN2, wrap
from contrafact.generators.analytic import Analytic
from contrafact.generators.glow import Glow
from contrafact.generators.prog_gan import ProgGAN
from contrafact.generators.rectified_flow import RectifiedFlow
from contrafact.generators.sngan import SNGAN
from contrafact.generators.vae import VAE
from contrafact.methods.deep_spectral import DeepSpectral, gram_product


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


def stylegan2() -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=3).freeze()


def biggan() -> BigGAN:
    generator = BigGAN.tiny()
    generator.fix_label(1)
    return generator


def wrapped():
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 48), torch.nn.Tanh(), torch.nn.Linear(48, 48), torch.nn.Unflatten(1, (3, 4, 4))
    )
    return wrap(module, 5)


def explicit(function, latents: torch.Tensor) -> np.ndarray:
    """The Jacobians of all latents on top of each other ``(N·F, L)``, column by column, without forward mode."""
    columns = [
        torch.autograd.functional.jvp(function, latents, axis.expand_as(latents))[1].flatten()
        for axis in torch.eye(latents.shape[1], dtype=latents.dtype)
    ]
    return torch.stack(columns, dim=1).double().numpy()


def check(directions, jacobian: np.ndarray, num_latents: int, atol: float) -> None:
    singular, right = np.linalg.svd(jacobian, full_matrices=False)[1:]
    count = directions.num_directions
    np.testing.assert_allclose(directions.note["singular_values"], singular[:count] / num_latents**0.5, rtol=1e-4)
    np.testing.assert_allclose(np.abs((directions.vectors().numpy() * right[:count]).sum(1)), 1.0, atol=atol)


GENERATORS = {
    "vae": (lambda: VAE(6, (3, 16, 16), width=0.1), "blocks.1"),
    "vae in w": (lambda: VAE(6, (3, 16, 16), width=0.1, flow_layers=2), "image"),
    "stylegan2": (stylegan2, "b8.conv1"),
    "sngan": (SNGAN.tiny, "blocks.1"),
    "prog_gan": (ProgGAN.tiny, "convs.2"),
    "biggan": (biggan, "blocks.1"),
    "analytic": (lambda: Analytic(size=16, warp=True), "image"),
    "wrapped": (wrapped, "1"),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_it_matches_the_singular_vectors_of_the_explicit_jacobian(name, tmp_path):
    torch.manual_seed(0)
    make, layer = GENERATORS[name]
    generator = make().freeze()
    # As many columns as dimensions: exact after one step.
    method = DeepSpectral(layer=layer, num_directions=3, num_latents=5, batch_size=2, steps=2, extra_columns=20)
    directions = method.fit(generator, quiet(tmp_path)).directions
    latents = generator.sample(5, quiet(tmp_path).rng("latents", shared=True))
    function = generator if layer == "image" else lambda z: generator.features(z, layer)
    check(directions, explicit(function, latents), 5, 1e-4)


def test_iteration_converges_when_the_block_is_smaller_than_the_latent(tmp_path):
    generator, layer = stylegan2(), "b8.conv0"
    method = DeepSpectral(layer=layer, num_directions=2, num_latents=4, extra_columns=3, steps=60)
    run = quiet(tmp_path)
    directions = method.fit(generator, run).directions
    latents = generator.sample(4, run.rng("latents", shared=True))
    check(directions, explicit(lambda z: generator.features(z, layer), latents), 4, 1e-4)
    assert run.last_line["residual"] < 1e-2


def test_layer_ranges_differentiate_those_layers_only(tmp_path):
    generator = stylegan2()
    method = DeepSpectral(layer="image", num_directions=3, num_latents=3, steps=2, first_layer=2, last_layer=4)
    directions = method.fit(generator, quiet(tmp_path)).directions
    latents = generator.sample(3, quiet(tmp_path).rng("latents", shared=True))
    assert directions.layers == (2, 4)

    def shifted(shift):
        layered = latents[:, None].repeat(1, 6, 1)
        return generator(torch.cat([layered[:, :2], layered[:, 2:4] + shift[:, None], layered[:, 4:]], dim=1))

    columns = [
        torch.autograd.functional.jvp(shifted, torch.zeros_like(latents), axis.expand_as(latents))[1].flatten()
        for axis in torch.eye(12)
    ]
    check(directions, torch.stack(columns, dim=1).double().numpy(), 3, 1e-4)


def test_products_with_the_gram_matrix_are_those_of_the_explicit_one():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Tanh(), torch.nn.Linear(9, 7)).double()
    latents, block = torch.randn(6, 4).double(), torch.randn(4, 3).double()
    jacobian = explicit(layer, latents)
    product = gram_product(lambda latent, shift: layer(latent + shift), latents, block)
    np.testing.assert_allclose(product.detach(), jacobian.T @ jacobian @ block.numpy(), rtol=1e-10)


def test_the_first_linear_layer_gives_closed_form_directions(tmp_path):
    """There the Jacobian is the weights themselves, which is how the method extends SeFa."""
    generator = wrapped()
    directions = DeepSpectral(layer="0", num_directions=4, num_latents=3, steps=2).fit(generator, quiet(tmp_path))
    right = np.linalg.svd(generator.module[0].weight.detach().numpy())[2]
    vectors = directions.directions.vectors().numpy()
    np.testing.assert_allclose(np.abs((vectors * right[:4]).sum(1)), 1.0, atol=1e-5)


def test_bad_input(tmp_path):
    generator = stylegan2()
    few = {"num_latents": 2, "steps": 2}
    for number, (settings, message) in enumerate(
        [
            ({"layer": "conv9", **few}, "unknown layer 'conv9'.*b4.conv1.*image"),
            ({"num_directions": 13, **few}, "13 orthogonal directions do not fit in 12 dimensions"),
            ({"num_latents": 0}, "num_latents must be a whole number of at least 1, got 0"),
            ({"extra_columns": -1}, "extra_columns must be a whole number of at least 0, got -1"),
            ({"first_layer": 9, **few}, "0 <= first < last <= 6"),
            # A style that enters after the layer does not change it.
            ({"layer": "b4.conv1", "first_layer": 3, **few}, "layer b4.conv1 answers to 0 directions only"),
        ]
    ):
        with pytest.raises(ValueError, match=message):
            DeepSpectral(**settings).fit(generator, quiet(tmp_path / str(number)))
    with pytest.raises(ValueError, match="BigGAN is conditional: pass a class label"):
        DeepSpectral(num_directions=2, **few).fit(BigGAN.tiny(), quiet(tmp_path / "conditional"))


def test_glow_which_has_no_such_weights_has_a_jacobian(tmp_path):
    torch.manual_seed(0)
    generator = Glow.tiny().freeze()
    method = DeepSpectral(num_directions=2, num_latents=2, steps=3, extra_columns=4)
    assert method.fit(generator, quiet(tmp_path)).directions.latent_dim == 192


def test_what_it_costs_is_said_and_what_does_not_fit_refused(tmp_path, monkeypatch, capsys):
    scene = Analytic(size=16)
    method = DeepSpectral(layer="image", num_directions=2, num_latents=4, extra_columns=0, steps=2)
    module = sys.modules[DeepSpectral.__module__]
    monkeypatch.setattr(module, "_FEW_PASSES", 1)
    monkeypatch.setattr(module, "_LONG", 0)
    method.fit(scene, quiet(tmp_path / "said"))
    assert "4 latents × 2 columns × 2 iterations: up to " in capsys.readouterr().err
    monkeypatch.setattr("contrafact.training.step_memory.free_bytes", lambda device: 10)
    with pytest.raises(ValueError, match=r"a step keeps about .* set a smaller batch_size, to which memory is"):
        method.fit(scene, quiet(tmp_path / "refused"))


def test_a_module_without_forward_mode_is_differentiated_all_the_same():
    """Fused attention has none: the product is then by a central difference, which a linear and a curved map show."""
    torch.manual_seed(0)
    latents, block = torch.randn(3, 4), torch.linalg.qr(torch.randn(4, 2))[0]
    weight = torch.randn(4, 24) / 2

    def curved(latent, shift):
        return torch.sin((latent + shift) @ weight).view(len(latent), 2, 3, 4)

    def attending(latent, shift):
        query = curved(latent, shift)
        return torch.nn.functional.scaled_dot_product_attention(query, query, query).flatten(1)

    def written_out(latent, shift):
        query = curved(latent, shift)
        weights = (query @ query.transpose(2, 3) / 2).softmax(dim=-1)
        return (weights @ query).flatten(1)

    found, expected = (gram_product(each, latents, block) for each in (attending, written_out))
    assert torch.allclose(found, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("error", "passes"), [(RuntimeError("sizes differ"), 2), (torch.OutOfMemoryError("no memory left"), 1)]
)
def test_what_fails_without_forward_mode_too_is_raised_and_too_little_memory_at_once(error, passes):
    seen = []

    def failing(latent, shift):
        seen.append(len(latent))
        raise error

    with pytest.raises(type(error), match=str(error)):
        gram_product(failing, torch.zeros(3, 4), torch.eye(4)[:, :2])
    assert seen == [6] * passes


def test_a_group_norm_in_channels_last_has_no_forward_mode_either():
    torch.manual_seed(0)
    flow = RectifiedFlow((1, 16, 16), channels=(8, 16), steps=2, space="noise").freeze()
    with torch.no_grad():
        for weights in flow.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.1)
    latents, block = flow.sample(2, seed=0), torch.randn(256, 3)

    def h(base, shift):
        return flow.features(base + shift, "h").flatten(1)

    jacobians = [
        torch.autograd.functional.jacobian(lambda s, z=z: h(z[None], s[None])[0], torch.zeros(256)) for z in latents
    ]
    expected = sum(jacobian.T @ jacobian @ block for jacobian in jacobians)
    found = gram_product(h, latents, block)
    assert (found - expected).abs().max() < 2e-3 * expected.abs().max()
