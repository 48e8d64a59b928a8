import numpy as np
import pytest
import torch

from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.methods.random import Random


def fit(folder, method, generator, seed=0):
    return method.fit(generator, Run(folder, seed=seed, device="cpu", progress=False)).directions


def test_unit_directions_are_uniform_on_the_sphere(tmp_path):
    generator = Analytic("sprite", size=16)
    vectors = fit(tmp_path, Random(num_directions=4000), generator).vectors().numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    # On the sphere in L dimensions every coordinate has mean 0 and variance 1/L.
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose(vectors.var(axis=0), 1 / generator.latent_dim, atol=0.01)


def test_orthonormal_directions_are(tmp_path):
    generator = Analytic("sprite", size=16)
    vectors = fit(tmp_path / "a", Random(num_directions=5, constraint="orthonormal"), generator).vectors()
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(5), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="99 orthogonal directions do not fit in 8 dimensions"):
        fit(tmp_path / "b", Random(num_directions=99, constraint="orthonormal"), generator)


def test_a_step_of_one_is_one_standard_deviation_of_the_edit_space(tmp_path):
    generator = Analytic("sprite", size=16)
    directions = fit(tmp_path, Random(), generator)
    latent = torch.zeros(1, generator.latent_dim)
    assert (directions(latent, 3, 1.0) - latent).norm().item() == pytest.approx(generator.latent_scale(), rel=1e-5)
