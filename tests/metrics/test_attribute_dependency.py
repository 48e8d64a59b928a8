import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.generators.analytic import Analytic
from contrafact.metrics import attribute_dependency, rescoring


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=12)


def colours(images):
    return images.mean((2, 3))


def test_it_is_the_mean_and_largest_change_of_the_others(generator):
    latents = generator.sample(9, torch.Generator().manual_seed(0))
    directions = GlobalDirections.random(generator.latent_dim, 4, torch.Generator().manual_seed(1))
    result = attribute_dependency(generator, directions, colours, latents=latents, magnitudes=(0.5, 2.0), batch_size=4)
    np.testing.assert_array_equal(
        result.best, rescoring(generator, directions, colours, latents=latents, magnitude=2.0).best
    )
    with torch.no_grad():
        before = colours(generator(latents)).double().numpy()
        for a in range(3):
            shares = []
            for s, size in enumerate((0.5, 2.0)):
                target, mean, largest = [], [], []
                for sign in (1, -1):
                    after = colours(generator(directions(latents, int(result.best[a]), sign * size))).double().numpy()
                    for n in range(9):
                        change = np.abs(after[n] - before[n]) / before.std(axis=0)
                        others = [change[b] for b in range(3) if b != a]
                        target.append(change[a])
                        mean.append(np.mean(others))
                        largest.append(max(others))
                assert result.target[a, s] == pytest.approx(np.mean(target), rel=1e-4)
                assert result.mean_dependency[a, s] == pytest.approx(np.mean(mean), rel=1e-4)
                assert result.max_dependency[a, s] == pytest.approx(np.mean(largest), rel=1e-4)
                shares.append((np.mean(mean), np.mean(target)))
            assert result.per_factor[a] == pytest.approx(
                sum(m for m, _ in shares) / sum(t for _, t in shares), rel=1e-4
            )
    assert result.score == pytest.approx(result.per_factor.mean())


def test_true_directions_change_one_factor_and_mixed_ones_more(generator):
    reads = []
    render = generator.forward

    def forward(latent):
        reads[:] = [generator.factors(latent)[:, :3]]
        return render(latent)

    generator.forward = forward
    true = generator.true_directions()[:3]
    pure = attribute_dependency(generator, GlobalDirections.of(true), lambda images: reads[0], num_latents=50)
    mixed = torch.stack([true[0] + 0.5 * true[1], true[1], true[2]])
    other = attribute_dependency(generator, GlobalDirections.of(mixed), lambda images: reads[0], num_latents=50)
    assert pure.score == pytest.approx(0.0, abs=1e-5)
    assert pure.best.tolist() == [0, 1, 2]
    # Half as far in one of the two others.
    assert other.per_factor[0] == pytest.approx(0.25, rel=0.3)
    assert other.worst[0] == 1
    assert other.per_factor[1:] == pytest.approx(0.0, abs=1e-5)
    del generator.forward


def test_the_table_names_what_goes_along(generator):
    directions = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(1))
    names = ("red", "green", "blue")
    result = attribute_dependency(generator, directions, colours, num_latents=6, attributes=names)
    assert set(result.scores()) == {"score", *names}
    line = result.details()[0]
    assert line.startswith(f"red: direction {result.best[0]} changes it by {result.target[0, -1]:.2f} σ, others by ")
    assert line.endswith(f"most of all {names[result.worst[0]]}")
    assert attribute_dependency(generator, directions, colours, num_latents=6).details()[1].startswith("attribute 1: ")


@pytest.mark.parametrize(
    ("predictor", "settings", "message"),
    [
        (colours, {"magnitudes": (2.0, 1.0)}, r"magnitudes must rise from above 0, got \[2.0, 1.0\]"),
        (colours, {"magnitudes": ()}, r"magnitudes must rise from above 0, got \[\]"),
        (lambda x: x.mean((1, 2, 3)), {}, "the predictor must return at least two"),
        (lambda x: colours(x) * torch.tensor([1.0, 0.0, 1.0]), {}, "attribute 1 is the same for all images"),
        (colours, {"attributes": ("a",)}, "1 attributes named, but the predictor returns 3"),
    ],
)
def test_refusals(generator, predictor, settings, message):
    directions = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=message):
        attribute_dependency(generator, directions, predictor, num_latents=5, **settings)


def test_an_attribute_that_no_direction_changes_is_named(generator):
    still = GlobalDirections.of(torch.eye(10)[[8, 9]])
    scene = Analytic("sprite", size=12, dead_dims=2, mix_seed=None)
    with pytest.raises(ValueError, match="no direction changes attribute 0 at all"):
        attribute_dependency(scene, still, colours, num_latents=5)
