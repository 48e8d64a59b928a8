"""Scoring a run: codes of a random sample and a held-out one, and every metric that applies.

Shape suffixes: N images, J code dimensions, K factors, C channels, H height, W width.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from contrafact.bench.classes import IMAGE_METRICS, class_factor, class_of, image_scores, split_for_scoring
from contrafact.bench.representations import is_probe, parse_target, score_targets, usual_metrics
from contrafact.bench.scores import add_scores, score_line
from contrafact.core.dataset import AnnotatedDataset, FactorDataset, ImageDataset, IntArray, check_count
from contrafact.core.encoder import Encoder
from contrafact.core.method import FinishedRun, load_run
from contrafact.core.metric import MetricResult
from contrafact.core.progress import Progress
from contrafact.data import CATALOG as DATASETS
from contrafact.data.load import load_dataset
from contrafact.metrics import CATALOG
from contrafact.metrics._encoding import Codes
from contrafact.metrics._evaluate import evaluate, info_of
from contrafact.metrics.recovery import recovery, tangents
from contrafact.nn.attributes import Predictor, load_predictor, no_predictor_message
from contrafact.nn.factor_codes import FactorEncoder, ResidualOf

DEFAULT_METRICS = ("mig", "dci")
RECOVERY_LATENTS = 64
RESIDUAL = "residual"
LEAKAGE = f"linear_probe:{RESIDUAL}"
"""What a probe reads of each factor from a residual that should hold none of the annotated ones."""
BATCH = 512
JUDGED = ("rescoring", "mds")
"""Metrics in which an attribute predictor judges edited images."""
CONTROL, REGRESSION = "control", "regression"
"""Folders inside a run's: its control, and the encoder made for a run that found directions only."""
Who = Literal["run", "control"]
Codes32 = npt.NDArray[np.float32]


@torch.no_grad()
def encode(encoder: Encoder, dataset: ImageDataset, indices: IntArray, batch: int = BATCH) -> Codes32:
    """Codes ``(N, J)`` of the dataset's images at ``indices`` ``(N,)``, in batches, on the encoder's device.

    Raises:
        ValueError: the dataset's images are not of the encoder's shape.
    """
    device = next(encoder.parameters()).device
    codes_NJ = np.empty((len(indices), encoder.code_dim), dtype=np.float32)
    with Progress(f"encoding {dataset.name}", len(indices)) as progress:
        for start in range(0, len(indices), check_count("batch", batch)):
            images = dataset.batch(indices[start : start + batch]).to(device)
            codes_NJ[start : start + batch] = encoder(images).float().cpu().numpy()
            progress.advance(len(images))
    return codes_NJ


def factors_of(dataset: ImageDataset, indices: IntArray) -> IntArray:
    """What is known of the images at ``indices`` ``(N,)``: their factors ``(N, K)``, or their label as one factor.

    Raises:
        ValueError: the dataset has neither.
    """
    if isinstance(dataset, AnnotatedDataset):
        return dataset.factors_of(indices)
    if dataset.labels is None:
        raise ValueError(
            f"{dataset.name} has neither factors nor labels, so nothing is known to score codes against; "
            "choose another dataset with --data"
        )
    return dataset.labels[indices][:, None]


def sample_indices(dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> tuple[IntArray, IntArray]:
    """Indices of a random training sample and a held-out one, without repetition.

    A dataset too small for both is used whole, divided in the proportion asked for.
    """
    total = check_count("num_train", num_train) + check_count("num_test", num_test)
    if total > len(dataset):
        num_train, total = max(1, len(dataset) * num_train // total), len(dataset)
    chosen = np.random.default_rng(seed).choice(len(dataset), total, replace=False)
    return chosen[:num_train].astype(np.int64), chosen[num_train:].astype(np.int64)


def dataset_of(run: FinishedRun) -> ImageDataset | None:
    """The data a run is about: what it was trained on, or what its generator was, at the size of its images.

    Returns:
        None when nothing says what data that was.

    Raises:
        ValueError: the data is not where it was.
    """
    source = run.config["source"]
    height = source["image_shape"][-1]
    if source["kind"] == "data":
        return _load_again(source["name"], source["from"], height, split_for_scoring(source.get("split")))
    note = run.generator.note if run.has("generator") else {}
    return _load_again(note["trained_on"], note.get("from", ""), height) if "trained_on" in note else None


def _load_again(name: str, origin: str, size: int, split: str = "test") -> ImageDataset:
    """The dataset called ``name``, from the file it was read from when that is still there; in parts, its ``split``."""
    from_file = ":" not in name and Path(origin).exists()  # a path does not carry a variant, a name does
    in_parts = name in DATASETS and "split" in inspect.signature(DATASETS.get(name)).parameters
    return load_dataset(origin if from_file else name, size=size, split=split if in_parts else None)


class Sample(NamedTuple):
    """What static metrics see: codes and factors to fit on, and held out.

    Attributes:
        codes_NJ: codes to fit on.
        factors_NK: their factors.
        codes_test_NJ: held-out codes.
        factors_test_NK: their factors.
    """

    codes_NJ: Codes32
    factors_NK: IntArray
    codes_test_NJ: Codes32
    factors_test_NK: IntArray

    def of_factors(self, columns: Sequence[int]) -> Sample:
        """The same codes, with these factors only."""
        return self._replace(factors_NK=self.factors_NK[:, columns], factors_test_NK=self.factors_test_NK[:, columns])


def annotated_columns(run: FinishedRun, dataset: ImageDataset) -> list[int] | None:
    """Which factors a run with few labels was told of: what its codes are scored on; None for a run without labels."""
    names = run.config["source"].get("labels", {}).get("factors", [])
    if not names or not isinstance(dataset, AnnotatedDataset) or not set(names) <= set(dataset.factor_names):
        return None
    return [dataset.factor_names.index(name) for name in names]


def draw_sample(encoder: Encoder, dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> Sample:
    """Codes and factors of a random sample and of a held-out one.

    Raises:
        ValueError: images of another shape than the encoder's, or nothing known of them.
    """
    train, test = sample_indices(dataset, num_train, num_test, seed)
    factors_NK, factors_test_NK = factors_of(dataset, train), factors_of(dataset, test)
    codes = encode(encoder, dataset, np.concatenate([train, test]))
    return Sample(codes[: len(train)], factors_NK, codes[len(train) :], factors_test_NK)


def draw_probe_sample(encoder: Encoder, dataset: ImageDataset, num_train: int, num_test: int, seed: int) -> Sample:
    """As :func:`draw_sample`, but fitted on the published training part and held out from the test part, if there are.

    Raises:
        ValueError: images of another shape than the encoder's, or nothing known of them.
    """
    if (parts := dataset.parts()) is None:
        return draw_sample(encoder, dataset, num_train, num_test, seed)
    rng = np.random.default_rng(seed)
    counts = (check_count("num_train", num_train), check_count("num_test", num_test))
    train, test = (
        rng.choice(len(part), min(count, len(part)), replace=False).astype(np.int64)
        for part, count in zip(parts, counts, strict=True)
    )
    return Sample(
        encode(encoder, parts[0], train),
        factors_of(parts[0], train),
        encode(encoder, parts[1], test),
        factors_of(parts[1], test),
    )


def default_metrics(run: FinishedRun, dataset: ImageDataset | None = None) -> tuple[str, ...]:
    """What is scored unless something else is asked for.

    ZeroDIM's protocol, MIG, DCI and what a probe reads from the residual, where the encoder has codes of annotated
    factors; probes, and a table of parts, where it is a contrastive one; else clustering where the run is about
    classes; else MIG and DCI. Recovery too where the generator knows true directions.

    Args:
        run: a finished run.
        dataset: the images to score it on.
    """
    static: tuple[str, ...] = ()
    if run.has("encoder") and isinstance(run.encoder, FactorEncoder) and isinstance(dataset, AnnotatedDataset):
        static = ("zerodim", *DEFAULT_METRICS, *([LEAKAGE] if run.encoder.residual_dim else []))
    elif run.has("encoder"):
        by_class = class_factor(run, dataset) is not None
        static = usual_metrics(run.encoder) or (("clustering",) if by_class else DEFAULT_METRICS)
    return (*static, *(("recovery",) if _knows_truth(run) else ()))


def _knows_truth(run: FinishedRun) -> bool:
    return run.has("directions") and run.has("generator") and hasattr(run.generator, "true_tangents")


def evaluate_run(
    run: FinishedRun | str | Path,
    dataset: ImageDataset | None = None,
    metrics: Sequence[str] | None = None,
    num_train: int = 10_000,
    num_test: int = 5_000,
    seed: int = 0,
    who: Who = "run",
    device: torch.device | str = "cpu",
    predictor: Predictor | str | None = None,
) -> list[tuple[str, MetricResult]]:
    """Score a run, or its control, and note the scores in the run's ``scores.jsonl``.

    Args:
        run: a finished run, or its folder.
        dataset: images with factors or labels; by default what the run, or its generator, was trained on.
        metrics: names, ``all`` for every one that needs nothing but codes and factors, ``NAME:z`` for a static one of
            the encoder's representation z; by default :func:`default_metrics`. FID, KID and Inception Score take a
            generator and a dataset with labels.
        num_train: images that metrics are fitted on.
        num_test: held-out images.
        seed: of the sample of images, and of metrics with randomness of their own.
        who: ``control`` scores the control in the run's folder instead.
        device: where to encode.
        predictor: who judges edited images in rescoring and MDS, or its name (:func:`load_predictor`). Their latents
            depend on the generator and ``seed`` alone, so that methods are compared on the same ones.

    Returns:
        ``(metric, result)`` in the order asked for.

    Raises:
        ValueError: unknown metric, no data, nothing known of the data, an artefact the metric needs and the run does
            not yield, or no control.
    """
    run = run if isinstance(run, FinishedRun) else load_run(run)
    scored = _control_of(run) if who == "control" else run
    if who == "run" and not run.has("encoder") and (run.folder / REGRESSION).exists():
        scored = load_run(run.folder / REGRESSION, run.generator)
    if metrics is None and scored.has("encoder") and dataset is None:
        dataset = dataset_of(run)
    names = default_metrics(scored, dataset) if metrics is None else tuple(metrics)
    asked = [part.strip() for name in names for part in name.split(",")]
    targets = {str(target): target for target in map(parse_target, asked)}
    names = tuple(targets)
    if not names:
        raise ValueError(f"no metric applies to {run.folder}, which yields {', '.join(run.result['artefacts'])}")
    kinds = {name: "static" if name == "all" else info_of(target.metric).kind for name, target in targets.items()}
    results: dict[str, MetricResult] = {}
    encoded = [name for name in names if kinds[name] in ("static", "interventional")]
    drawn = [name for name in names if name in IMAGE_METRICS]
    if encoded or drawn:
        dataset = dataset_of(run) if dataset is None else dataset
        if dataset is None:
            raise ValueError(
                f"the generator of {run.folder} does not say what images it was trained on; name them with --data"
            )
    if drawn and dataset is not None:
        results |= image_scores(drawn, scored.generator, dataset, num_train, seed, device)
    if encoded and dataset is not None:
        encoder = scored.encoder.to(device)
        factor = class_factor(run, dataset)
        by_class = [name for name in encoded if name == "clustering" and factor is not None]
        if by_class:
            results["clustering"] = _cluster(encoder, dataset, factor, num_train, seed)
        encoded = [name for name in encoded if name not in by_class]
        static = [name for name in encoded if kinds[name] == "static"]
        columns = annotated_columns(run, dataset)
        leaks = [n for n in static if targets[n].representation == RESIDUAL and isinstance(encoder, FactorEncoder)]
        if leaks and isinstance(encoder, FactorEncoder):
            rest = draw_sample(ResidualOf(encoder), dataset, num_train, num_test, seed)
            for name in leaks:
                metric = targets[name].metric
                results[name] = evaluate(*rest, metrics=[metric], seed=seed).results[metric]
        static = [name for name in static if name not in leaks]
        if static:
            probes = [t for name, t in targets.items() if name in static and is_probe(t)]
            plain = [name for name in static if not is_probe(targets[name])]
            if plain:
                sample = draw_sample(encoder, dataset, num_train, num_test, seed)
                sample = sample if columns is None else sample.of_factors(columns)
                results |= evaluate(*sample, metrics=plain, seed=seed).results
            if probes:
                sample = draw_probe_sample(encoder, dataset, num_train, num_test, seed)
                results |= score_targets(encoder, dataset, sample, probes, seed)
        if any(kinds[name] == "interventional" for name in encoded):
            if not isinstance(dataset, FactorDataset):
                raise ValueError(
                    f"{dataset.name} has no factors to hold fixed, which {encoded[-1]} needs; leave it out"
                )
            codes = Codes(encoder, dataset, BATCH)  # each distinct image is encoded once for all of them
            results |= {n: CATALOG.get(n)(codes, dataset, seed=seed) for n in encoded if kinds[n] == "interventional"}
    judge: Predictor | None = None
    for name in names:
        if name == "recovery":
            results[name] = _recovery(scored, seed)
        elif name in JUDGED:
            if predictor is None:
                raise ValueError(no_predictor_message(name, run.generator))
            judge = judge or (load_predictor(predictor) if isinstance(predictor, str) else predictor)
            results[name] = _judged(name, scored, judge, seed, device)
        elif kinds[name] not in ("static", "interventional") and name not in drawn:
            raise ValueError(f"{name} needs more than a run and its data; call contrafact.metrics.{name} from Python")
    ordered = [(name, results[name]) for name in dict.fromkeys([*(n for n in names if n in results), *results])]
    about: dict[str, Any] = {"recovery": None, **dict.fromkeys(JUDGED, judge)}
    add_scores(run.folder, [score_line(n, r, who, about.get(n, dataset), seed) for n, r in ordered])
    return ordered


def _cluster(encoder: Encoder, dataset: ImageDataset, factor: str | None, num_images: int, seed: int) -> MetricResult:
    """Clusters of the codes that tell the class, on up to ``num_images`` images, against their classes."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:num_images].astype(np.int64)
    codes_NJ = encode(encoder, dataset, chosen)[:, : encoder.class_dim]
    result: MetricResult = CATALOG.get("clustering")(codes_NJ, class_of(dataset, chosen, factor), seed=seed)
    return result


def _control_of(run: FinishedRun) -> FinishedRun:
    folder = run.folder / CONTROL
    if not folder.exists():
        raise ValueError(f"{run.folder} has no control yet; make one with `contrafact evaluate {run.folder} --control`")
    return load_run(folder, run.generator if run.has("generator") else None)


def _recovery(run: FinishedRun, seed: int) -> MetricResult:
    """How well the run's directions match the true ones at random latents."""
    if not _knows_truth(run):
        raise ValueError("recovery needs directions and a generator whose true directions are known, such as analytic")
    generator: Any = run.generator
    latent = generator.sample(RECOVERY_LATENTS, torch.Generator().manual_seed(seed))
    found, true = tangents(run.directions, latent), generator.true_tangents(latent)
    return recovery(found, true, seed=seed)


@torch.no_grad()
def _judged(name: str, run: FinishedRun, judge: Predictor, seed: int, device: torch.device | str) -> MetricResult:
    """How well the run's directions change what the judge sees."""
    generator, directions = run.generator.to(device), run.directions.to(device)
    if isinstance(judge, torch.nn.Module):
        judge.to(device)
    names = judge.learn_names(generator(generator.sample(2, torch.Generator().manual_seed(seed))))
    answer = judge.labels if name == "mds" else judge.scores
    result: MetricResult = CATALOG.get(name)(generator, directions, answer, seed=seed, attributes=names)
    return result
