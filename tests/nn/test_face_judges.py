"""Judges of faces: what the networks of other packages are given, and what becomes of their answers."""

import math
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from contrafact.nn import face_judges
from contrafact.nn.attributes import load_predictor
from contrafact.nn.face_judges import EYES_AND_NOSE, UPRIGHT, judge, probabilities, turn_upright


class Network:
    """Says of an image that its second class is certain."""

    def __init__(self, classes, seen):
        self.classes, self.seen = classes, seen

    def run(self, outputs, given):
        (images,) = given.values()
        self.seen[self.classes] = images
        return [np.eye(self.classes, dtype=np.float32)[np.ones(len(images), dtype=int)]]


@pytest.fixture
def networks(monkeypatch):
    """Stand-ins, and what they have been shown."""
    seen = {}
    both = {"age": Network(81, seen), "gender": Network(2, seen)}
    monkeypatch.setattr(face_judges, "_session", both.__getitem__)
    return seen


def face(turn=0.0, gap=0.0):
    """A mesh of one face upright in the middle, its points in sides of the image."""
    points = torch.full((face_judges.POINTS, 3), 0.5)
    points[list(EYES_AND_NOSE), :2] = 0.2 + 0.6 * torch.tensor(UPRIGHT)
    points[face_judges.LEFT] = torch.tensor([0.5 - 0.3 * math.cos(turn), 0.5, -0.3 * math.sin(turn)])
    points[face_judges.RIGHT] = torch.tensor([0.5 + 0.3 * math.cos(turn), 0.5, 0.3 * math.sin(turn)])
    points[face_judges.TOP], points[face_judges.CHIN] = torch.tensor([0.5, 0.1, 0.0]), torch.tensor([0.5, 0.9, 0.0])
    points[face_judges.UPPER_LIP, 1], points[face_judges.LOWER_LIP, 1] = 0.7, 0.7 + gap
    return points


def test_images_come_as_the_networks_were_trained_on(networks):
    colours = torch.tensor([0.2, 0.5, 1.0])[:, None, None].expand(3, 48, 48)
    assert probabilities("age", colours[None], 64).argmax() == probabilities("gender", colours[None], 32).argmax() == 1
    assert (networks[81].shape, networks[2].shape) == ((1, 3, 64, 64), (1, 3, 32, 32))
    # (255 · colour − mean colour) / 256
    expected = [(51 - 122.781998) / 256, (127.5 - 117.000999) / 256, (255 - 104.297997) / 256]
    np.testing.assert_allclose(networks[81][0].mean(axis=(1, 2)), expected, atol=1e-5)


def test_the_answers_are_read_off_the_mesh_and_there_are_none_without_a_face(networks, monkeypatch):
    points = torch.stack((face(), face(turn=math.radians(20), gap=0.08), face()))
    monkeypatch.setattr(face_judges, "mesh", lambda images: (points, torch.tensor([3.0, 1.0, -1.0])))
    answers = judge(torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    # Class 1 of ages is one year; a gap of a tenth of the face's height is 10 percent.
    np.testing.assert_allclose(answers[:2], [[1, 1, 0, 0], [1, 1, 20, 10]], atol=1e-4)
    assert answers[2].isnan().all()


@pytest.mark.parametrize(("angle", "scale", "right", "down"), [(0, 1, 0, 0), (25, 0.7, 0.1, -0.05), (-40, 1.2, 0, 0.1)])
def test_a_face_is_turned_upright_whatever_its_place(angle, scale, right, down):
    """The image is a smooth function of the face's own coordinates, so that what must come out is known everywhere."""
    turned = scale * torch.polar(torch.tensor(1.0, dtype=torch.float64), torch.tensor(math.radians(angle)).double())
    middle = complex(0.5 + right, 0.5 + down)

    def painted(own):  # of coordinates in the upright picture, [0, 1] both ways
        return torch.stack((torch.sin(3 * own.real), own.imag, own.real * own.imag)).float()

    centers = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    places = torch.complex(centers.expand(256, 256), centers[:, None].expand(256, 256).contiguous())
    image = painted((places - middle) / turned + complex(0.5, 0.5))
    points = torch.zeros(1, face_judges.POINTS, 3)
    upright = torch.view_as_complex((torch.tensor(UPRIGHT, dtype=torch.float64) + 0.2) / 1.4)
    points[0, list(EYES_AND_NOSE), :2] = torch.view_as_real(turned * (upright - complex(0.5, 0.5)) + middle).float()
    found = turn_upright(image[None], points, side=32)[0]
    own = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    grid = torch.complex(own.expand(32, 32), own[:, None].expand(32, 32).contiguous())
    at = turned * (grid - complex(0.5, 0.5)) + middle
    inside = (at.real > 0.01) & (at.real < 0.99) & (at.imag > 0.01) & (at.imag < 0.99)
    assert inside.sum() > 400
    assert (found - painted(grid)).abs()[:, inside].max() < 0.005


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match=r"faces are judged in images \(N, 3, H, W\), got \(2, 1, 8, 8\)"):
        judge(torch.rand(2, 1, 8, 8))
    monkeypatch.setattr(face_judges, "NETWORKS", {"age": ("no-such-package", "model.onnx")})
    with pytest.raises(
        ValueError, match="judging faces needs the package no-such-package, which is not installed: pip"
    ):
        load_predictor("faces")
    monkeypatch.setattr(face_judges, "NETWORKS", {"age": ("numpy", "model.onnx")})
    with pytest.raises(ValueError, match=r"the installed numpy has no file model\.onnx; install the version that was"):
        load_predictor("faces")
    monkeypatch.setattr(face_judges, "NETWORKS", {})
    monkeypatch.setitem(face_judges.__dict__, "import_module", lambda name: __import__("no_such_runtime"))
    with pytest.raises(ValueError, match="judging faces needs onnxruntime, which does not import: pip"):
        load_predictor("faces")


def _are_installed():
    try:
        packages = [distribution(package) for package, _ in face_judges.NETWORKS.values()]
    except PackageNotFoundError:
        return False
    return bool(packages) and all(find_spec(name) is not None for name in ("onnxruntime", "ai_edge_litert"))


@pytest.mark.skipif(not _are_installed(), reason=f"needs {face_judges.INSTALL}")
def test_the_networks_answer_as_a_predictor():
    predictor = load_predictor("faces")
    assert predictor.names == ("years", "male", "turn", "mouth")
    noise = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert predictor.scores(noise).isnan().all(), "there is no face in noise"
    cf = pytest.importorskip("contrafact")
    try:
        generator = cf.load_generator("faces")
    except ValueError:
        pytest.skip("needs the generator of faces")
    images = generator(generator.sample(16, seed=0))
    seen, mirrored = predictor.scores(images), predictor.scores(images.flip(-1))
    both = seen.isfinite().all(dim=1) & mirrored.isfinite().all(dim=1)
    assert both.sum() > 10
    turns = torch.stack((seen[both, 2], mirrored[both, 2]))
    assert torch.corrcoef(turns)[0, 1] < -0.9
    assert ((seen[both, 0] > 0) & (seen[both, 0] <= 80) & (seen[both, 1] >= 0) & (seen[both, 1] <= 1)).all()
