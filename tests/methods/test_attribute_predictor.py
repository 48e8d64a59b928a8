import numpy as np
import pytest
import torch

from contrafact.core.dataset import FewLabels, ImageDataset
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.methods.attribute_predictor import AttributePredictor, KnownFactors, worsened
from contrafact.nn.attributes import load_predictor


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


class Greys(ImageDataset):
    """Grey pictures whose brightness is their class."""

    name, image_shape, source = "greys", (1, 8, 8), "made up"

    def __init__(self, labels=None, class_names=()):
        self._labels, self.class_names = labels, class_names

    def __len__(self):
        return 60

    def batch(self, indices):
        return (torch.as_tensor(np.asarray(indices) % 3).float() / 2)[:, None, None, None].expand(-1, 1, 8, 8)

    @property
    def labels(self):
        return self._labels


def test_it_learns_class_labels_and_measures_held_out_images(tmp_path):
    dataset = Greys(np.arange(60) % 3)
    learned = AttributePredictor(width=0.1, steps=60, batch_size=16, learning_rate=1e-2).fit(dataset, quiet(tmp_path))
    assert learned.encoder.note == {"trained_on": "greys", "from": "made up", "accuracy": {"class": 1.0}}
    predictor = load_predictor(tmp_path)
    assert predictor.names == ("class",)
    images = dataset.batch(np.array([0, 1, 2]))
    assert predictor.labels(images)[:, 0].tolist() == [0, 1, 2]
    assert (predictor.scores(images)[:, 0] > 0.5).tolist() == [False, True, True], (
        "the upper half of three is two of them"
    )


def test_it_learns_the_factors_of_a_dataset(tmp_path):
    dataset = load_dataset("shapes3d", size=16)
    run = quiet(tmp_path)
    encoder = AttributePredictor(width=0.15, steps=150, batch_size=32, learning_rate=3e-3).fit(dataset, run).encoder
    assert encoder.names == dataset.factor_names
    assert encoder.sizes == dataset.factor_sizes
    assert encoder.note["accuracy"]["wall hue"] > 0.5, "chance is a tenth"
    assert set(encoder.note["accuracy"]) == set(dataset.factor_names)


def test_images_held_out_are_never_trained_on(tmp_path, monkeypatch):
    dataset, seen = Greys(np.arange(60) % 3), []
    original = Greys.batch
    monkeypatch.setattr(Greys, "fingerprint", lambda self: "greys")  # looks at all parts, to know them again
    monkeypatch.setattr(
        Greys, "batch", lambda self, indices: (seen.append(np.asarray(indices)), original(self, indices))[1]
    )
    AttributePredictor(width=0.1, steps=40, batch_size=8).fit(dataset, quiet(tmp_path))
    *trained, measured = seen
    assert len(measured) == 6
    assert not set(np.concatenate(trained)) & set(measured)


def test_few_labels_are_all_it_reads():
    dataset = load_dataset("shapes3d", size=16)
    dataset.few_labels = FewLabels(np.array([5, 7, 11]), np.array([[1, 0], [0, 0], [1, 0]]), ("a", "b"), (2, 1))
    known = KnownFactors(dataset)
    assert known.names == ("a",)
    assert known.indices.tolist() == [5, 7, 11]
    assert known.values(np.array([2, 1])).tolist() == [[1], [0]]


def test_class_names_say_how_many_classes_there_are():
    assert KnownFactors(Greys(np.zeros(60, dtype=np.int64), ("no", "yes"))).sizes == (2,)


def test_worse_images_are_blurred_by_chance_and_noisy_up_to_a_bound():
    images = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(1)
    assert torch.equal(worsened(images, 0.0, 0.0, rng), images)
    blurred = worsened(images, 1.0, 0.0, rng)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    weights = {-1: 0.25, 0: 0.5, 1: 0.25}
    expected = sum(
        weights[dy] * weights[dx] * padded[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx] for dy in weights for dx in weights
    )
    torch.testing.assert_close(blurred, expected)
    some = worsened(images, 0.5, 0.0, rng)
    share = (some != images).flatten(1).any(dim=1).float().mean()
    assert 0.4 < share < 0.6
    deviation = (worsened(images, 0.0, 0.1, rng) - images).flatten(1).std(dim=1)
    assert 0.09 < deviation.max() < 0.13
    assert deviation.min() < 0.01


@pytest.mark.parametrize(
    ("settings", "dataset", "message"),
    [
        ({"blur": 1.5}, Greys(np.arange(60) % 3), r"blur must lie in \[0, 1\], got 1.5"),
        ({"noise": -1.0}, Greys(np.arange(60) % 3), "noise must be at least 0, got -1.0"),
        ({"batch_size": 0}, Greys(np.arange(60) % 3), "batch_size must be a whole number of at least 1, got 0"),
        ({}, Greys(), "greys has neither factors nor labels, so no attribute can be learned from it"),
        ({}, Greys(np.zeros(60, dtype=np.int64)), "greys: no factor has two values to tell apart among the images"),
    ],
)
def test_what_cannot_be(settings, dataset, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        AttributePredictor(**settings).fit(dataset, quiet(tmp_path / "run"))
