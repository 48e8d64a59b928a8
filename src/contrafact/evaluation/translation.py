"""Translations between classes: how well images of other classes become those of a class, and how much they vary.

As Choi et al., "StarGAN v2" (CVPR 2020), measure them, and after them OverLORD (Gabbay and Hoshen 2021) and ContraLORD:
FID of translations against the real images of their class, and LPIPS between translations of one image to one class
that follow different reference images. A translation has the residual of its own image, the code of the class, and what
goes with the class (OverLORD's correlated attributes, ContraLORD's content) of the reference: a method that keeps
nothing of the kind has one translation for each class, and LPIPS 0.

Beside them stand what decides: the same images rebuilt in their own class, and the class's own images rebuilt.

Shape suffixes: N images, M images of a class, L latent dimensions, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core.catalog import slug
from contrafact.core.dataset import ImageDataset, IntArray
from contrafact.core.generator import Generator, images_at_once
from contrafact.core.method import FinishedRun
from contrafact.core.metric import FloatArray, MetricResult, measured
from contrafact.core.moments import Moments
from contrafact.core.progress import Progress
from contrafact.evaluation.classes import ClassifierFeatures, class_factor, class_of, classifier_of, extractor_of
from contrafact.metrics.fid import fid
from contrafact.metrics.lpips import BACKBONES, judge_of
from contrafact.nn.critics import ClassEncoder
from contrafact.nn.factor_codes import FactorEncoder
from contrafact.nn.features import Extractor, extractor_name, feature_parts

FID, LPIPS = "fid:translation", "lpips:translation"
TRANSLATIONS = (FID, LPIPS)
"""Names of the two, where metrics are asked for."""
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TranslationFID(MetricResult):
    """FID of translations, mean over classes; ``per_factor`` has that of each class.

    Attributes:
        untranslated: of the same images rebuilt in their own class: a translation must be below it.
        rebuilt: of the class's own images, rebuilt from their codes: what the codes lose.
    """

    untranslated: float
    rebuilt: float

    def scores(self) -> dict[str, float]:
        """The three."""
        return {"score": self.score, "untranslated": self.untranslated, "rebuilt": self.rebuilt}


@dataclass(frozen=True, kw_only=True)
class TranslationLPIPS(MetricResult):
    """LPIPS between two translations of an image to a class, mean over images and classes.

    Attributes:
        real: between two real images of a class: translations that vary more hold something else than the class.
    """

    real: float

    def scores(self) -> dict[str, float]:
        """Both."""
        return {"score": self.score, "real": self.real}


class Draw(NamedTuple):
    """What is translated to a class, M times: places among the images.

    Attributes:
        to: the class.
        sources: images of other classes ``(M,)``.
        first: a reference of the class for each ``(M,)``, each image once.
        second: another one for each ``(M,)``, each image once.
    """

    to: int
    sources: IntArray
    first: IntArray
    second: IntArray


def draws(classes_N: IntArray, seed: int) -> list[Draw]:
    """For each class as many images of others as it has itself, or all of them, and two references for each.

    Raises:
        ValueError: fewer than two classes of two images.

    >>> [draw] = draws(np.array([0, 1, 1, 1, 0, 0, 0]), seed=0)[1:]
    >>> draw.to, len(set(draw.sources) & {0, 4, 5, 6}), sorted(draw.first.tolist())
    (1, 3, [1, 2, 3])
    >>> bool((draw.first == draw.second).any())
    False
    """
    rng, found = np.random.default_rng(seed), []
    every, counts = np.unique(classes_N, return_counts=True)
    if len(every) < 2 or counts.min() < 2:
        found_counts = ", ".join(f"{count} of class {name}" for name, count in zip(every, counts, strict=True))
        raise ValueError(f"translations need at least two classes of two images each, got {found_counts or 'none'}")
    for to in every.tolist():
        own, others = np.flatnonzero(classes_N == to), np.flatnonzero(classes_N != to)
        count = min(len(own), len(others))
        first = rng.permutation(own)
        found.append(Draw(to, rng.choice(others, count, replace=False), first[:count], np.roll(first, 1)[:count]))
    return found


def class_columns(run: FinishedRun, factor: str | None) -> tuple[slice, slice]:
    """The columns of the generator's latents that hold the class, and those of the residual.

    Raises:
        ValueError: a run that keeps no such parts.
    """
    encoder = run.encoder if run.has("encoder") else None
    parts: dict[str, tuple[int, int]] = getattr(run.generator, "parts", {}) if run.has("generator") else {}
    named = next((name for name in ("discriminative", factor) if name in parts), None)
    if not isinstance(encoder, FactorEncoder) or named is None or "residual" not in parts:
        raise ValueError(
            f"{run.folder} cannot translate between classes: it needs an encoder and a generator that keep a code of "
            "the class and a residual apart, as lord, overlord and contralord learn them from labels of one kind"
        )
    return slice(*parts[named]), slice(*parts["residual"])


class Translator:
    """Latents of images, and images of translations.

    Args:
        latents_NL: of every image.
        classes_N: of every image.
        of_class: columns of the class; each class's code is the mean over its images.
        of_residual: columns of the residual.
        generator: makes images of latents.
    """

    def __init__(
        self, latents_NL: Tensor, classes_N: IntArray, of_class: slice, of_residual: slice, generator: Generator
    ) -> None:
        self.latents_NL, self.of_class, self.of_residual = latents_NL, of_class, of_residual
        self.generator, self.classes_N = generator, classes_N
        self.code_of = {
            to: latents_NL[torch.from_numpy(classes_N == to), of_class].mean(dim=0)
            for to in np.unique(classes_N).tolist()
        }

    def latents(self, sources: IntArray, references: IntArray, to: int) -> Tensor:
        """Latents ``(M, L)`` with the residual of sources, the code of a class, and all else of references."""
        latents_ML = self.latents_NL[torch.from_numpy(references)].clone()
        latents_ML[:, self.of_residual] = self.latents_NL[torch.from_numpy(sources), self.of_residual]
        latents_ML[:, self.of_class] = self.code_of[to]
        return latents_ML

    def rebuilt(self, places: IntArray) -> Tensor:
        """Latents ``(M, L)`` of images as they are, but for the class, of which all have the same code."""
        latents_ML = self.latents_NL[torch.from_numpy(places)].clone()
        latents_ML[:, self.of_class] = torch.stack([self.code_of[to] for to in self.classes_N[places].tolist()])
        return latents_ML

    @torch.no_grad()
    def images(self, latents_ML: Tensor) -> Iterator[Tensor]:
        """Batches of images in [0, 1], on the CPU."""
        for part in latents_ML.split(images_at_once(self.generator)):
            yield self.generator(part.to(self.generator.device)).float().clamp(0, 1).cpu()


class ClassifierMaps(ClassifierFeatures):
    """The classifier's feature maps of images: all its convolutions' outputs."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:  # type: ignore[override]  # maps, where the other has vectors
        """Maps ``(N, C, H, W)``, one for each layer."""
        trunk: Any = self.classifier.body[0]  # type: ignore[index]
        maps, shown = [], images.to(next(self.classifier.parameters()).device)
        for layer in trunk.convolutions:
            shown = layer(shown)
            if isinstance(layer, nn.LeakyReLU):
                maps.append(shown)
        return maps


def translation_scores(
    names: Sequence[str],
    run: FinishedRun,
    dataset: ImageDataset,
    num_images: int,
    seed: int,
    device: torch.device | str,
    extractor: str | None = None,
) -> dict[str, MetricResult]:
    """FID and LPIPS of a run's translations between the classes of a dataset.

    Args:
        names: some of :data:`TRANSLATIONS`.
        run: a run that keeps a code of the class and a residual apart.
        dataset: real images with classes.
        num_images: of all classes together; fewer where the dataset is smaller.
        seed: of the choice of images, and of who is translated to what.
        device: where to compute.
        extractor: whose features: a classifier of the dataset's by default, by vectors for FID and by feature maps for
            LPIPS; ``inception``, which for LPIPS means the published network on AlexNet; ``alex`` or ``vgg`` (LPIPS
            alone); ``dinov2:PATH``; or ``FILE.py:FUNCTION``, which gives FID vectors and LPIPS a list of maps.

    Raises:
        ValueError: a run that cannot translate, a dataset without classes, or weights that are not at hand.
    """
    factor = class_factor(run, dataset)
    if factor is None:
        raise ValueError(f"{dataset.name} has no classes to translate between, which {names[0]} needs; leave it out")
    columns = class_columns(run, run.annotated_factors[0] if run.annotated_factors else factor)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:num_images].astype(np.int64)
    classes_N = np.asarray(class_of(dataset, chosen, factor), dtype=np.int64)
    planned = draws(classes_N, seed)
    generator, encoder = run.generator.to(device).eval(), run.encoder.to(device).eval()
    assert isinstance(encoder, FactorEncoder)
    translator = Translator(_latents(encoder, dataset, chosen, device), classes_N, *columns, generator)
    real = _Real(dataset, chosen)
    results: dict[str, MetricResult] = {}
    if FID in names:
        results[FID] = _fid(translator, planned, real, *_vectors(extractor, dataset, device), seed=seed)
    if LPIPS in names:
        results[LPIPS] = _lpips(translator, planned, real, *_maps(extractor, dataset, device), seed=seed)
    return {name: results[name] for name in names}


class _Real(NamedTuple):
    """The images, by their places among those chosen."""

    dataset: ImageDataset
    chosen: IntArray

    def images(self, places: IntArray, size: int = _BATCH) -> Iterator[Tensor]:
        for start in range(0, len(places), size):
            yield self.dataset.batch(self.chosen[places[start : start + size]])


@torch.no_grad()
def _latents(encoder: FactorEncoder, dataset: ImageDataset, chosen: IntArray, device: torch.device | str) -> Tensor:
    parts = []
    with Progress(f"encoding {dataset.name}", len(chosen)) as bar:
        for start in range(0, len(chosen), _BATCH):
            images = dataset.batch(chosen[start : start + _BATCH]).to(device)
            parts.append(encoder.latent(images).float().cpu())
            bar.advance(len(images))
    return torch.cat(parts)


def _vectors(extractor: str | None, dataset: ImageDataset, device: torch.device | str) -> tuple[Extractor, str]:
    if extractor is None:
        classifier = ClassifierFeatures(classifier_of(dataset, device), dataset.name)
        return classifier, classifier.name
    if extractor in BACKBONES:
        raise ValueError(f"{extractor} is a network of LPIPS; {FID} takes inception, dinov2:PATH or FILE.py:FUNCTION")
    function = extractor_of(extractor)
    if isinstance(function, nn.Module):
        function.to(device)
    return function, extractor if extractor == "inception" else slug(extractor_name(function))


def _maps(extractor: str | None, dataset: ImageDataset, device: torch.device | str) -> tuple[Any, str]:
    if extractor is None:
        classifier: ClassEncoder = classifier_of(dataset, device)
        maps = ClassifierMaps(classifier, dataset.name)
        return maps, maps.name
    net = "alex" if extractor == "inception" else extractor
    if net in BACKBONES:
        return net, net
    function = extractor_of(extractor)
    return function, slug(extractor_name(function))


@measured
def _fid(
    translator: Translator, planned: Sequence[Draw], real: _Real, function: Extractor, name: str, *, seed: int
) -> TranslationFID:
    def moments(images: Iterator[Tensor], what: str) -> Moments:
        return Moments.sum(Moments.of(part) for part in feature_parts(images, function, what, _BATCH))

    rows: list[list[float]] = []
    for draw in planned:
        own = moments(real.images(draw.first), "real")
        made = (
            translator.latents(draw.sources, draw.first, draw.to),
            translator.rebuilt(draw.sources),
            translator.rebuilt(draw.first),
        )
        rows.append([fid(own, moments(translator.images(latents), "translated")).score for latents in made])
    table = np.array(rows)
    score, untranslated, rebuilt = table.mean(axis=0).tolist()
    return TranslationFID(
        score=score,
        untranslated=untranslated,
        rebuilt=rebuilt,
        protocol=f"fid_{name}_translation_n{_count(planned)}",
        per_factor=table[:, 0],
        num_train=_count(planned),
        seed=seed,
    )


@measured
def _lpips(
    translator: Translator, planned: Sequence[Draw], real: _Real, function: Any, name: str, *, seed: int
) -> TranslationLPIPS:
    judge, size = judge_of(function), images_at_once(translator.generator)
    made: list[float] = []
    shown: list[float] = []
    for draw in planned:
        sides = [translator.latents(draw.sources, other, draw.to) for other in (draw.first, draw.second)]
        made.append(_mean(judge(a, b) for a, b in zip(*map(translator.images, sides), strict=True)))
        pairs = zip(real.images(draw.first, size), real.images(draw.second, size), strict=True)
        shown.append(_mean(judge(a, b) for a, b in pairs))
    return TranslationLPIPS(
        score=float(np.mean(made)),
        real=float(np.mean(shown)),
        protocol=f"lpips_{name}_translation_n{_count(planned)}",
        per_factor=np.array(made),
        num_train=_count(planned),
        seed=seed,
    )


def _mean(parts: Iterator[FloatArray]) -> float:
    return float(np.concatenate(list(parts)).mean())


def _count(planned: Sequence[Draw]) -> int:
    return sum(len(draw.sources) for draw in planned)
