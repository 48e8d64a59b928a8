import math

import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.generators.analytic import Analytic
from contrafact.metrics import edit_effects, lpips, rescoring


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=12)


@pytest.fixture(scope="module")
def directions(generator):
    return GlobalDirections.random(generator.latent_dim, 3, torch.Generator().manual_seed(1))


def colours(images):
    return images.mean((2, 3))


def maps(images):
    return [images, images[:, :2, ::2]]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_it_is_the_mean_of_each_image_and_sign(generator, directions):
    latents = generator.sample(5, torch.Generator().manual_seed(0))
    wishes = np.array([[1.0, 0.5, -1.0], [0.0, 2.0, 0.0], [-1.0, 0.0, 0.0]])
    result = edit_effects(
        generator, directions, colours, distance=maps, wishes=wishes, latents=latents, magnitude=2.0, batch_size=2
    )
    for d in range(3):
        kept, far, aligned = [], [], []
        for latent in latents:
            before = generator(latent[None])
            for sign in (1, -1):
                after = generator(directions(latent[None], d, sign * 2.0))
                old, new = (colours(images)[0].double().tolist() for images in (before, after))
                kept.append(cosine(old, new))
                far.append(lpips(before, after, extractor=maps).score)
                change = [n - o for n, o in zip(new, old, strict=True)]
                aligned.append(cosine(change, sign * wishes[d]))
        # Images of other batch sizes differ in the last bits, of which a small change keeps fewer digits.
        assert result.identity[d] == pytest.approx(np.mean(kept), abs=1e-5)
        assert result.distance[d] == pytest.approx(np.mean(far), abs=1e-5)
        assert result.alignment[d] == pytest.approx(np.mean(aligned), abs=1e-3)
    assert result.scores() == pytest.approx(
        {"score": result.identity.mean(), "distance": result.distance.mean(), "alignment": result.alignment.mean()}
    )
    assert result.protocol == "edit_effects_colours_maps_n5_magnitude2"
    assert result.details()[2] == (
        f"direction 2: identity {result.identity[2]:.3f}, distance {result.distance[2]:.3f}, "
        f"alignment {result.alignment[2]:.3f}"
    )


def test_what_does_not_move_keeps_everything_and_goes_nowhere():
    scene = Analytic("sprite", size=12, dead_dims=1, mix_seed=None)
    still = GlobalDirections.of(torch.eye(scene.latent_dim)[-1:])
    result = edit_effects(scene, still, colours, distance=maps, wishes=np.ones((1, 3)), num_latents=4)
    assert result.identity == pytest.approx(1.0, abs=1e-6)
    assert (result.distance.tolist(), result.alignment.tolist()) == ([0.0], [0.0])


def test_only_what_was_asked_for_is_in_the_table(generator, directions):
    result = edit_effects(generator, directions, colours, num_latents=4)
    assert (result.distance, result.alignment) == (None, None)
    assert set(result.scores()) == {"score"}
    assert result.details()[0] == f"direction 0: identity {result.identity[0]:.3f}"


def test_what_changes_stands_beside_its_side_effects(generator, directions):
    latents = generator.sample(5, torch.Generator().manual_seed(0))
    asked = {"latents": latents, "magnitude": 2.0}
    names = ("red", "green", "blue")
    result = edit_effects(generator, directions, colours, predictor=colours, attributes=names, batch_size=2, **asked)
    # Images of other batch sizes differ in the last bits.
    np.testing.assert_allclose(result.change, rescoring(generator, directions, colours, **asked).matrix, atol=1e-6)
    red, green, blue = result.change[1]
    assert result.details()[1] == (
        f"direction 1: red {red:+.3f}, green {green:+.3f}, blue {blue:+.3f}, identity {result.identity[1]:.3f}"
    )
    one = edit_effects(generator, directions, colours, predictor=lambda images: images.mean((1, 2, 3)), **asked)
    assert one.change.shape == (3, 1)
    assert one.details()[0].startswith(f"direction 0: attribute 0 {one.change[0, 0]:+.3f}, identity")
    with pytest.raises(ValueError, match="2 attributes named, but the predictor returns 3"):
        edit_effects(generator, directions, colours, predictor=colours, attributes=names[:2], **asked)


@pytest.mark.parametrize(
    ("extractor", "settings", "message"),
    [
        (colours, {"magnitude": 0.0}, "magnitude must be positive, got 0.0"),
        (colours, {"wishes": np.ones((2, 3))}, r"a row for each of 3 directions and a column for each of 3 .*\(2, 3\)"),
        (colours, {"distance": "squeeze"}, "extractor must be one of alex, vgg or a function of images"),
        (lambda images: 0.0 * colours(images), {}, "an embedding of length 0, which has no direction"),
        (colours, {"predictor": lambda images: images}, r"the predictor got 6 images and returned an array of shape"),
        (lambda images: images, {}, r"expected one row of features per image, \(3, D\)"),
    ],
)
def test_refusals(generator, directions, extractor, settings, message):
    with pytest.raises(ValueError, match=message):
        edit_effects(generator, directions, extractor, num_latents=3, **settings)
