import numpy as np
import pytest
import torch

from contrafact.core.directions import CurvedDirections, GlobalDirections, LayeredDirections
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.evaluation.regression import RegressionSettings, coordinates_along, regress_encoder
from contrafact.generators.analytic import Analytic
from tests.conftest import quiet


def test_coordinates_are_projections_in_standard_deviations():
    rng = torch.Generator().manual_seed(0)
    vectors, latent, center = (torch.randn(*shape, generator=rng) for shape in [(3, 5), (7, 5), (5,)])
    found = coordinates_along(GlobalDirections.of(vectors, scale=2.0), latent, center)
    for n in range(7):
        for d in range(3):
            unit = (vectors[d] / vectors[d].norm()).numpy()
            assert found[n, d].item() == pytest.approx(
                float(np.dot((latent[n] - center).numpy(), unit)) / 2.0, abs=1e-5
            )


def test_a_curved_direction_counts_as_its_unit_step():
    directions = CurvedDirections(5, 2, hidden_dim=8)
    latent = torch.zeros(1, 5)
    step = directions(latent, 1, 1.0).detach()
    assert coordinates_along(directions, step, torch.zeros(5))[0, 1].item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("layers", [None, (1, 3)])
def test_a_vector_per_layer_counts_by_least_squares_over_its_layers(layers):
    rng = torch.Generator().manual_seed(0)
    vectors, latent, center = (torch.randn(*shape, generator=rng) for shape in [(2, 4, 5), (3, 5), (5,)])
    found = coordinates_along(LayeredDirections.of(vectors, scale=2.0, layers=layers), latent, center)
    acts = slice(*layers) if layers else slice(None)
    for n in range(3):
        spread = (latent[n] - center).expand(4, 5)[acts].flatten().double().numpy()
        for d in range(2):
            column = 2.0 * vectors[d, acts].flatten().double().numpy()
            expected = np.linalg.lstsq(column[:, None], spread, rcond=None)[0][0]
            assert found[n, d].item() == pytest.approx(expected, abs=1e-5)


def test_the_encoder_learns_to_read_the_latent(tmp_path):
    generator = Analytic("sprite", size=16, mix_seed=None)
    directions = GlobalDirections.of(generator.true_directions()[:2])
    run = quiet(tmp_path)
    encoder = regress_encoder(generator, directions, run, RegressionSettings(steps=150, batch_size=64, width=0.2))
    assert encoder.code_dim == 2
    latent = generator.sample(500, torch.Generator().manual_seed(1))
    with torch.no_grad():
        codes = encoder(generator(latent).clamp(0, 1))
    for k in range(2):
        assert np.corrcoef(codes[:, k], latent @ directions.vectors()[k].detach())[0, 1] > 0.8


def test_it_reads_the_first_directions_only(tmp_path):
    generator = Analytic.tiny()
    directions = GlobalDirections.random(generator.latent_dim, 6, torch.Generator().manual_seed(0))
    settings = RegressionSettings(steps=2, batch_size=4, num_directions=4, width=0.1)
    assert regress_encoder(generator, directions, quiet(tmp_path), settings).code_dim == 4


def test_directions_of_another_generator_are_refused(tmp_path):
    generator = Analytic.tiny()
    with pytest.raises(ValueError, match=r"live in 3 latent dimensions, the generator has \d+; use the generator"):
        regress_encoder(generator, GlobalDirections(3, 2), quiet(tmp_path), RegressionSettings())


def test_of_whitened_directions_the_coordinates_are_positions_on_the_sliders():
    sliders = WhitenedDirections.of(2 * torch.eye(3), groups=[[0, 1], [2]])
    latent = torch.tensor([[0.0, 4.0, 6.0]])
    found = coordinates_along(sliders, latent, torch.zeros(3))
    torch.testing.assert_close(found, torch.tensor([[torch.pi / 2, 3.0]]))


def test_the_smaller_network_is_noted_and_the_usual_one_is_not():
    assert "network" not in RegressionSettings().recorded()
    small = RegressionSettings(network="locatello").recorded()
    assert RegressionSettings(**small).network == "locatello"
