"""Scoring a run by every metric that applies.

Shape suffixes: N images, J code dimensions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from contrafact.core.command import quoted
from contrafact.core.dataset import AnnotatedDataset, FactorDataset, ImageDataset
from contrafact.core.encoder import Encoder
from contrafact.core.encoding import Codes
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun, load_run
from contrafact.core.metric import MetricResult
from contrafact.evaluation.classes import (
    IMAGE_METRICS,
    check_extractor,
    class_factor,
    class_of,
    extractor_of,
    image_scores,
)
from contrafact.evaluation.codes import evaluate, info_of
from contrafact.evaluation.labelled import scored_part
from contrafact.evaluation.representations import Target, is_probe, parse_target, score_targets, usual_metrics
from contrafact.evaluation.sampling import (
    BATCH,
    annotated_columns,
    dataset_of,
    draw_probe_sample,
    draw_sample,
    encode,
    names_of_factors,
)
from contrafact.evaluation.scores import add_scores, score_line
from contrafact.evaluation.translation import TRANSLATIONS, translation_scores
from contrafact.metrics import CATALOG
from contrafact.metrics.recovery import recovery, tangents
from contrafact.nn.attributes import Predictor, load_predictor, no_predictor_message
from contrafact.nn.batch_norm_encoder import VectorEncoder
from contrafact.nn.factor_codes import FactorEncoder, ResidualOf, residual_dim_of

DEFAULT_METRICS = ("mig", "dci")
RECOVERY_LATENTS = 64
RESIDUAL = "residual"
LEAKAGE = f"linear_probe:{RESIDUAL}"
"""What a probe reads of each factor from a residual that should hold none of the annotated ones."""
JUDGED = ("rescoring", "matched_rescoring", "mds", "attribute_dependency", "linear_separability")
"""Metrics in which an attribute predictor judges images: edited ones, or what the generator makes of noise."""
EMBEDDED = "edit_effects"
"""Metric in which an extractor's features of edited images are compared."""
TRANSFER = "class_transfer"
"""Metric in which edits of a class are compared with those of others, of a generator that has several."""
CONTROL, REGRESSION = "control", "regression"
"""Folders inside a run's: its control, and the encoder made for a run that found directions only."""
Who = Literal["run", "control"]


def default_metrics(run: FinishedRun, dataset: ImageDataset | None = None) -> tuple[str, ...]:
    """What is scored unless something else is asked for.

    ZeroDIM's protocol, MIG, DCI and what a probe reads from the residual, where the encoder has codes of annotated
    factors; MIG and DCI of what a factor's vectors differ in most, where codes are vectors; probes, and a table of
    parts, where it is a contrastive one; else clustering where the run is about classes; else MIG and DCI. Recovery
    too where the generator knows true directions.

    Args:
        run: a finished run.
        dataset: the images to score it on.
    """
    static: tuple[str, ...] = ()
    if run.has("encoder") and isinstance(run.encoder, FactorEncoder) and isinstance(dataset, AnnotatedDataset):
        static = ("zerodim", *DEFAULT_METRICS, *([LEAKAGE] if residual_dim_of(run.encoder) else []))
    elif run.has("encoder") and isinstance(run.encoder, VectorEncoder) and run.encoder.representations:
        static = tuple(f"{metric}:principal" for metric in DEFAULT_METRICS)
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
    extractor: str | None = None,
    num_latents: int | None = None,
) -> list[tuple[str, MetricResult]]:
    """Score a run, or its control, and note the scores in the run's ``scores.jsonl``.

    Args:
        run: a finished run, or its folder.
        dataset: images with factors or labels; by default what the run, or its generator, was trained on.
        metrics: names, ``all`` for every one that needs nothing but codes and factors, ``NAME:z`` for a static one of
            the encoder's representation z; by default :func:`default_metrics`. FID, KID and Inception Score take a
            generator.
        num_train: images that metrics are fitted on, and the most votes that interventional ones are.
        num_test: held-out images, or votes.
        seed: of the sample of images, and of metrics with randomness of their own.
        who: ``control`` scores the control in the run's folder instead.
        device: where to encode.
        predictor: who judges images in rescoring, MDS, attribute dependency and linear separability (of ``num_train``
            latents), or its name (:func:`load_predictor`). Their latents depend on the generator and ``seed`` alone, so
            that methods are compared on the same ones.
        extractor: whose features FID and KID compare: a classifier of the data's by default (which then needs labels),
            ``inception``, or ``FILE.py:FUNCTION``. Edit effects need one of the latter two; class transfer compares
            pixels without. Of translations between classes see
            :func:`~contrafact.evaluation.translation.translation_scores`.
        num_latents: how many edits start from, in metrics of directions that somebody judges; by default as many as the
            metric takes by itself.

    Returns:
        ``(metric, result)`` in the order asked for.

    Raises:
        ValueError: unknown metric, no data, nothing known of the data, an artefact the metric needs and the run does
            not yield, or no control.
    """
    run = run if isinstance(run, FinishedRun) else load_run(run)
    scored = _control_of(run) if who == "control" else run
    if not scored.has("encoder") and (scored.folder / REGRESSION).exists():
        scored = scored.inside(REGRESSION)
    if metrics is None and scored.has("encoder") and dataset is None:
        dataset = dataset_of(run)
    dataset = None if dataset is None else scored_part(run, dataset)
    names = default_metrics(scored, dataset) if metrics is None else tuple(metrics)
    asked = [part.strip() for name in names for part in name.split(",")]
    targets = {str(target): target for target in map(parse_target, asked)}
    names = tuple(targets)
    if not names:
        advice = "; --control also trains an encoder that reads its directions" if run.has("directions") else ""
        raise ValueError(
            f"no metric applies to {run.folder}, which yields {', '.join(run.result['artefacts'])}{advice}"
        )
    kinds = {name: "static" if name == "all" else info_of(target.metric).kind for name, target in targets.items()}
    encoded = [name for name in names if kinds[name] in ("static", "interventional")]
    drawn = [name for name in names if name in IMAGE_METRICS]
    translated = [name for name in names if name in TRANSLATIONS]
    judge = load_predictor(predictor) if isinstance(predictor, str) else predictor
    results: dict[str, MetricResult] = {}
    if encoded or drawn or translated:
        if dataset is None:
            dataset = dataset_of(run)
            dataset = None if dataset is None else scored_part(run, dataset)
        if dataset is None:
            raise ValueError(
                f"the generator of {run.folder} does not say what images it was trained on; name them with --data"
            )
        results |= image_scores(drawn, scored.generator, dataset, num_train, seed, device, extractor) if drawn else {}
        if translated:
            results |= translation_scores(translated, scored, dataset, num_train, seed, device, extractor)
        if encoded:
            sizes = Sizes(num_train, num_test, seed)
            results |= _encoded_scores(run, scored.encoder.to(device), dataset, {n: targets[n] for n in encoded}, sizes)
    for name in names:
        if name == "recovery":
            results[name] = _recovery(scored, seed)
        elif name in JUDGED:
            if judge is None:
                raise ValueError(no_predictor_message(name, run.generator))
            is_of_edits = info_of(name).kind == "directions"
            results[name] = _judged(name, scored, judge, num_latents if is_of_edits else num_train, seed, device)
        elif name == EMBEDDED:
            results[name] = _embedded(scored, extractor, num_latents, seed, device, judge)
        elif name == TRANSFER:
            results[name] = _transferred(scored, extractor, num_latents, seed, device)
        elif name not in results:
            raise ValueError(f"{name} needs more than a run and its data; call contrafact.metrics.{name} from Python")
    ordered = [(name, results[name]) for name in dict.fromkeys([*(n for n in names if n in results), *results])]
    about: dict[str, Any] = {"recovery": None, EMBEDDED: None, TRANSFER: None, **dict.fromkeys(JUDGED, judge)}
    add_scores(run.folder, [score_line(n, r, who, about.get(n, dataset), seed) for n, r in ordered])
    return ordered


def check_asked(
    run: FinishedRun, metrics: Sequence[str], predictor: Predictor | str | None = None, extractor: str | None = None
) -> None:
    """Refuse what :func:`evaluate_run` would refuse in the end, before anything is encoded or trained.

    Args:
        run: a finished run.
        metrics: names, as there; empty for the usual ones.
        predictor: who judges edited images, or its name.
        extractor: whose features FID, KID and edit effects compare.

    Raises:
        ValueError: unknown metric, predictor or extractor, or a metric that needs more than a run.
    """
    targets = [parse_target(part.strip()) for name in metrics for part in name.split(",")]
    asked = (target.metric for target in targets if target.metric != "all" and str(target) not in TRANSLATIONS)
    for metric in asked:
        known = metric in (*IMAGE_METRICS, *JUDGED, EMBEDDED, TRANSFER, "recovery")
        if not known and info_of(metric).kind not in ("static", "interventional"):
            raise ValueError(f"{metric} needs more than a run and its data; call contrafact.metrics.{metric}")
        if metric in JUDGED and predictor is None:
            raise ValueError(no_predictor_message(metric, run.generator))
        if metric == EMBEDDED and extractor is None:
            raise ValueError(_NO_EXTRACTOR)
    if isinstance(predictor, str):
        load_predictor(predictor)
    check_extractor(extractor)


def needs_regression(run: FinishedRun, metrics: Sequence[str]) -> bool:
    """Whether a run that found directions alone is asked for scores of codes: by name, or because no other applies.

    Args:
        run: a finished run.
        metrics: names, as for :func:`evaluate_run`; empty for the usual ones.

    Raises:
        ValueError: unknown metric.
    """
    if run.has("encoder") or not run.has("directions"):
        return False
    asked = [parse_target(part.strip()).metric for name in metrics for part in name.split(",")]
    see_codes = [name == "all" or info_of(name).kind in ("static", "interventional") for name in asked]
    return any(see_codes) if asked else not default_metrics(run)


class Sizes(NamedTuple):
    """How many images metrics are fitted on and held out, and the seed of their choice."""

    num_train: int
    num_test: int
    seed: int


def _encoded_scores(
    run: FinishedRun, encoder: Encoder, dataset: ImageDataset, targets: Mapping[str, Target], sizes: Sizes
) -> dict[str, MetricResult]:
    """The metrics that see codes, each on the sample that its protocol asks for."""
    results: dict[str, MetricResult] = {}
    plain, probes, interventional = [], [], []
    names = names_of_factors(dataset)
    factor = class_factor(run, dataset)
    for name, target in targets.items():
        if name != "all" and info_of(target.metric).kind == "interventional":
            interventional.append(name)
        elif name == "clustering" and factor is not None:
            results[name] = _cluster(encoder, dataset, factor, sizes)
        elif target.representation == RESIDUAL and RESIDUAL not in encoder.representations:
            rest = draw_sample(ResidualOf(encoder), dataset, *sizes)
            scored = evaluate(*rest, metrics=[target.metric], seed=sizes.seed, factor_names=names)
            results[name] = scored.results[target.metric]
        elif is_probe(target):
            probes.append(target)
        else:
            plain.append(name)
    if plain:
        sample, columns = draw_sample(encoder, dataset, *sizes), annotated_columns(run, dataset)
        if columns is not None:
            sample, names = sample.of_factors(columns), tuple(names[column] for column in columns)
        results |= evaluate(*sample, metrics=plain, seed=sizes.seed, factor_names=names).results
    if probes:
        sample = draw_probe_sample(encoder, dataset, *sizes)
        results |= score_targets(encoder, dataset, sample, probes, sizes.seed)
    if interventional:
        if not isinstance(dataset, FactorDataset):
            raise ValueError(
                f"{dataset.name} has no factors to hold fixed, which {interventional[-1]} needs; leave it out"
            )
        codes = Codes(encoder, dataset, BATCH)  # each distinct image is encoded once for all of them
        for name in interventional:
            metric = CATALOG.get(name)
            results[name] = metric(codes, dataset, seed=sizes.seed, **_no_more_than(sizes, metric))
    return results


def _no_more_than(sizes: Sizes, metric: Callable[..., object]) -> dict[str, int]:
    """The metric's own numbers of votes and images, or the fewer that are asked for."""
    asked = {"num_train": sizes.num_train, "num_test": sizes.num_test, "num_variance": sizes.num_train}
    own = inspect.signature(metric).parameters
    return {name: min(own[name].default, number) for name, number in asked.items() if name in own}


def _cluster(encoder: Encoder, dataset: ImageDataset, factor: str, sizes: Sizes) -> MetricResult:
    """Clusters of the codes that tell the class, on up to ``num_train`` images, against their classes."""
    chosen = np.random.default_rng(sizes.seed).permutation(len(dataset))[: sizes.num_train].astype(np.int64)
    codes_NJ = encode(encoder, dataset, chosen)[:, : encoder.class_dim]
    result: MetricResult = CATALOG.get("clustering")(codes_NJ, class_of(dataset, chosen, factor), seed=sizes.seed)
    return result


def _control_of(run: FinishedRun) -> FinishedRun:
    folder = run.folder / CONTROL
    if not folder.exists():
        raise ValueError(
            f"{run.folder} has no control yet; make one with `contrafact evaluate {quoted(run.folder)} --control`"
        )
    return run.inside(CONTROL)


def _recovery(run: FinishedRun, seed: int) -> MetricResult:
    """How well the run's directions match the true ones at random latents."""
    if not _knows_truth(run):
        raise ValueError("recovery needs directions and a generator whose true directions are known, such as analytic")
    generator: Any = run.generator
    latent = generator.sample(RECOVERY_LATENTS, torch.Generator().manual_seed(seed))
    found, true = tangents(run.directions, latent), generator.true_tangents(latent)
    return recovery(found, true, seed=seed)


@torch.no_grad()
def _judged(
    name: str, run: FinishedRun, judge: Predictor, num_latents: int | None, seed: int, device: torch.device | str
) -> MetricResult:
    """How well the run's directions change what the judge sees, or the generator's latents tell it."""
    generator = run.generator.to(device)
    names = _names_of(judge, generator, seed, device)
    answer = judge.labels if name == "mds" else judge.scores
    moved = (run.directions.to(device),) if info_of(name).kind == "directions" else ()
    sizes = {} if num_latents is None else {"num_latents": num_latents}
    result: MetricResult = CATALOG.get(name)(generator, *moved, answer, seed=seed, attributes=names, **sizes)
    return result


def _names_of(judge: Predictor, generator: Generator, seed: int, device: torch.device | str) -> tuple[str, ...]:
    """What the judge, moved to the device, calls its attributes."""
    if isinstance(judge, torch.nn.Module):
        judge.to(device)
    return judge.learn_names(generator(generator.sample(2, torch.Generator().manual_seed(seed))).clamp(0, 1))


_NO_EXTRACTOR = (
    f"{EMBEDDED} needs an embedding in which images are compared: --extractor FILE.py:FUNCTION, a function from images "
    "(n, C, H, W) in [0, 1] to features (n, D), or --extractor inception, or dinov2:PATH of its weights"
)


@torch.no_grad()
def _embedded(
    run: FinishedRun,
    extractor: str | None,
    num_latents: int | None,
    seed: int,
    device: torch.device | str,
    judge: Predictor | None,
) -> MetricResult:
    """How far the run's directions move images in the extractor's features, and what they change for the judge."""
    if extractor is None:
        raise ValueError(_NO_EXTRACTOR)
    embed = extractor_of(extractor)
    generator = run.generator.to(device)
    told: dict[str, Any] = {} if num_latents is None else {"num_latents": num_latents}
    if judge is not None:
        told |= {"predictor": judge.scores, "attributes": _names_of(judge, generator, seed, device)}
    result: MetricResult = CATALOG.get(EMBEDDED)(generator, run.directions.to(device), embed, seed=seed, **told)
    return result


def _transferred(
    run: FinishedRun, extractor: str | None, num_latents: int | None, seed: int, device: torch.device | str
) -> MetricResult:
    """Whether the run's directions do the same in other classes of its generator."""
    embed = None if extractor is None else extractor_of(extractor)
    generator, directions = run.generator.to(device), run.directions.to(device)
    sizes = {} if num_latents is None else {"num_latents": num_latents}
    result: MetricResult = CATALOG.get(TRANSFER)(generator, directions, extractor=embed, seed=seed, **sizes)
    return result
