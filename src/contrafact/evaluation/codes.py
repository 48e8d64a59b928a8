"""Running many metrics on one pair of codes and factors, or on an encoder."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from contrafact.core.active import NEARLY_DEAD, Active, active_codes
from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.frames import TableLike
from contrafact.core.inputs import Missing, read_inputs, with_names
from contrafact.core.metric import (
    ArrayLike,
    BoolArray,
    Continuous,
    MetricResult,
    MetricWarning,
)
from contrafact.core.once import shared
from contrafact.evaluation.result import CATALOG, Evaluation
from contrafact.evaluation.result import info_of as info_of  # the benchmark suite asks for it here
from contrafact.evaluation.rows import Rows, form_of_matrices, names_or_numbers, static_form
from contrafact.evaluation.rows import continuous_setting as continuous_setting

if TYPE_CHECKING:
    from contrafact.core.encoding import Encode

DATA = ("codes", "factors", "codes_test", "factors_test")


def static_metrics() -> list[str]:
    """Names of the metrics that need codes and at most factors, sorted."""
    found = []
    for name in CATALOG.names():
        # Metrics of images need torch, which matrices do not; and a broken plugin is no reason to offer nothing.
        with suppress(ImportError, ValueError):
            if info_of(name).kind == "static":
                found.append(name)
    return found


def names_of(metrics: str | Sequence[str]) -> list[str]:
    """Names as asked for, one by one: of a list or comma-separated, or both."""
    given = [metrics] if isinstance(metrics, str) else metrics
    return [part.strip() for names in given for part in names.split(",")]


def resolve_metrics(metrics: str | Sequence[str]) -> list[str]:
    """Catalogue names of the metrics asked for; ``"all"`` is every static one.

    Raises:
        ValueError: an unknown name (with the nearest known one), or one that needs more than codes and factors.
    """
    asked = names_of(metrics)
    names: list[str] = []
    for name in asked:
        if name == "all":
            names += static_metrics()
        else:
            names.append(CATALOG.admit(name))
    if not names:
        raise ValueError("no metric asked for; pass names or 'all'")
    for name in names:
        kind = info_of(name).kind
        if kind != "static" and not form_of_matrices(name):
            needs = {
                "models": "the codes of several models",
                "interventional": "an encoder and a dataset: call it, or evaluate_encoder",
                "directions": "directions",
                "images": "sets of images",
                "generators": "a generator",
            }[kind]
            raise ValueError(f"metric {name!r} cannot be computed from codes and factors: it takes {needs}")
    return list(dict.fromkeys(names))


def call_static(
    name: str, data: Mapping[str, ArrayLike | None], settings: Mapping[str, Any], seed: int
) -> MetricResult:
    """Call a static metric with those of its arguments that are at hand.

    Raises:
        ValueError: the metric needs factors and there are none, or a setting it does not have.
    """
    metric = static_form(name)
    parameters = inspect.signature(metric).parameters
    arguments: dict[str, Any] = {key: data[key] for key in DATA if key in parameters and data.get(key) is not None}
    if "factors" in parameters and "factors" not in arguments:
        raise ValueError(f"metric {name!r} needs factors; pass them, or ask for metrics that do without")
    unknown = sorted(set(settings) - (set(parameters) - set(DATA)))
    if unknown:
        known = ", ".join(sorted(set(parameters) - set(DATA))) or "none"
        raise ValueError(f"metric {name!r} has no setting {unknown[0]!r}; it has: {known}")
    if "seed" in parameters:
        arguments["seed"] = seed
    return metric(**{**arguments, **settings})


@shared()  # bins, informations, trees and linear models that several metrics need
def evaluate(
    codes: TableLike,
    factors: TableLike | None = None,
    codes_test: TableLike | None = None,
    factors_test: TableLike | None = None,
    *,
    metrics: str | Sequence[str] = "all",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    continuous: Continuous | None = None,
    missing: Missing = "rows",
    id: str | Sequence[str] = (),
    seed: int = 0,
    num_resamples: int = 0,
    code_names: Sequence[str] | None = None,
    factor_names: Sequence[str] | None = None,
    active: Active = NEARLY_DEAD,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score codes against factors with any number of metrics.

    Args:
        codes: ``(N, J)`` numbers to fit on: an array, a tensor, or a table of any library (see
            :func:`~contrafact.core.frames.columns_of`), whose names are kept.
        factors: ``(N, K)`` whole numbers or words, or any numbers when ``continuous``; None for metrics that need none.
            Constant factors are dropped, with a note.
        codes_test: ``(M, J)`` held-out codes; metrics that need them hold out a third of the rows otherwise.
        factors_test: ``(M, K)`` their factors.
        metrics: names in any spelling, a list or comma-separated; ``"all"`` for every static metric: one that refuses
            the input (an odd number of codes cannot be halved) is then skipped, and a note says why.
        settings: keyword arguments by metric name, ``{"mig": {"num_bins": 10}}``.
        continuous: whether factors are measurements: all of them, or a truth value for each. None goes by the columns
            of a table: those with a number that is not whole are. Metrics whose definition does not allow them are
            given the other factors alone, and a note says so; without others they refuse.
        missing: rows where a value is missing (NaN in a table, None, a mask): ``rows`` leaves them out; ``pairs``, for
            metrics that compare pairs (their ``INFO.pairs``), leaves them out of the pairs of code and factor that lack
            the value, and out of other metrics; ``refuse`` says where they are.
        id: names of columns that say which image a row is of: no codes and no factors. Rows are matched by the first
            that codes and factors both have.
        seed: of every metric that has one.
        num_resamples: bootstrap resamples for 95 % confidence limits; 0 for none. Each costs a full evaluation.
        code_names: J names for tables and heat maps.
        factor_names: K names.
        active: which codes count, see :func:`~contrafact.core.active.active_codes`. Scores are of all codes; where the
            rule leaves some out, each metric is asked again without them, and both values are reported. None for all
            codes only.
        progress: called with each metric's name before it runs.

    Returns:
        the results, by name.

    Raises:
        ValueError: input a metric refuses (the message begins with the metric's name), an unknown metric or setting,
            no factor that varies, or what :func:`~contrafact.core.inputs.read_inputs` refuses.

    >>> factors = np.random.default_rng(0).integers(4, size=(1000, 2))
    >>> result = evaluate(factors * [1.0, -2.0], factors, metrics=["mig", "modularity"])
    >>> [name for name, value in result.scores().items() if value > 0.9]
    ['mig.score', 'modularity.score']
    """
    names = resolve_metrics(metrics)
    given = read_inputs(codes, factors, codes_test, factors_test, missing=missing, identifier=id)
    labels = {"code": code_names or given.code_names, "factor": factor_names or given.factor_names}
    try:
        rows = Rows.of(given, labels["factor"], continuous)
    except ValueError as error:
        raise ValueError(with_names(str(error), labels["code"], labels["factor"])) from error
    code_labels = names_or_numbers(labels["code"], rows.data["codes"].shape[1], "code")
    notes = [*given.notes, *rows.notes]
    for note in notes:
        warnings.warn(note, MetricWarning, stacklevel=2)
    chosen = {CATALOG.resolve(name): dict(values) for name, values in (settings or {}).items()}
    data: dict[str, Mapping[str, Any]] = {}
    may_skip = "all" in names_of(metrics)
    results: dict[str, MetricResult] = {}
    skipped: dict[str, list[str]] = {}
    discrete_only: list[str] = []
    for name in names:
        if progress is not None:
            progress(name)
        data[name], kept_names, setting = rows.of_metric(name)
        chosen[name] = {**setting, **chosen.get(name, {})}
        if len(kept_names) < len(rows.factor_names):
            discrete_only.append(name)
        try:
            results[name] = call_static(name, data[name], chosen[name], seed)
        except ValueError as error:
            said = with_names(str(error), labels["code"], kept_names if labels["factor"] else None)
            if not may_skip:
                raise ValueError(f"{name}: {said}") from error
            skipped.setdefault(said, []).append(name)
            continue
        said_of = [with_names(note, labels["code"], labels["factor"] and kept_names) for note in results[name].notes]
        results[name] = replace(results[name], notes=tuple(said_of))
        if name in discrete_only:
            results[name] = replace(results[name], factor_names=kept_names)
    notes += [f"skipped {', '.join(refusing)}: {reason}" for reason, refusing in skipped.items()]
    if not results:
        raise ValueError(f"no metric accepts this input; {notes[-1]}")
    if told := [name for name in discrete_only if name in results]:
        left_out = ", ".join(name for name, is_one in zip(rows.factor_names, rows.continuous, strict=True) if is_one)
        notes.append(f"{', '.join(told)}: of the discrete factors alone, without {left_out}")
    kept_J = active_codes(rows.filled, active)
    of_active = _scores_of_active(kept_J, {name: data[name] for name in results}, chosen, seed, progress)
    if of_active:
        narrow = [label for label, kept in zip(code_labels, kept_J, strict=True) if not kept]
        notes.append(f"the second score of each metric leaves out {', '.join(narrow)}")
    intervals: dict[str, tuple[float, float]] = {}
    if num_resamples:
        from contrafact.evaluation.bootstrap import bootstrap

        check_count("num_resamples", num_resamples)
        for name in results:
            if progress is not None:
                progress(f"{name} (bootstrap)")
            limits = bootstrap(name, data[name], results[name], chosen.get(name, {}), num_resamples, seed)
            intervals |= {f"{name}.{score}": value for score, value in limits.items()}
            notes += [
                f"limits of {name}.{score} are too narrow: when tried, {held:.0%} of them held what 95 % should"
                for score, held in info_of(name).covered.items()
                if score in limits
            ]
    return Evaluation(results, code_labels, rows.factor_names, intervals, tuple(notes), of_active)


def _scores_of_active(
    kept_J: BoolArray,
    data: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
    seed: int,
    progress: Callable[[str], None] | None,
) -> dict[str, float]:
    """Scores by full name on the codes that count; none where all do, or where a metric refuses so few."""
    if kept_J.all():
        return {}
    scores: dict[str, float] = {}
    for name, given in data.items():
        fewer = {
            key: values[:, kept_J] if key.startswith("codes") and values is not None else values
            for key, values in given.items()
        }
        if progress is not None:
            progress(f"{name} (active codes)")
        with suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore", MetricWarning)  # the notes of all codes were given already
            result = call_static(name, fewer, settings.get(name, {}), seed)
            scores |= {f"{name}.{score}": value for score, value in result.scores().items()}
    return scores


def evaluate_encoder(
    encode: Encode,
    dataset: FactorDataset,
    *,
    metrics: str | Sequence[str] = "mig,dci,sap,beta_vae_score,factor_vae_score",
    num_train: int = 10_000,
    num_test: int = 5_000,
    seed: int = 0,
    batch_size: int = 256,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score an encoder on a dataset of known factors with static and interventional metrics together.

    Every distinct image any of them draws is encoded once.

    Args:
        encode: images ``(n, C, H, W)`` in [0, 1] to codes ``(n, J)``; a module runs in evaluation mode.
        dataset: images and factors.
        metrics: names, a list or comma-separated; ``"all"`` for every static metric.
        num_train: points for static metrics to fit on.
        num_test: held-out points.
        seed: of all draws.
        batch_size: images per call of ``encode``.
        progress: called with each metric's name before it runs.

    Raises:
        ValueError: the encoder misbehaves, or what the metrics refuse.

    >>> from contrafact.contract.samples import Counter, Flags  # three factors, and an encoder that reads them off
    >>> few = {"num_train": 200, "num_test": 100}
    >>> evaluation = evaluate_encoder(Counter(), Flags(), metrics="modularity,beta_vae_score", **few)
    >>> {name: round(value, 3) for name, value in evaluation.scores().items()}
    {'modularity.score': 1.0, 'beta_vae_score.score': 1.0, 'beta_vae_score.score_train': 1.0}
    """
    from contrafact.core.encoding import Codes

    asked = [name if name == "all" else CATALOG.admit(name) for name in names_of(metrics)]
    interventional = [name for name in asked if name != "all" and info_of(name).kind == "interventional"]
    static = [name for name in asked if name not in interventional]
    codes, rng = Codes(encode, dataset, batch_size), np.random.default_rng(seed)
    evaluation = Evaluation({})
    if static:
        train, test = dataset.sample(num_train, rng), dataset.sample(num_test, rng)
        evaluation = evaluate(
            codes.of(train),
            train,
            codes.of(test),
            test,
            metrics=static,
            seed=seed,
            factor_names=dataset.factor_names,
            progress=progress,
        )
    results = dict(evaluation.results)
    for name in interventional:
        if progress is not None:
            progress(name)
        results[name] = CATALOG.get(name)(codes, dataset, seed=seed)
    ordered = {name: results[name] for name in [*[n for n in asked if n in results], *results]}
    return Evaluation(
        ordered,
        evaluation.code_names,
        evaluation.factor_names or tuple(dataset.factor_names),
        {},
        (*evaluation.notes, f"images: {dataset.source_name}"),
        evaluation.active,
    )
