import numpy as np
import pytest
import torch

from contrafact.core.run import Run
from contrafact.generators import BigGAN, StyleGAN2
from contrafact.generators.analytic import Analytic
from contrafact.generators.glow import Glow
from contrafact.generators.vae import VAE
from contrafact.methods.sefa import SeFa


def stylegan2(**changes) -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=2, **changes)


def fit(folder, method, generator):
    return method.fit(generator, Run(folder, device="cpu", progress=False)).directions


def dense_solution(weights: torch.Tensor, normalize: bool) -> tuple[np.ndarray, np.ndarray]:
    """As in the paper: every eigenvector of AᵀA from a solver for general matrices, then sorted."""
    a = weights.double().numpy()
    a = a / np.linalg.norm(a, axis=1, keepdims=True) if normalize else a
    values, vectors = np.linalg.eig(a.T @ a)
    order = np.argsort(-values)
    return values[order], vectors.T[order]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("layers", [(None, None), (0, 2), (3, 5), (5, None)])
def test_it_matches_a_dense_eigensolver_on_style_layers(normalize, layers, tmp_path):
    generator = stylegan2()
    modules = [*generator.convs, generator.to_images[-1]][slice(*layers)]
    weights = torch.cat([module.affine.weight * module.affine.gain for module in modules]).detach()
    count = min(7, len(weights))
    method = SeFa(count, first_layer=layers[0], last_layer=layers[1], normalize_rows=normalize)
    directions = fit(tmp_path, method, generator)
    values, vectors = dense_solution(weights, normalize)
    np.testing.assert_allclose(directions.note["eigenvalues"], values[:count], rtol=1e-6)
    assert directions.note["eigenvalues"] == sorted(directions.note["eigenvalues"], reverse=True)
    np.testing.assert_allclose(np.abs((directions.vectors().numpy() * vectors[:count]).sum(1)), 1.0, atol=1e-5)
    expected = None if layers == (None, None) else (layers[0], 6 if layers[1] is None else layers[1])
    assert directions.layers == expected


def test_a_step_acts_on_the_chosen_layers_and_has_the_edit_spaces_length(tmp_path):
    generator = stylegan2()
    directions = fit(tmp_path, SeFa(3, first_layer=2, last_layer=4), generator)
    w = generator.sample(2, torch.Generator().manual_seed(0))
    moved = (directions(w, 0, 2.0) - w[:, None]).norm(dim=2)
    step = 2 * generator.latent_scale()
    np.testing.assert_allclose(moved, [[0, 0, step, step, 0, 0]] * 2, rtol=1e-5)


def test_a_decoders_first_layer_is_what_counts_in_w(tmp_path):
    torch.manual_seed(0)
    generator = VAE(6, (3, 16, 16), width=0.1, flow_layers=2)
    directions = fit(tmp_path, SeFa(6), generator)
    vectors = dense_solution(generator.decoder.stem[0].weight.detach(), True)[1]
    np.testing.assert_allclose(np.abs((directions.vectors().numpy() * vectors).sum(1)), 1.0, atol=1e-5)


def test_dead_dimensions_come_last_and_count_for_nothing(tmp_path):
    generator = Analytic(size=16, dead_dims=3)
    vectors = fit(tmp_path / "a", SeFa(8), generator).vectors()
    torch.testing.assert_close(vectors @ generator.mix[:, 8:], torch.zeros(8, 3), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="the weights answer to 8 directions only, not 9; ask for at most 8"):
        fit(tmp_path / "b", SeFa(9), generator)


def test_bad_input(tmp_path):
    generator = stylegan2()
    with pytest.raises(ValueError, match="13 orthogonal directions do not fit in 12 dimensions; ask for at most 12"):
        fit(tmp_path / "a", SeFa(13), generator)
    with pytest.raises(ValueError, match="num_directions must be a whole number of at least 1, got 0"):
        fit(tmp_path / "b", SeFa(0), generator)
    with pytest.raises(ValueError, match=r"0 <= first < last <= 6, got \(4, 2\)"):
        fit(tmp_path / "c", SeFa(2, first_layer=4, last_layer=2), generator)
    with pytest.raises(ValueError, match="Glow has no layer whose weights act on the latent as a whole"):
        fit(tmp_path / "d", SeFa(2), Glow.tiny())
    with pytest.raises(ValueError, match="BigGAN is conditional: pass a class label from 0 to 4"):
        fit(tmp_path / "e", SeFa(2), BigGAN.tiny())
    conditional = BigGAN.tiny()
    conditional.fix_label(2)
    assert fit(tmp_path / "f", SeFa(2), conditional).latent_dim == 4
