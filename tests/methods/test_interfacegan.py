import numpy as np
import pytest
import torch

from contrafact.core.artefact import save_artefact
from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.generators.vae import VAE
from contrafact.methods.interfacegan import InterFaceGAN, boundary, conditioned
from contrafact.nn.attributes import AttributeClassifier

SMALL = {"num_latents": 400, "chosen": 0.2}


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=16)


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents, scores that follow them not quite linearly, and three unit vectors."""
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(500, 4))
    scores = latents @ np.array([1.0, -2, 0.5, 0]) + 0.3 * np.sin(3 * latents[:, 3]) + 0.2 * rng.normal(size=500)
    vectors = rng.normal(size=(3, 4))
    return latents, scores, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


RELEASED = np.array([0.44299691915512085, -0.877831220626831, 0.18150188028812408, -0.01493588462471962])
"""The boundary that genforce/interfacegan's train_boundary finds in the example (a tenth chosen, none held out)."""


def test_the_boundary_is_the_released_programs():
    latents, scores, _ = example()
    found = boundary(latents, scores, chosen=0.1, held_out=0.0)
    assert found.normal @ RELEASED > 0.9999, "the machine stops within a tolerance, wherever its order of latents leads"
    assert found.accuracy is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, [0.3131255879453814, -0.935959821464236, 0.06754798124274403, -0.1461808777115695]),
        (2, [0.13244052453579083, -0.9865349369132239, 0.08238455952267468, 0.04920477682665389]),
        (3, [-0.25878498323794086, -0.43129071808297575, 0.7993948871046246, -0.32861293860253604]),
    ],
)
def test_conditional_directions_are_the_released_programs(number, expected):
    """Its project_boundary on the example's first vectors."""
    vectors = example()[2][:number]
    found = conditioned(RELEASED, vectors)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(vectors @ found, 0.0, atol=1e-6)
    np.testing.assert_allclose(conditioned(RELEASED, np.zeros((0, 4))), RELEASED)


def test_what_lies_in_its_conditions_has_nothing_left():
    with pytest.raises(ValueError, match="lies in the span of its conditions, so nothing of it is left; drop some"):
        conditioned(np.array([0.6, 0.8, 0.0]), np.eye(3)[:2])


def test_a_linear_attribute_is_found_and_held_out_latents_are_on_their_side():
    rng = np.random.default_rng(0)
    latents, truth = rng.normal(size=(4000, 6)), np.array([0.0, 0.6, 0.0, 0.0, -0.8, 0.0])
    found = boundary(latents, 5 * latents @ truth + 1, chosen=0.1, held_out=0.3)
    assert found.normal @ truth > 0.98
    assert found.accuracy == 1.0


def test_held_out_latents_are_not_fitted_on(monkeypatch):
    import sklearn.svm

    fitted = []

    class Spy(sklearn.svm.SVC):
        def fit(self, latents, labels):
            fitted.append((len(latents), labels.mean()))
            return super().fit(latents, labels)

    monkeypatch.setattr(sklearn.svm, "SVC", Spy)
    latents, scores, _ = example()
    boundary(latents, scores, chosen=0.2, held_out=0.3)
    assert fitted == [(140, 0.5)]


def test_latents_that_nobody_could_judge_are_left_out():
    latents, scores, _ = example()
    hidden = np.random.default_rng(2).normal(size=(30, 4)) * 9
    found = boundary(np.concatenate([hidden, latents]), np.concatenate([np.full(30, np.nan), scores]), 0.1, 0.0)
    np.testing.assert_array_equal(found.normal, boundary(latents, scores, 0.1, 0.0).normal)
    with pytest.raises(ValueError, match=r"a share of 0\.1 of 5 latents leaves none"):
        boundary(latents, np.where(np.arange(500) < 5, scores, np.nan), 0.1, 0.0)
    with pytest.raises(ValueError, match="could judge none of 500 images"):
        boundary(latents, np.full(500, np.nan), 0.1, 0.0)


def test_too_few_latents_and_attributes_that_do_not_vary():
    latents = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(ValueError, match=r"a share of 0.005 of 100 latents leaves none to separate; raise num_latents"):
        boundary(latents, latents[:, 0], chosen=0.005)
    rare = (np.arange(100) < 4).astype(float)
    with pytest.raises(
        ValueError, match=r"the 10 highest scores and the 10 lowest overlap \(both hold 0\).*hardly varies"
    ):
        boundary(latents, rare, chosen=0.1)
    assert boundary(latents, rare, chosen=0.04, held_out=0.0).normal.shape == (3,)


def test_true_factors_give_the_true_directions(generator, tmp_path):
    learned = InterFaceGAN(num_latents=4000, chosen=0.1).fit(generator, quiet(tmp_path / "run"))
    assert learned.directions.names == list(generator.factor_names)
    cosines = (learned.directions.vectors() * generator.true_directions()).sum(dim=1)
    assert (cosines > 0.95).all()
    assert all(accuracy == 1.0 for accuracy in learned.directions.note["accuracy"].values())
    read = load_run(tmp_path / "run").directions
    assert read.index(generator.factor_names[2]) == 2


def test_a_chosen_attribute_conditioned_on_others(generator, tmp_path):
    first, second, third = generator.factor_names[:3]
    one = InterFaceGAN(**SMALL, attributes=(first,), condition_on=(second, third))
    conditional = one.fit(generator, quiet(tmp_path / "one")).directions
    every = InterFaceGAN(**SMALL, attributes=(first, second, third)).fit(generator, quiet(tmp_path / "all")).directions
    assert conditional.names == [first]
    vectors = every.vectors().double().numpy()
    expected = conditioned(vectors[0], vectors[1:])
    np.testing.assert_allclose(conditional.vectors()[0].numpy(), expected, atol=1e-5)
    apart = InterFaceGAN(**SMALL, attributes=(first, second, third), condition_on=("others",))
    apart_vectors = apart.fit(generator, quiet(tmp_path / "apart")).directions.vectors().double().numpy()
    for k in range(3):
        np.testing.assert_allclose(apart_vectors[k] @ np.delete(vectors, k, axis=0).T, 0.0, atol=1e-5)


def test_a_function_of_images_judges(generator, tmp_path):
    """Brightness of the image, as a user's file gives it: the direction found makes images brighter."""
    (tmp_path / "mine.py").write_text(
        "def judge(images):\n    return images.mean(dim=(1, 2, 3))\n\njudge.names = ['brightness']\n"
    )
    method = InterFaceGAN(**SMALL, predictor=f"{tmp_path}/mine.py:judge")
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    assert directions.names == ["brightness"]
    latent = generator.sample(32, torch.Generator().manual_seed(1))
    light, dark = (generator(directions(latent, 0, step)).mean() for step in (2.0, -2.0))
    assert light > dark + 0.02


def test_a_predictor_sees_images_as_pictures_show_them(generator, tmp_path, monkeypatch):
    made = type(generator).forward
    monkeypatch.setattr(type(generator), "forward", lambda self, latent: 5 * made(self, latent) - 2)
    (tmp_path / "mine.py").write_text(
        "def judge(images):\n    assert 0 <= images.min() and images.max() <= 1\n    return images.mean(dim=(2, 3))\n"
    )
    assert generator(generator.sample(8, seed=0)).max() > 1.5
    InterFaceGAN(**SMALL, predictor=f"{tmp_path}/mine.py:judge").fit(generator, quiet(tmp_path / "run"))


def test_a_classifier_judges_one_value_of_a_factor(tmp_path):
    torch.manual_seed(0)
    generator = VAE(4, (3, 16, 16), width=0.1)
    classifier = AttributeClassifier((3, 16, 16), ["hue", "size"], [4, 2], width=0.1)
    save_artefact(classifier, tmp_path / "encoder.safetensors")
    method = InterFaceGAN(**SMALL, predictor=str(tmp_path / "encoder.safetensors"), attributes=("hue:3", "size"))
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    assert directions.names == ["hue:3", "size"]
    latent = generator.sample(64, torch.Generator().manual_seed(1))
    for d, name in enumerate(directions.names):
        more, less = (classifier.margins(generator(directions(latent, d, s)), [name]).mean() for s in (2.0, -2.0))
        assert more > less
    with pytest.raises(ValueError, match="unknown attribute 'huee'; did you mean 'hue'"):
        InterFaceGAN(**SMALL, predictor=str(tmp_path / "encoder.safetensors"), attributes=("huee",)).fit(
            generator, quiet(tmp_path / "wrong")
        )


def test_style_layers_are_moved_alone(tmp_path):
    generator = StyleGAN2(16, latent_dim=8, channels=[8, 8, 8], mapping_layers=2)
    (tmp_path / "mine.py").write_text("def judge(images):\n    return images.mean(dim=(1, 2, 3))\n")
    method = InterFaceGAN(**SMALL, predictor=f"{tmp_path}/mine.py:judge", last_layer=2)
    directions = method.fit(generator, quiet(tmp_path / "run")).directions
    assert directions.layers == (0, 2)
    assert directions.names == ["attribute 0"]


def test_somebody_must_see(tmp_path):
    generator = VAE(4, (3, 16, 16), width=0.1)
    generator.note = {"trained_on": "shapes3d"}
    with pytest.raises(
        ValueError,
        match=r"fit attribute_predictor --data shapes3d --size 16 .*--predictor runs/predictor; or .*FILE.py",
    ):
        InterFaceGAN(**SMALL).fit(generator, quiet(tmp_path / "run"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chosen": 0.0}, r"chosen must lie in \(0, 0.5\], got 0.0"),
        ({"chosen": 0.6}, r"chosen must lie .* got 0.6"),
        ({"held_out": 1.0}, r"held_out must lie in \[0, 1\), got 1.0"),
        ({"penalty": 0.0}, "penalty must be above 0, got 0.0"),
        ({"num_latents": 0}, "num_latents must be a whole number of at least 1, got 0"),
        ({"num_latents": 4}, r"attribute '.*': a share of 0.2 of 4 latents leaves none to separate"),
        ({"attributes": ("smile",)}, "unknown attribute 'smile'; .*known:"),
        ({"condition_on": ("smile",)}, "unknown attribute 'smile'; .*known:"),
        ({"predictor": "nowhere"}, "'nowhere' is no attribute predictor"),
        ({"truncation": 2.0}, r"truncation must lie in \[0, 1\], got 2.0"),
        ({"truncation": 0.0}, "attribute '.*': the 80 highest scores and the 80 lowest overlap"),
    ],
)
def test_settings_that_cannot_be(settings, message, generator, tmp_path):
    with pytest.raises(ValueError, match=message):
        InterFaceGAN(**{**SMALL, **settings}).fit(generator, quiet(tmp_path / "run"))
