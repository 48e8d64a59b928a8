import pytest
import torch

from contrafact.core.artefact import save_artefact
from contrafact.nn.attributes import AttributeClassifier, FunctionPredictor, load_predictor
from contrafact.nn.encoders import ConvEncoder

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return AttributeClassifier(SHAPE, ["hue", "size", "glasses"], [5, 3, 2], width=0.2).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))


def probabilities(classifier, images):
    """For each image and factor, the probability of each value, from the trunk's numbers."""
    numbers = classifier.trunk(images)
    return [[row[a:b].softmax(0) for a, b in ((0, 5), (5, 8), (8, 10))] for row in numbers]


def test_answers_are_those_of_each_factors_softmax(classifier, images):
    with torch.no_grad():
        labels, scores, codes = classifier.labels(images), classifier.scores(images), classifier(images)
        margins = classifier.margins(images, ["size", "hue:4", "glasses"])
        for n, factors in enumerate(probabilities(classifier, images)):
            hue, size, glasses = factors
            assert labels[n].tolist() == [int(p.argmax()) for p in factors]
            expected = [hue[2] + hue[3] + hue[4], size[1] + size[2], glasses[1]]
            torch.testing.assert_close(scores[n], torch.stack(expected), atol=1e-5, rtol=1e-4)
            mean = [sum(v * p[v] for v in range(len(p))) / (len(p) - 1) for p in factors]
            torch.testing.assert_close(codes[n], torch.stack(mean), atol=1e-5, rtol=1e-4)
            odds = [(1 - size[0]) / size[0], hue[4] / (1 - hue[4]), glasses[1] / glasses[0]]
            torch.testing.assert_close(margins[n], torch.stack(odds).log(), atol=1e-4, rtol=1e-4)


def test_margins_tell_sure_images_apart(classifier):
    """Probabilities of 1 in float32 are all the same; their log odds are not."""
    sure = AttributeClassifier(SHAPE, ["hue"], [2], width=0.1).eval()
    with torch.no_grad():
        for number, logit in enumerate((60.0, 80.0)):
            sure.trunk.head[-1].weight.zero_()
            sure.trunk.head[-1].bias.copy_(torch.tensor([0.0, logit]))
            image = torch.zeros(1, *SHAPE)
            assert sure.scores(image).item() == 1.0
            assert sure.margins(image, ["hue"]).item() == pytest.approx(60.0 + 20.0 * number)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("hues", "unknown attribute 'hues'; did you mean 'hue'"),
        ("size:3", "attribute 'size:3': 'size' takes values 0 to 2"),
        ("size:-1", "attribute 'size:-1': 'size' takes values 0 to 2"),
        ("siz:1", "unknown attribute 'siz:1'; did you mean 'size'"),
    ],
)
def test_unknown_attributes(classifier, images, attribute, message):
    with pytest.raises(ValueError, match=message):
        classifier.margins(images, [attribute])


@pytest.mark.parametrize(
    ("names", "sizes"), [(["a"], [2, 3]), (["a", "a"], [2, 2]), (["a", "b"], [2, 1])], ids=["length", "same", "one"]
)
def test_factors_must_have_names_and_values(names, sizes):
    with pytest.raises(ValueError, match="expected different names and a size of at least 2 for each factor"):
        AttributeClassifier(SHAPE, names, sizes)


def test_images_of_another_size_are_refused(classifier):
    for ask in (classifier.labels, classifier.scores, lambda x: classifier.margins(x, ["hue"])):
        with pytest.raises(ValueError, match=r"the attribute predictor expects images of shape \(N, 3, 16, 16\)"):
            ask(torch.zeros(2, 3, 8, 8))


def test_a_functions_probabilities_become_labels(images):
    predictor = FunctionPredictor(lambda x: x[:, :2].mean(dim=(2, 3)).numpy())
    assert predictor.names == ()
    assert predictor.learn_names(images) == ("attribute 0", "attribute 1")
    means = images[:, :2].mean(dim=(2, 3))
    torch.testing.assert_close(predictor.scores(images), means)
    assert torch.equal(predictor.labels(images), (means > 0.5).long())
    torch.testing.assert_close(predictor.margins(images, ["attribute 1"]), means[:, 1:])
    one = FunctionPredictor(lambda x: x.mean(dim=(1, 2, 3)))
    assert one.scores(images).shape == (6, 1)


def test_a_functions_whole_numbers_are_labels(images):
    def count(x):
        return (x.mean(dim=(2, 3)) * 10).int()

    count.names = ("red", "green", "blue")
    predictor = FunctionPredictor(count)
    assert predictor.names == count.names
    assert torch.equal(predictor.labels(images), count(images).long())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda x: torch.zeros(2, 2),
            r"got 6 images and answered with shape \(2, 2\); expected one row of .* \(6, A\)",
        ),
        (lambda x: x, r"answered with shape \(6, 3, 16, 16\)"),
        (
            lambda x: 3 * torch.ones(6, 1),
            "answers with numbers from 3 to 3; labels are whole numbers, or probabilities",
        ),
    ],
)
def test_functions_that_answer_something_else(answer, message, images):
    with pytest.raises(ValueError, match=message):
        FunctionPredictor(answer).labels(images)


def test_names_must_fit_the_answers(images):
    def ask(x):
        return x.mean(dim=(2, 3))

    ask.names = ("one",)
    with pytest.raises(ValueError, match="ask has 1 names but answers with 3 attributes"):
        FunctionPredictor(ask).scores(images)
    with pytest.raises(ValueError, match="unknown attribute 'smile'"):
        FunctionPredictor(lambda x: x.mean(dim=(2, 3))).margins(images, ["smile"])


def test_predictors_by_name(classifier, images, tmp_path):
    save_artefact(classifier, tmp_path / "encoder.safetensors")
    read = load_predictor(tmp_path / "encoder.safetensors")
    assert torch.equal(read.labels(images), classifier.labels(images))
    assert read.origin == str(tmp_path / "encoder.safetensors")
    (tmp_path / "mine.py").write_text("def bright(images):\n    return images.mean(dim=(1, 2, 3))\n\nword = 'no'\n")
    bright = load_predictor(f"{tmp_path}/mine.py:bright")
    torch.testing.assert_close(bright.scores(images)[:, 0], images.mean(dim=(1, 2, 3)))
    assert bright.origin.endswith("mine.py:bright")
    for wrong in ("bleak", "word"):
        with pytest.raises(ValueError, match=f"mine.py(:{wrong} is no function| defines no '{wrong}')"):
            load_predictor(f"{tmp_path}/mine.py:{wrong}")
    with pytest.raises(ValueError, match=r"theirs.py does not exist; expected a Python file"):
        load_predictor(f"{tmp_path}/theirs.py:bright")
    with pytest.raises(ValueError, match=r"'nowhere' is no attribute predictor: expected a run folder .*FILE.py:FUNC"):
        load_predictor("nowhere")
    save_artefact(ConvEncoder(SHAPE, 3, 0.1), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors holds a ConvEncoder, which predicts no attributes"):
        load_predictor(tmp_path / "other.safetensors")
