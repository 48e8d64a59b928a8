import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from contrafact.core.run import Run
from contrafact.evaluation.regression import coordinates_along
from contrafact.generators import BigGAN, StyleGAN2
from contrafact.generators.vae import VAE
from contrafact.methods.ganspace import GANSpace


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


def stylegan2(**changes) -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=3, **changes).freeze()


def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(5, (3, 16, 16), width=0.1).freeze()


def samples(generator, folder, method) -> torch.Tensor:
    """The latents the run draws."""
    rng = quiet(folder).rng("samples", shared=True)
    sizes = [method.batch_size] * (method.num_samples // method.batch_size)
    sizes += [rest] if (rest := method.num_samples % method.batch_size) else []
    return torch.cat([generator.sample(size, rng) for size in sizes])


def test_components_of_w_match_exact_pca(tmp_path):
    generator, method = stylegan2(), GANSpace(num_directions=8, num_samples=5_500, batch_size=1_000)
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    pca = PCA(svd_solver="full").fit(samples(generator, tmp_path / "run", method).double().numpy())
    found = directions.vectors().numpy().astype(np.float64) * directions.scale
    deviations = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(deviations, np.sqrt(pca.explained_variance_[:8]), rtol=1e-6)
    np.testing.assert_allclose(directions.note["variances"], pca.explained_variance_[:8], rtol=1e-6)
    expected = pca.components_[:8]
    signs = np.sign((found * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found / deviations[:, None], signs * expected, atol=1e-6)


def test_a_step_of_one_is_one_standard_deviation_of_its_component(tmp_path):
    generator, method = stylegan2(), GANSpace(num_directions=4, num_samples=4_000, batch_size=1_000, first_layer=1)
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    w = samples(generator, tmp_path / "run", method)
    index = torch.arange(4)
    moved = (directions(w[:4], index, 1.0) - w[:4, None]).norm(dim=2)
    np.testing.assert_allclose(moved[:, 1:], np.sqrt(directions.note["variances"])[:, None].repeat(5, 1), rtol=1e-5)
    np.testing.assert_allclose(moved[:, 0], 0.0)
    # The coordinate an encoder is later asked to read counts such steps.
    coordinates = coordinates_along(directions, w, w.mean(dim=0))
    np.testing.assert_allclose(coordinates.std(dim=0), 1.0, rtol=1e-4)


def regressed(activations: torch.Tensor, latents: torch.Tensor, count: int) -> np.ndarray:
    """The release's way: coordinates of all activations along the components, then least squares to the latents."""
    features = activations.flatten(1).double().numpy()
    coordinates = PCA(count, svd_solver="full", whiten=True).fit_transform(features)
    solution = np.linalg.lstsq(coordinates, latents.double().numpy(), rcond=None)[0]
    return solution / np.linalg.norm(solution, axis=1, keepdims=True)


def test_other_generators_regress_activations_back_to_the_latent(tmp_path):
    generator, method = vae(), GANSpace(num_directions=4, num_samples=3_000, batch_size=700, layer="blocks.1")
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    latents = samples(generator, tmp_path / "run", method)
    expected = regressed(generator.features(latents, "blocks.1"), latents, 4)
    found = directions.vectors().numpy()
    signs = np.sign((found * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, signs * expected, atol=1e-5)
    moved = (directions(latents[:1], 0, 1.0) - latents[:1]).norm()
    assert float(moved) == pytest.approx(generator.latent_scale(), rel=1e-5)


def test_large_layers_take_several_passes_over_the_same_samples(tmp_path, monkeypatch):
    generator, method = vae(), GANSpace(num_directions=3, num_samples=1_000, batch_size=300, layer="blocks.1", passes=8)
    exact = method.fit(generator, quiet(tmp_path / "exact")).directions.vectors()
    monkeypatch.setattr(sys.modules[GANSpace.__module__], "EXACT_FEATURES", 16)
    run = quiet(tmp_path / "passes")
    passes = method.fit(generator, run).directions.vectors()
    torch.testing.assert_close((exact * passes).sum(dim=1).abs(), torch.ones(3), atol=1e-5, rtol=0)
    assert run.last_line["residual"] < 1e-2


def test_z_of_a_style_generator_goes_through_its_first_layer(tmp_path):
    generator = stylegan2(space="z")
    directions = GANSpace(num_directions=4, num_samples=500, batch_size=250).fit(generator, quiet(tmp_path)).directions
    assert directions.note["analysed"] == "b4.conv1"
    assert directions.latent_dim == generator.prior_dim


def test_bad_input(tmp_path):
    generator = stylegan2()
    few = {"num_samples": 100, "batch_size": 50}
    for number, (settings, message) in enumerate(
        [
            ({"layer": "conv9", **few}, "unknown layer 'conv9'.*b4.conv1, b8.conv0"),
            ({"num_directions": 13, **few}, "13 orthogonal directions do not fit in 12 dimensions"),
            ({"num_samples": 10}, "10 samples vary along fewer than 10 directions; set num_samples to more"),
            ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
            ({"passes": 0}, "passes must be"),
            ({"first_layer": 6, **few}, r"0 <= first < last <= 6, got \(6, 6\)"),
        ]
    ):
        with pytest.raises(ValueError, match=message):
            GANSpace(**settings).fit(generator, quiet(tmp_path / str(number)))
    with pytest.raises(ValueError, match="BigGAN is conditional: pass a class label"):
        GANSpace(num_directions=2, **few).fit(BigGAN.tiny(), quiet(tmp_path / "conditional"))
    constant = stylegan2()
    constant.map = lambda z, *_: torch.ones(len(z), 12) * z[:, :1]
    with pytest.raises(ValueError, match="W varies along 1 directions only, not 10; ask for at most 1"):
        GANSpace(**few).fit(constant, quiet(tmp_path / "constant"))
