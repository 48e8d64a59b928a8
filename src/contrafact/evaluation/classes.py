"""Scores that go by class: clusters of the class codes, and image metrics, by default with a classifier's features.

Shape suffixes: N images, J code dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.catalog import slug
from contrafact.core.dataset import FactorDataset, ImageDataset, IntArray
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun
from contrafact.core.metric import MetricResult
from contrafact.core.places import cache_folder
from contrafact.core.plugins import is_spelled_out
from contrafact.core.progress import Progress
from contrafact.data.load import load_dataset
from contrafact.metrics import CATALOG
from contrafact.nn.attributes import load_function
from contrafact.nn.critics import ClassEncoder
from contrafact.nn.features import DINOV2, Extractor, extractor_name, features_of, inception, named_extractor
from contrafact.training.augment import Augmentation
from contrafact.training.image_pool import ImagePool

IMAGE_METRICS = ("fid", "kid", "precision_recall", "inception_score")
CLASSIFIER_STEPS, CLASSIFIER_BATCH, CLASSIFIER_WIDTH = 800, 128, 0.5


def class_of(dataset: ImageDataset, indices: IntArray, factor: str | None) -> IntArray:
    """Class of each image at ``indices`` ``(N,)``: its label, or its value of ``factor``."""
    if isinstance(dataset, FactorDataset):
        return dataset.factors_of(indices)[:, dataset.factor_names.index(str(factor))]
    assert dataset.labels is not None
    return dataset.labels[indices]


def class_factor(run: FinishedRun, dataset: ImageDataset | None) -> str | None:
    """What the run's classes are: ``class`` for labels, the one factor that was annotated, or None for no classes."""
    if isinstance(dataset, FactorDataset):
        return run.annotated_factors[0] if len(run.annotated_factors) == 1 else None
    return "class" if dataset is not None and dataset.labels is not None else None


def split_for_scoring(trained_on: str | None) -> str:
    """The part of a dataset a run has not seen: the test images, unless it was trained on them."""
    return "train" if trained_on == "test" else "test"


def image_scores(
    names: list[str],
    generator: Generator,
    dataset: ImageDataset,
    num_images: int,
    seed: int,
    device: torch.device | str,
    extractor: str | None = None,
) -> dict[str, MetricResult]:
    """FID, KID, precision and recall, and Inception Score of a generator.

    Args:
        names: some of :data:`IMAGE_METRICS`.
        generator: makes the images.
        dataset: real images with labels.
        num_images: of each side; fewer where the dataset is smaller.
        seed: of the choice and of the latents.
        device: where to compute.
        extractor: whose features: a classifier of the dataset's by default, ``inception``, ``dinov2:PATH`` of its
            weights, or ``FILE.py:FUNCTION``.

    Raises:
        ValueError: a dataset without labels to train a classifier with, no Inception at hand, or an Inception Score of
            a function's features, which are no class scores.
    """
    features, scores, seen_by = _seen_by(extractor, dataset, device, with_scores="inception_score" in names)
    count = min(num_images, len(dataset))
    chosen = np.random.default_rng(seed).choice(len(dataset), count, replace=False)
    generator = generator.to(device).eval()

    @torch.no_grad()
    def generated() -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(seed)
        for start in range(0, count, 500):
            yield generator(generator.sample(min(500, count - start), rng)).float().clamp(0, 1).cpu()

    compared, seen, judged = bool({"fid", "kid", "precision_recall"} & set(names)), [], []
    for images in generated():
        if compared:
            seen.append(features_of(images, features, "generated", 500))
        if scores is not None:
            judged.append(features_of(images, scores, "generated", 500))
    given: dict[str, Any] = {}
    if compared:
        real = (dataset.batch(part) for part in np.array_split(chosen, max(1, count // 500)))
        pair = (features_of(real, features, "real", 500), np.concatenate(seen))
        given |= dict.fromkeys(("fid", "kid", "precision_recall"), pair)
    if judged:
        given["inception_score"] = (np.concatenate(judged),)
    results = {}
    settings = {"fid": {}, "precision_recall": {"device": device}}
    for name in names:
        result: MetricResult = CATALOG.get(name)(*given[name], **settings.get(name, {"seed": seed}))
        protocol = result.protocol.replace("_features", f"_{seen_by}").replace("_logits", f"_{seen_by}")
        results[name] = dataclasses.replace(result, protocol=protocol)
    return results


def check_extractor(extractor: str | None) -> None:
    """Refuse an extractor that is none (ValueError)."""
    if extractor is not None and extractor != "inception":
        extractor_of(extractor)


def extractor_of(text: str) -> Extractor:
    """Inception's pool features, a DINOv2, or a user's function, as the command line names it.

    Raises:
        ValueError: none of these, or it is not at hand.
    """
    if text == "inception" or text.startswith(DINOV2):
        return named_extractor(text, "2048")[0]
    if not is_spelled_out(text):
        raise ValueError(f"extractor must be inception, dinov2:PATH or FILE.py:FUNCTION, got {text!r}")
    return load_function(text)


def _seen_by(
    extractor: str | None, dataset: ImageDataset, device: torch.device | str, with_scores: bool
) -> tuple[Extractor, Extractor | None, str]:
    """What makes features of images, what makes class scores where they are asked for, and the name of both."""
    if extractor is None:
        classifier = ClassifierFeatures(classifier_of(dataset, device), dataset.name)
        return classifier, classifier.logits if with_scores else None, classifier.name
    if extractor == "inception":
        return inception("2048"), inception("logits_unbiased") if with_scores else None, extractor
    function = extractor_of(extractor)
    if with_scores:
        raise ValueError(f"inception_score needs class scores, and {extractor} gives features; leave one of them out")
    if isinstance(function, nn.Module):
        function.to(device)
    return function, None, slug(extractor_name(function))


class ClassifierFeatures:
    """The classifier's features of images, under a name that says whose they are."""

    def __init__(self, classifier: ClassEncoder, dataset: str) -> None:
        self.classifier, self.name = classifier, f"{slug(dataset)}-classifier"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features ``(N, J)`` before the last layer."""
        body: Any = self.classifier.body
        features: Tensor = body[0](images.to(next(self.classifier.parameters()).device))
        return features

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Class scores ``(N, K)``."""
        return self.classifier.heads(images.to(next(self.classifier.parameters()).device))[0]


def classifier_of(dataset: ImageDataset, device: torch.device | str = "cpu") -> ClassEncoder:
    """A small convolutional classifier of the dataset's training images, trained once and kept in the cache folder.

    Its accuracy on the images given is in its ``note``.

    Raises:
        ValueError: a dataset without labels.
    """
    if dataset.labels is None:
        raise ValueError(
            f"{dataset.name} has no labels to train a feature extractor with; name one: --extractor inception, or "
            "--extractor FILE.py:FUNCTION, a function from images (n, C, H, W) in [0, 1] to features (n, D)"
        )
    side = "x".join(map(str, dataset.image_shape))
    path = cache_folder() / "classifiers" / f"{slug(dataset.name)}-{side}-{len(dataset.class_names)}.safetensors"
    if not path.is_file():
        classifier = _train_classifier(dataset, torch.device(device))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_artefact(classifier, path)
    return load_artefact(path, ClassEncoder).to(device).requires_grad_(False)


def _train_classifier(dataset: ImageDataset, device: torch.device) -> ClassEncoder:
    source = dataset
    if hasattr(dataset, "split"):
        source = load_dataset(dataset.name, size=dataset.image_shape[-1], split="train")
    assert source.labels is not None
    count = len(source.class_names) or int(source.labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = ClassEncoder(dataset.image_shape, count, width=CLASSIFIER_WIDTH, head="softmax").to(device)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, CLASSIFIER_STEPS)
    pool, augment = ImagePool(source, device), Augmentation(shift=0.04)
    rng, warp = np.random.default_rng(0), torch.Generator().manual_seed(0)
    labels = torch.from_numpy(source.labels).to(device)
    with Progress(f"training a classifier of {dataset.name} (once)", CLASSIFIER_STEPS) as bar:
        for _ in range(CLASSIFIER_STEPS):
            indices = rng.integers(len(source), size=CLASSIFIER_BATCH)
            logits, _ = classifier.heads(augment(pool.batch(indices), warp))
            loss = F.cross_entropy(logits, labels[torch.from_numpy(indices).to(device)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance()
    classifier.eval().requires_grad_(False)
    return classifier
