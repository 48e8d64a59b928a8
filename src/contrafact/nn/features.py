"""Features of images for the image metrics: given ones, a user's extractor's, or Inception's where it is at hand.

Nothing is substituted: whoever asks for Inception gets Inception or an error that says how to get it.

Shape suffixes: N images, D features, C channels, H height, W width.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core.metric import ArrayLike, FloatArray, as_array, check_codes
from contrafact.core.moments import Moments

Extractor = Callable[[Tensor], Any]
Images = ArrayLike | Iterable[Tensor]
DINOV2 = "dinov2:"
"""What stands before the path of DINOv2's weights."""
INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"


def checkpoint_folder() -> Path:
    """Where torch.hub keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def import_installed(module: str) -> Any:
    """An optional package's module.

    Raises:
        ValueError: the package is there and does not import (often because torchvision is not).
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"{package} is installed but does not import ({error}); repair it, or pass extractor="
        ) from error


def inception(output: str) -> Extractor:
    """Inception-v3 with the weights FID is defined by, through torch-fidelity.

    Args:
        output: ``"2048"`` (pool features) or ``"logits_unbiased"``.

    Raises:
        ValueError: torch-fidelity or the weights are not at hand.
    """
    weights = checkpoint_folder() / INCEPTION_WEIGHTS
    missing = []
    if importlib.util.find_spec("torch_fidelity") is None:
        missing.append("the package torch-fidelity (pip install torch-fidelity)")
    if not weights.is_file():
        missing.append(f"its weights at {weights}")
    if missing:
        raise ValueError(
            f"Inception features need {' and '.join(missing)}; or pass extractor=, a function from images "
            "(n, C, H, W) in [0, 1] to features (n, D): scores then carry its name and compare only with each other"
        )
    fidelity = import_installed("torch_fidelity.feature_extractor_inceptionv3")
    network = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", [output], str(weights)).eval()

    def extract(images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        features: Tensor = network((colour.clamp(0, 1) * 255).round().to(torch.uint8))[0]
        return features

    return extract


def extractor_name(extractor: Extractor) -> str:
    """What to call an extractor in a protocol: its ``name``, else its function's or class's name."""
    named = getattr(extractor, "name", None) or getattr(extractor, "__name__", None)
    return str(named or type(extractor).__name__)


def batches_of(images: Images, name: str, batch_size: int) -> Iterable[Tensor]:
    """Image batches ``(n, C, H, W)`` of a tensor, an array or an iterable of batches, on the CPU or where they are.

    Raises:
        ValueError: a batch that is not float ``(n, C, H, W)``.
    """
    if isinstance(images, np.ndarray):
        images = torch.as_tensor(as_array(images))
    given: Iterable[Any] = images.split(batch_size) if isinstance(images, Tensor) else images  # type: ignore[assignment]
    for batch in given:
        tensor = torch.as_tensor(batch if isinstance(batch, Tensor) else as_array(batch))
        if tensor.ndim != 4 or not torch.is_floating_point(tensor):
            raise ValueError(
                f"{name} must be float images (N, C, H, W) in [0, 1], batches of them, or features (N, D); "
                f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
        yield tensor


def run(extractor: Extractor, batch: Tensor) -> Any:
    """The extractor's output for a batch, without gradients, a module on its own device and in evaluation mode."""
    with torch.no_grad():
        if not isinstance(extractor, nn.Module):
            return extractor(batch)
        parameter = next(extractor.parameters(), None)
        training = extractor.training
        extractor.eval()
        output = extractor(batch if parameter is None else batch.to(parameter.device))
        extractor.train(training)
        return output


def features_of(images: Images, extractor: Extractor | None, name: str, batch_size: int) -> FloatArray:
    """Features ``(N, D)`` in float64: given ones as they are, images' through the extractor.

    Raises:
        ValueError: images without an extractor, or features that are not finite ``(N, D)``.
    """
    parts = list(feature_parts(images, extractor, name, batch_size))
    return check_codes(np.concatenate(parts), f"features of {name}") if len(parts) > 1 else parts[0]


def feature_parts(images: Images, extractor: Extractor | None, name: str, batch_size: int) -> Iterator[FloatArray]:
    """:func:`features_of` batch by batch; at least one.

    Raises:
        ValueError: as :func:`features_of`.
    """
    if isinstance(images, Tensor | np.ndarray) and images.ndim == 2:
        yield check_codes(images, name)
        return
    if extractor is None:
        raise ValueError(f"{name} holds images; pass extractor=, or their features (N, D)")
    is_empty = True
    for batch in batches_of(images, name, batch_size):
        features = as_array(run(extractor, batch))
        if features.ndim != 2 or len(features) != len(batch):
            raise ValueError(
                f"the extractor got {len(batch)} images and returned an array of shape {features.shape}; "
                f"expected one row of features per image, ({len(batch)}, D)"
            )
        is_empty = False
        yield check_codes(features, f"features of {name}")
    if is_empty:
        raise ValueError(f"{name} holds no images")


def extractor_for(sides: Iterable[Any], extractor: Extractor | str) -> tuple[Extractor | None, str]:
    """What makes features of those sides that hold images, and its name: ``features`` where none does."""
    return named_extractor(extractor, "2048") if any(holds_images(side) for side in sides) else (None, "features")


def holds_images(side: Any) -> bool:
    """Whether a side of a comparison must go through an extractor."""
    are_features = isinstance(side, Tensor | np.ndarray) and side.ndim == 2
    return not isinstance(side, Moments) and not are_features


def check_pair(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Refuse sides, each ``(N, D)``, of different widths or of fewer than two rows (ValueError)."""
    if first[1] != second[1]:
        raise ValueError(f"real has {first[1]} features per image but generated {second[1]}")
    if min(first[0], second[0]) < 2:
        raise ValueError(f"need at least 2 images on each side, got {first[0]} and {second[0]}")


def feature_pair(
    real: Images, generated: Images, extractor: Extractor | str, batch_size: int
) -> tuple[FloatArray, FloatArray, str]:
    """Features of both sets and the name of what made them: ``features`` when both were given as such.

    Raises:
        ValueError: see :func:`features_of`; also different widths, fewer than two rows, or an unknown extractor name.
    """
    function, name = extractor_for((real, generated), extractor)
    real_ND = features_of(real, function, "real", batch_size)
    generated_ND = features_of(generated, function, "generated", batch_size)
    check_pair(real_ND.shape, generated_ND.shape)
    return real_ND, generated_ND, name


def named_extractor(extractor: Extractor | str, output: str) -> tuple[Extractor, str]:
    """A user's extractor and its name, Inception, or DINOv2 from its weights (``dinov2:PATH``).

    Raises:
        ValueError: an unknown name, or Inception, or weights, are not at hand.
    """
    if isinstance(extractor, str) and extractor.startswith(DINOV2):
        from contrafact.nn.dinov2 import dinov2

        extractor = dinov2(extractor.removeprefix(DINOV2))
    if isinstance(extractor, str):
        if extractor != "inception":
            raise ValueError(f"extractor must be 'inception', 'dinov2:PATH' or a function of images, got {extractor!r}")
        return inception(output), "inception"
    return extractor, extractor_name(extractor)
