"""Translations between classes, against loops over single images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch

import contrafact as cf
from contrafact.core.generator import Generator
from contrafact.core.memory import as_dataset
from contrafact.evaluation.classes import classifier_of
from contrafact.evaluation.run import check_asked, evaluate_run
from contrafact.evaluation.scores import read_scores
from contrafact.evaluation.translation import (
    FID,
    LPIPS,
    ClassifierMaps,
    Translator,
    class_columns,
    draws,
    translation_scores,
)
from contrafact.nn.factor_codes import FactorEncoder

L, CLASSES = 16, 3
PARTS = {"class": (0, 3), "correlated": (3, 7), "residual": (7, 16)}
EXTRACTORS = """
import torch

def vectors(images):
    return images.flatten(1)[:, :5] + 0.3 * images.flatten(1)[:, 5:10]

def maps(images):
    both = torch.cat([images, 1 - images], 1)
    return [both, both[:, :, :2] ** 2]
"""


def turn():
    """An orthogonal matrix, by which latents and pixels are the same thing."""
    return torch.linalg.qr(torch.randn(L, L, generator=torch.Generator().manual_seed(2)))[0]


class Reads(FactorEncoder):
    """Latents of images, exactly."""

    def __init__(self):
        super().__init__()
        self.image_shape, self.code_dim = (1, 4, 4), 7
        self.factor_names, self.factor_dim, self.residual_dim = ("class",), 3, 9
        self.weight = torch.nn.Parameter(turn())

    def encode(self, images):
        return (images.flatten(1) @ self.weight)[:, :7]

    def residual(self, images):
        return (images.flatten(1) @ self.weight)[:, 7:]


class Makes(Generator):
    """Images of latents, exactly."""

    def __init__(self, parts=PARTS):
        super().__init__()
        self.latent_dim, self.image_shape, self.parts = L, (1, 4, 4), parts
        self.weight = torch.nn.Parameter(turn())

    def forward(self, latent):
        return (latent @ self.weight.T).view(-1, 1, 4, 4)


def a_run(parts=PARTS):
    encoder, generator = Reads().eval(), Makes(parts).eval()
    return SimpleNamespace(
        encoder=encoder, generator=generator, folder=Path("run"), annotated_factors=("class",), has=lambda name: True
    )


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (90,), generator=rng).numpy()
    shown = torch.rand(90, 1, 4, 4, generator=rng) * 0.6 + 0.1 * torch.from_numpy(labels)[:, None, None, None]
    return as_dataset((shown.clamp(0, 1), labels))


@pytest.fixture(autouse=True)
def extractors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(EXTRACTORS)


def frechet(first, second):
    """Heusel et al., Eq. 6, with scipy's square root."""
    means, covariances = zip(*((x.mean(0), np.cov(x, rowvar=False)) for x in (first, second)), strict=True)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def by_hand(images, seed, parts=PARTS):
    """Every translation, one image at a time: by class, real images and the four kinds that are made."""
    shown = images.batch(np.arange(90))
    order = np.random.default_rng(seed).permutation(90)
    labels, matrix = images.labels[order], turn()
    latents = [shown[place].flatten() @ matrix for place in order]
    code = {
        to: sum(z[:3] for z, c in zip(latents, labels, strict=True) if c == to) / sum(labels == to) for to in range(3)
    }

    def made(residual_of, rest_of, to):
        first, last = parts["residual"]
        z = latents[rest_of].clone()
        z[first:last] = latents[residual_of][first:last]
        z[:3] = code[to]
        return (matrix @ z).view(1, 4, 4).clamp(0, 1)

    for draw in draws(labels, seed):
        triples = list(zip(draw.sources, draw.first, draw.second, strict=True))
        yield {
            "real": [shown[order[r]] for _, r, _ in triples],
            "other real": [shown[order[r]] for _, _, r in triples],
            "translated": [made(s, r, draw.to) for s, r, _ in triples],
            "another": [made(s, r, draw.to) for s, _, r in triples],
            "untranslated": [made(s, s, labels[s]) for s, _, _ in triples],
            "rebuilt": [made(r, r, draw.to) for _, r, _ in triples],
        }


def test_distances_are_those_of_translations_made_one_by_one(images):
    def vectors(several):
        return np.array([[float(x.flatten()[i] + 0.3 * x.flatten()[5 + i]) for i in range(5)] for x in several])

    rows = [
        [frechet(vectors(kinds["real"]), vectors(kinds[name])) for name in ("translated", "untranslated", "rebuilt")]
        for kinds in by_hand(images, seed=3)
    ]
    found = translation_scores([FID], a_run(), images, 90, 3, "cpu", "mine.py:vectors")[FID]
    expected = np.mean(rows, axis=0)
    assert [found.score, found.untranslated, found.rebuilt] == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-6)
    assert found.per_factor.tolist() == pytest.approx([row[0] for row in rows], rel=1e-4)
    assert found.protocol == f"fid_vectors_translation_n{found.num_train}"


def test_variety_is_that_of_pairs_made_one_by_one(images):
    def distance(a, b):
        """Zhang et al., Eq. 1, all channels alike."""
        total = 0.0
        for rows, power in ((4, 1), (2, 2)):
            for y in range(rows):
                for x in range(4):
                    u, v = (np.array([float(i[0, y, x]), 1 - float(i[0, y, x])]) ** power for i in (a, b))
                    total += ((u / np.linalg.norm(u) - v / np.linalg.norm(v)) ** 2).sum() / (4 * rows)
        return total

    def mean(kinds, first, second):
        return np.mean([distance(a, b) for a, b in zip(kinds[first], kinds[second], strict=True)])

    every = list(by_hand(images, seed=3))
    made = [mean(kinds, "translated", "another") for kinds in every]
    found = translation_scores([LPIPS], a_run(), images, 90, 3, "cpu", "mine.py:maps")[LPIPS]
    assert found.score == pytest.approx(np.mean(made), rel=1e-4)
    assert found.per_factor.tolist() == pytest.approx(made, rel=1e-4)
    assert found.real == pytest.approx(np.mean([mean(kinds, "real", "other real") for kinds in every]), rel=1e-4)
    assert found.scores() == {"score": found.score, "real": found.real}


def test_a_method_that_keeps_nothing_with_the_class_has_no_variety(images):
    everything = {"class": (0, 3), "residual": (3, 16)}
    found = translation_scores([LPIPS], a_run(everything), images, 90, 0, "cpu", "mine.py:maps")[LPIPS]
    assert found.score == 0.0
    assert found.real > 0


def test_draws_are_of_other_classes_and_use_each_reference_once():
    classes = np.array([0] * 30 + [1] * 5 + [2] * 8)
    for draw in draws(classes, seed=1):
        assert (classes[draw.sources] != draw.to).all()
        assert len(set(draw.sources.tolist())) == len(draw.sources) == {0: 13, 1: 5, 2: 8}[draw.to]
        for references in (draw.first, draw.second):
            assert (classes[references] == draw.to).all()
            assert len(set(references.tolist())) == len(references) == len(draw.sources)
        assert (draw.first != draw.second).all()
    again = [[part.tolist() for part in draw[1:]] for draw in draws(classes, seed=1)]
    assert again == [[part.tolist() for part in draw[1:]] for draw in draws(classes, seed=1)]
    assert again != [[part.tolist() for part in draw[1:]] for draw in draws(classes, seed=2)]


def test_what_cannot_be_translated_is_refused(images):
    with pytest.raises(ValueError, match="at least two classes of two images each, got 3 of class 0, 1 of class 1"):
        draws(np.array([0, 0, 0, 1]), seed=0)
    with pytest.raises(ValueError, match="run cannot translate between classes: it needs an encoder and a generator"):
        class_columns(a_run({"class": (0, 16)}), "class")
    with pytest.raises(ValueError, match="has no classes to translate between, which fid:translation needs"):
        translation_scores([FID], a_run(), as_dataset(images.batch([0, 1, 2])), 3, 0, "cpu")
    with pytest.raises(ValueError, match="alex is a network of LPIPS; fid:translation takes inception"):
        translation_scores([FID], a_run(), images, 90, 0, "cpu", "alex")


@pytest.mark.parametrize("method", [cf.methods.LORD, cf.methods.OverLORD, cf.methods.ContraLORD])
def test_every_method_of_the_family_translates(method, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("contrafact.evaluation.classes.CLASSIFIER_STEPS", 2)
    settings = {"width": 0.1, "steps": 2, "encoder_steps": 2, "batch_size": 8, "num_images": 60}
    more = {"synthesis_steps": 1} if method is cf.methods.OverLORD else {}
    data = cf.load_dataset("fashion-mnist", labels=50)
    run = method.preset("quick", **settings, **more).fit(data, "run", device="cpu")
    check_asked(run, [FID, LPIPS])
    found = dict(evaluate_run(run, metrics=[FID, LPIPS], num_train=100))
    assert list(found) == [FID, LPIPS]
    assert len(found[FID].per_factor) == 10
    assert found[FID].protocol == f"fid_fashion-mnist-classifier_translation_n{found[FID].num_train}"
    assert (found[LPIPS].score == 0.0) == (method is cf.methods.LORD)
    lines = {line["metric"]: line for line in read_scores(run.folder)}
    assert lines[FID]["scores"].keys() == {"score", "untranslated", "rebuilt"}


def test_maps_of_the_classifier_are_its_convolutions(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("contrafact.evaluation.classes.CLASSIFIER_STEPS", 1)
    data = cf.load_dataset("fashion-mnist")
    classifier = classifier_of(data)
    maps = ClassifierMaps(classifier, data.name)
    shown, expected = data.batch([0, 1]), []
    for layer in classifier.body[0].convolutions:
        shown = layer(shown)
        expected += [shown] if isinstance(layer, torch.nn.LeakyReLU) else []
    for one, other in zip(maps(data.batch([0, 1])), expected, strict=True):
        assert torch.equal(one, other)


def test_a_rebuilt_image_keeps_all_but_its_classes_code():
    latents, classes = torch.arange(8.0).view(4, 2), np.array([0, 0, 1, 1])
    translator = Translator(latents, classes, slice(0, 1), slice(1, 2), Makes())
    assert translator.rebuilt(np.array([3, 0])).tolist() == [[5.0, 7.0], [1.0, 1.0]]
    assert translator.latents(np.array([0]), np.array([2]), 1).tolist() == [[5.0, 1.0]]
