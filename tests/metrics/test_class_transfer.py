import numpy as np
import pytest
import torch
from torch import nn

import contrafact as cf
from contrafact.core.directions import GlobalDirections
from contrafact.generators import BigGAN
from contrafact.metrics import class_transfer

PIXELS = 6


class Linear(nn.Module):
    """Images of ``PIXELS`` pixels, linear in the latent, by weights ``(classes, L, PIXELS)`` of each class's own."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.base = nn.Parameter(torch.randn(len(weights), PIXELS, generator=torch.Generator().manual_seed(1)))

    def forward(self, latent, label):
        return (self.base[label] + torch.einsum("nl,nlp->np", latent, self.weights[label])).view(-1, 1, 1, PIXELS)


def linear(weights, label=0):
    return cf.wrap(Linear(weights), weights.shape[1], image_range=(-30.0, 30.0), num_classes=len(weights), label=label)


def axes(number=4):
    return GlobalDirections.of(torch.eye(number))


@pytest.fixture(scope="module")
def curved():
    """A deep generator of five classes, fixed to the third, whose classes differ."""
    torch.manual_seed(3)
    generator = BigGAN.tiny()
    nn.init.normal_(generator.embed.weight, std=2.0)
    generator.fix_label(2)
    return generator.freeze()


@pytest.mark.parametrize("magnitude", [0.5, 3.0])
def test_a_change_that_is_the_same_in_every_class_transfers_wholly(magnitude):
    weights = torch.randn(1, 4, PIXELS, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    result = class_transfer(linear(weights.clone(), label=1), axes(), num_latents=7, magnitude=magnitude)
    assert (result.label, result.classes, result.chance) == (1, (0, 2), 0.25)
    assert result.score == result.own == 1.0
    assert result.matrix.tolist() == [[1.0, 1.0]] * 4
    assert result.similarity == pytest.approx(1.0, abs=1e-5)
    assert result.own_similarity == pytest.approx(1.0, abs=1e-5)


def test_changes_that_go_to_another_direction_are_given_to_it():
    """Pixel k follows latent k in the class itself, latent k + 1 in the next class, and is as before in a third."""
    still = torch.eye(4, PIXELS)
    result = class_transfer(linear(torch.stack([still, still.roll(1, 0), still])), axes(), num_latents=8)
    assert (result.own, result.own_similarity) == (1.0, pytest.approx(1.0, abs=1e-5))
    assert result.per_factor.tolist() == [0.0, 1.0]
    assert result.similarity == pytest.approx(0.5, abs=1e-5)  # 0 in one class, 1 in the other
    assert result.score == 0.5
    assert "found on class 0, where it is 1.00; chance is 0.25" in result.details()


def test_one_that_goes_the_other_way_does_not_transfer():
    still = torch.eye(4, PIXELS)
    back = still * torch.tensor([-1.0, 1.0, 1.0, 1.0])[:, None]
    result = class_transfer(linear(torch.stack([still, back])), axes(), num_latents=8)
    assert result.matrix[:, 0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert result.similarity == pytest.approx(0.5, abs=1e-5)


def test_effects_of_unrelated_classes_are_at_chance():
    weights = torch.randn(10, 4, PIXELS, generator=torch.Generator().manual_seed(0))
    scores = [class_transfer(linear(weights, label=label), axes(), num_latents=4).score for label in range(10)]
    assert np.mean(scores) == pytest.approx(0.25, abs=0.1)


def test_a_direction_that_does_nothing_is_not_found_again():
    still = torch.eye(4, PIXELS)
    still[0] = 0  # the first: ties must not fall to it
    result = class_transfer(linear(torch.stack([still, still])), axes(), num_latents=8)
    assert result.matrix[:, 0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert result.own == 0.75
    only_there = torch.eye(4, PIXELS)
    assert class_transfer(linear(torch.stack([only_there, still])), axes(), num_latents=8).matrix[0, 0] == 0.0


@torch.no_grad()
def by_loops(generator, directions, look, num_latents, magnitude):
    """Shares and mean cosines ``[class][direction]``, the class itself first, as the page's text says."""
    own, number = generator.label, directions.num_directions
    classes = [own, *(c for c in range(5) if c != own)]
    latents = generator.sample(num_latents, torch.Generator().manual_seed(0))
    half = num_latents // 2

    def change(label, latent, k, sign):
        source = BigGAN(**{**generator.arguments(), "label": label})
        source.load_state_dict(generator.state_dict())
        source.freeze()
        moved = latent + sign * magnitude * directions.scale * directions.vectors()[k]
        difference = (look(source, moved[None]) - look(source, latent[None])).flatten().double().numpy()
        return difference / np.linalg.norm(difference)

    share, alike = np.zeros((len(classes), number)), np.zeros((len(classes), number))
    for sign in (1, -1):
        means = [np.mean([change(own, z, k, sign) for z in latents[:half]], axis=0) for k in range(number)]
        means = [mean / np.linalg.norm(mean) for mean in means]
        for c, label in enumerate(classes):
            for k in range(number):
                for z in latents[half:]:
                    cosines = [float(change(label, z, k, sign) @ mean) for mean in means]
                    share[c, k] += (int(np.argmax(cosines)) == k) / (2 * (num_latents - half))
                    alike[c, k] += cosines[k] / (2 * (num_latents - half))
    return share, alike


def halves(images):
    return images.unflatten(2, (2, -1)).mean((3, 4)).flatten(1)


@pytest.mark.parametrize("seen", ["image", "blocks.0", "extractor"])
def test_the_same_by_loops(curved, seen):
    directions = GlobalDirections.random(4, 3, torch.Generator().manual_seed(2), scale=1.0)
    look = {
        "image": lambda source, latent: source(latent).clamp(0, 1),
        "blocks.0": lambda source, latent: source.features(latent, "blocks.0"),
        "extractor": lambda source, latent: halves(source(latent).clamp(0, 1)),
    }[seen]
    settings = {"extractor": halves} if seen == "extractor" else {"layer": seen}
    result = class_transfer(curved, directions, num_latents=9, magnitude=1.5, batch_size=4, **settings)
    share, alike = by_loops(curved, directions, look, 9, 1.5)
    assert result.classes == (0, 1, 3, 4)
    assert (result.num_train, result.num_test) == (4, 5)
    np.testing.assert_allclose(result.matrix, share[1:].T, atol=1e-12)
    np.testing.assert_allclose(result.per_factor, share[1:].mean(axis=1), atol=1e-12)
    assert result.score == pytest.approx(share[1:].mean())
    assert result.own == pytest.approx(share[0].mean())
    assert result.similarity == pytest.approx(alike[1:].mean(), abs=1e-4)
    assert result.own_similarity == pytest.approx(alike[0].mean(), abs=1e-4)
    if seen == "image":
        assert 1 / 3 < result.score < 1, "the case is not one of the extremes"


def test_signs_of_directions_do_not_matter(curved):
    vectors = GlobalDirections.random(4, 3, torch.Generator().manual_seed(2)).vectors().detach()
    one, other = (class_transfer(curved, GlobalDirections.of(s * vectors), num_latents=8) for s in (1.0, -1.0))
    np.testing.assert_array_equal(one.matrix, other.matrix)
    assert one.similarity == pytest.approx(other.similarity, abs=1e-6)


def test_the_generator_keeps_its_class(curved):
    latent = curved.sample(2, seed=0)
    before = curved(latent)
    class_transfer(curved, axes(), num_latents=4)
    assert curved.label == 2
    assert torch.equal(curved(latent), before)


def test_of_many_classes_nine_are_drawn_by_the_seed():
    weights = torch.eye(4, PIXELS).expand(30, -1, -1).clone()
    found = [class_transfer(linear(weights, 5), axes(), num_latents=2, seed=seed).classes for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert all(len(set(classes)) == 9 and 5 not in classes for classes in found)
    assert class_transfer(linear(weights, 5), axes(), num_latents=2, classes=[29, 0]).classes == (29, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": [0, 2]}, r"classes must name others than the generator's own, 2, each once; got \[0, 2\]"),
        ({"classes": [0, 0]}, "each once"),
        ({"classes": []}, "classes must name others"),
        ({"classes": [5]}, "label must be a class from 0 to 4, got 5"),
        ({"num_latents": 1}, "at least 2 latents"),
        ({"magnitude": 0.0}, "magnitude must be positive and finite, got 0.0"),
        ({"magnitude": float("inf")}, "magnitude must be positive and finite"),
        ({"batch_size": 0}, "batch_size"),
        ({"layer": "blocks.9"}, "unknown layer 'blocks.9'"),
        ({"layer": "blocks.0", "extractor": halves}, "an extractor of images or a layer, not both"),
        ({"extractor": lambda images: images.mean() * torch.ones(1)}, "one row of finite features per image"),
        ({"extractor": lambda images: halves(images) * torch.nan}, "the extractor must give one row of finite"),
    ],
)
def test_bad_settings_are_refused(curved, settings, message):
    with pytest.raises(ValueError, match=message):
        class_transfer(curved, axes(), **{"num_latents": 4, **settings})


def test_other_generators_and_directions_are_refused(curved):
    with pytest.raises(ValueError, match="this Analytic has no class fixed"):
        class_transfer(cf.load_generator("analytic"), axes(8))
    with pytest.raises(ValueError, match="this BigGAN has no class fixed"):
        class_transfer(BigGAN.tiny().freeze(), axes(7))
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        class_transfer(curved, GlobalDirections.of(torch.eye(4)[:1]))
    with pytest.raises(ValueError, match="the directions live in 5 latent dimensions but the generator in 4"):
        class_transfer(curved, axes(5))
