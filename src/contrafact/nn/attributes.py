"""Attribute predictors: what somebody sees in an image. A trained classifier of factors, or any function of yours.

An attribute is a yes-or-no question. A factor of several values asks whether its value lies in the upper half of them
(of ten hues: the last five), and, as ``"floor hue:3"``, whether it is that one value.

Shape suffixes: N images, A attributes, K factors, V values of all factors together, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.core.artefact import load_artefact
from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count, check_images
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.method import load_run
from contrafact.core.metric import as_array
from contrafact.core.plugins import is_spelled_out, load_spelled_out
from contrafact.nn import face_judges, silhouette
from contrafact.nn.encoders import ConvEncoder
from contrafact.nn.own_encoder import Backbone, HeadedEncoder, own_argument

FACES = "faces"
"""In place of a predictor: judges of faces that other packages hold."""
SILHOUETTE = "silhouette"
"""In place of a predictor: measures of one object on a plain ground."""


class Predictor(ABC):
    """Answers questions about images.

    Attributes:
        names: A names of the attributes that ``labels`` and ``scores`` are about; empty until it is known how many.
        origin: where it came from, for reports.
    """

    names: tuple[str, ...] = ()
    origin: str = ""

    def learn_names(self, images: Tensor) -> tuple[str, ...]:
        """``names``; a function that does not name its attributes is asked about ``images`` to count them."""
        if not self.names:
            self.scores(images)
        return self.names

    @abstractmethod
    def labels(self, images: Tensor) -> Tensor:
        """Whole numbers ``(N, A)``: the value each attribute has in images ``(N, C, H, W)``."""

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Real numbers ``(N, A)``: how much of each attribute there is, a probability where the predictor gives one."""

    @abstractmethod
    def margins(self, images: Tensor, attributes: Sequence[str]) -> Tensor:
        """How surely each image has each of the named attributes, ``(N, len(attributes))``; only the order means much.

        Raises:
            ValueError: unknown attribute.
        """


class AttributeClassifier(Encoder, Predictor):
    """A convolutional trunk and a softmax over the values of each factor. Its codes are the factors' mean values.

    Args:
        image_shape: ``(C, H, W)``.
        factor_names: K names.
        factor_sizes: how many values each has, at least two.
        width: multiplies the trunk's channel counts.
        own: a module for the trunk, with a linear layer on its features.

    >>> classifier = AttributeClassifier((3, 16, 16), ["hue", "size"], [10, 4], width=0.1)
    >>> images = torch.rand(5, 3, 16, 16)
    >>> classifier(images).shape, classifier.labels(images).shape, classifier.margins(images, ["hue:3"]).shape
    (torch.Size([5, 2]), torch.Size([5, 2]), torch.Size([5, 1]))
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        factor_names: Sequence[str],
        factor_sizes: Sequence[int],
        width: float = 1.0,
        own: Backbone = None,
    ) -> None:
        super().__init__()
        self.names, self.sizes = tuple(factor_names), tuple(int(size) for size in factor_sizes)
        if len(self.names) != len(self.sizes) or len(set(self.names)) != len(self.names) or min(self.sizes) < 2:
            raise ValueError(
                f"expected different names and a size of at least 2 for each factor, got {self.names}, {self.sizes}"
            )
        self.code_dim = check_count("the number of factors", len(self.names))
        self.trunk: ConvEncoder | HeadedEncoder
        if own is None:
            self.trunk = ConvEncoder(image_shape, sum(self.sizes), width)
        else:
            self.trunk = HeadedEncoder(own, image_shape, sum(self.sizes))
        self.image_shape, self.width, self._own = self.trunk.image_shape, width, own_argument(own)

    def log_probabilities(self, images: Tensor) -> tuple[Tensor, ...]:
        """For each factor, ``(N, values)``: the log of each value's probability."""
        if not self.training:
            check_images(images, self.image_shape, "the attribute predictor")
        logits_NV = self.trunk.encode(images).float()
        return tuple(part.log_softmax(dim=1) for part in logits_NV.split(self.sizes, dim=1))

    def encode(self, images: Tensor) -> Tensor:
        means = [p.exp() @ torch.linspace(0, 1, p.shape[1], device=p.device) for p in self.log_probabilities(images)]
        return torch.stack(means, dim=1)

    @torch.no_grad()
    def labels(self, images: Tensor) -> Tensor:
        return torch.stack([p.argmax(dim=1) for p in self.log_probabilities(images)], dim=1)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        return torch.stack([p[:, p.shape[1] // 2 :].exp().sum(dim=1) for p in self.log_probabilities(images)], dim=1)

    @torch.no_grad()
    def margins(self, images: Tensor, attributes: Sequence[str]) -> Tensor:
        asked = [self._values_of(attribute) for attribute in attributes]
        known = self.log_probabilities(images)
        return torch.stack([_log_odds(known[factor], values) for factor, values in asked], dim=1)

    def _values_of(self, attribute: str) -> tuple[int, range]:
        """The factor an attribute is about, and its values that count as yes."""
        name, _, value = attribute.rpartition(":") if ":" in attribute else (attribute, "", "")
        if name not in self.names:
            raise ValueError(unknown_name_message("attribute", attribute, self.names))
        factor = self.names.index(name)
        size = self.sizes[factor]
        if not value:
            return factor, range(size // 2, size)
        if not value.isdecimal() or int(value) >= size:
            raise ValueError(f"attribute {attribute!r}: {name!r} takes values 0 to {size - 1}")
        return factor, range(int(value), int(value) + 1)

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "factor_names": self.names,
            "factor_sizes": self.sizes,
            "width": self.width,
            **self._own,
        }


def _log_odds(log_p: Tensor, values: range) -> Tensor:
    """Log of the odds ``(N,)`` that the value is one of ``values``, from log probabilities ``(N, values)``."""
    yes = torch.zeros(log_p.shape[1], dtype=torch.bool, device=log_p.device)
    yes[values.start : values.stop] = True
    return log_p[:, yes].logsumexp(dim=1) - log_p[:, ~yes].logsumexp(dim=1)


class FunctionPredictor(Predictor):
    """A user's function of images ``(N, C, H, W)``: its answers ``(N, A)`` (or ``(N,)``) are whole-number labels, or
    probabilities, of which more than ½ means yes.

    Args:
        function: the function; an attribute ``names`` on it names what it answers.
        origin: where it came from.
    """

    def __init__(self, function: Callable[[Tensor], Any], origin: str = "") -> None:
        self.function, self.origin = function, origin or getattr(function, "__name__", type(function).__name__)
        self.names = tuple(str(name) for name in getattr(function, "names", ()))

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        answers = torch.from_numpy(as_array(self.function(images)))
        answers = answers[:, None] if answers.ndim == 1 else answers
        if answers.ndim != 2 or len(answers) != len(images):
            raise ValueError(
                f"{self.origin} got {len(images)} images and answered with shape {tuple(answers.shape)}; expected one "
                f"row of attributes per image, ({len(images)}, A)"
            )
        self.names = self.names or tuple(f"attribute {a}" for a in range(answers.shape[1]))
        if len(self.names) != answers.shape[1]:
            raise ValueError(
                f"{self.origin} has {len(self.names)} names but answers with {answers.shape[1]} attributes"
            )
        return answers

    def labels(self, images: Tensor) -> Tensor:
        answers = self.scores(images)
        if not answers.is_floating_point():
            return answers.long()
        if answers.numel() and not (answers.amin() >= 0 and answers.amax() <= 1):
            raise ValueError(
                f"{self.origin} answers with numbers from {answers.amin():.3g} to {answers.amax():.3g}; labels are "
                "whole numbers, or probabilities from 0 to 1"
            )
        return (answers > 0.5).long()

    def margins(self, images: Tensor, attributes: Sequence[str]) -> Tensor:
        answers = self.scores(images).float()
        for attribute in attributes:
            if attribute not in self.names:
                raise ValueError(unknown_name_message("attribute", attribute, self.names))
        return answers[:, [self.names.index(attribute) for attribute in attributes]]


def no_predictor_message(who: str, generator: Generator) -> str:
    """The error text for ``who`` needs a predictor and has none: how to get one for this generator's images."""
    data, size = generator.note.get("trained_on", "DATASET"), generator.image_shape[-1]
    return (
        f"{who} needs somebody who sees attributes in images: train a predictor with `contrafact fit "
        f"attribute_predictor --data {data} --size {size} --preset quick --out runs/predictor`, then give "
        "--predictor runs/predictor; or --predictor FILE.py:FUNCTION"
    )


def load_predictor(source: str | Path) -> Predictor:
    """A predictor by name.

    Args:
        source: a run folder of ``attribute_predictor``, an ``encoder.safetensors`` of one, or ``FILE.py:FUNCTION``, a
            function of yours, whose file is run; or ``faces``, networks of other packages
            (:mod:`contrafact.nn.face_judges`); or ``silhouette``, area, lightness, width, height and slant of one
            object on a plain ground (:mod:`contrafact.nn.silhouette`).

    Raises:
        ValueError: none of these, or an encoder that predicts no attributes.
    """
    text = str(source)
    if is_spelled_out(text):
        return FunctionPredictor(load_function(text), text)
    if text == FACES:
        face_judges.check_installed()
        return FunctionPredictor(face_judges.judge, text)
    if text == SILHOUETTE:
        return FunctionPredictor(silhouette.measure, text)
    path = Path(text)
    if path.is_dir():
        encoder = load_run(path).encoder
    elif path.suffix == ".safetensors":
        encoder = load_artefact(path, Encoder).requires_grad_(False)
    else:
        raise ValueError(
            f"{text!r} is no attribute predictor: expected a run folder (contrafact fit attribute_predictor "
            "--data ...), its encoder.safetensors, FILE.py:FUNCTION, faces or silhouette"
        )
    if not isinstance(encoder, AttributeClassifier):
        raise ValueError(
            f"{text} holds a {type(encoder).__name__}, which predicts no attributes; train one that does with "
            "contrafact fit attribute_predictor --data ..."
        )
    encoder.origin = text
    return encoder


def load_function(text: str) -> Callable[[Tensor], Any]:
    """The function ``FILE.py:FUNCTION`` of images; the file is run.

    Raises:
        ValueError: no such file, or no such function in it.
    """
    function = load_spelled_out(text)
    if not callable(function):
        raise ValueError(f"{text} is no function, but a {type(function).__name__}")
    found: Callable[[Tensor], Any] = function
    return found
