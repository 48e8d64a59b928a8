"""The reference implementation's inputs and results, and ours beside them."""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.metric import MetricWarning
from contrafact.metrics import dci, explicitness, irs, mig, modularity, sap, total_correlation, zerodim
from contrafact.metrics.beta_vae_score import from_votes as beta_vae_from_votes
from contrafact.metrics.factor_vae_score import from_votes as factor_vae_from_votes
from tests.metrics.golden_peers import rows as of_peers

FOLDER = Path(__file__).parent / "golden"
CASES = (
    "main10_2k", "main10_500", "const10", "const10_exact", "allconst10",
    "perfect6", "perfect10", "rotated6", "dup10", "noise10",
)  # fmt: skip
SAMPLED = ("perfect6", "rotated6")
EXACT, OPTIMISED, DCI_SMALL, INFORMATIVENESS = 1e-9, 1e-3, 0.01, 0.02


@dataclass(frozen=True)
class Row:
    """One number of the reference, ours, and how far apart they may be."""

    case: str
    name: str
    reference: float
    ours: float
    tolerance: float

    @property
    def distance(self) -> float:
        return abs(self.reference - self.ours)

    @property
    def within(self) -> bool:
        return self.distance <= self.tolerance


@functools.cache
def load(case: str) -> dict[str, np.ndarray]:
    """Codes and factors of a case, train and test."""
    if case in ("const10", "const10_exact"):
        data = dict(load("main10_2k"))
        for part in ("codes_train", "codes_test"):
            data[part] = data[part].copy()
            data[part][:, 7] = 0.7 if case == "const10" else 0.5
        return data
    with np.load(FOLDER / f"{case}.npz") as file:
        data = {key: file[key] for key in file.files}
    if case in ("dup10", "noise10"):
        data |= {key: load("main10_2k")[key] for key in ("factors_train", "factors_test")}
    for part in ("train", "test"):
        data[f"factors_{part}"] = data[f"factors_{part}"].astype(np.int64)
        if case == "rotated6":
            data[f"codes_{part}"] = load("perfect6")[f"codes_{part}"] @ data["rotation"]
        if case == "allconst10":
            data[f"codes_{part}"] = np.full((len(data[f"factors_{part}"]), 10), 0.5)
    return data


@functools.cache
def sampled(case: str) -> dict[str, np.ndarray]:
    """Votes the reference drew for a case."""
    with np.load(FOLDER / f"{case}.sampled.npz") as file:
        return {key: file[key] for key in file.files}


@functools.cache
def results() -> dict[str, Any]:
    """The reference's results by case."""
    return json.loads((FOLDER / "results.json").read_text())


def read_folder(folder: Path, case: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """Inputs, votes and results of a case from the reference's own files."""
    with np.load(folder / f"{case}.npz") as file:
        data = {key: file[key] for key in file.files}
    with np.load(folder / f"{case}.sampled.npz") as file:
        votes = {key: file[key] for key in file.files}
    found = {kind: json.loads((folder / f"{case}.{kind}.json").read_text())["results"] for kind in ("fast", "dci")}
    extra = folder / f"zerodim_{case}.json"
    return data, votes, found | ({"zerodim": json.loads(extra.read_text())} if extra.is_file() else {})


def compare(
    case: str, data: dict[str, np.ndarray], votes: dict[str, np.ndarray] | None, reference: dict[str, Any]
) -> Iterator[Row]:
    """Every number the reference has for a case, beside ours; those it could not compute are left out."""
    codes, factors = data["codes_train"], data["factors_train"]
    test = (data["codes_test"], data["factors_test"])
    fast = reference["fast"]

    def rows(name: str, theirs: Any, ours: Any, tolerance: float) -> Iterator[Row]:
        if theirs is not None and not (isinstance(theirs, float) and math.isnan(theirs)):
            theirs, ours = np.asarray(theirs, dtype=np.float64), np.asarray(ours, dtype=np.float64)
            worst = np.unravel_index(np.abs(theirs - ours).argmax(), theirs.shape)
            yield Row(case, name, float(theirs[worst]), float(ours[worst]), tolerance)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)
        gap = mig(codes, factors)
        yield from rows("mig", fast["mig"]["discrete_mig"], gap.score, EXACT)
        yield from rows("mig per factor", fast["mig"]["per_factor"], gap.per_factor, EXACT)
        yield from rows("mig information", fast["mig"]["mi_matrix_codes_by_factors"], gap.matrix, EXACT)
        yield from rows("mig entropy", fast["mig"]["entropy_nats"], gap.entropy, EXACT)
        single = mig(codes.astype(np.float32), factors)
        yield from rows("mig float32", fast["mig_float32_codes"]["discrete_mig"], single.score, EXACT)
        margin = sap(codes, factors, *test)
        yield from rows("sap", fast["sap_discrete"]["SAP_score"], margin.score, OPTIMISED)
        yield from rows("sap accuracies", fast["sap_discrete"]["score_matrix"], margin.matrix, OPTIMISED)
        correlation = sap(codes, factors, continuous=True)
        yield from rows("sap continuous", fast["sap_continuous"]["SAP_score"], correlation.score, EXACT)
        yield from rows("sap correlations", fast["sap_continuous"]["score_matrix"], correlation.matrix, EXACT)
        yield from rows("modularity", fast["modularity"]["modularity_score"], modularity(codes, factors).score, EXACT)
        explicit = fast["explicitness_default_lbfgs_multinomial"]
        if "raises" not in explicit:
            linear = explicitness(codes, factors, *test, solver="multinomial")
            yield from rows("explicitness train", explicit["explicitness_score_train"], linear.score_train, OPTIMISED)
            yield from rows("explicitness test", explicit["explicitness_score_test"], linear.score, OPTIMISED)
        robust, theirs = irs(codes, factors), fast["irs_q0.99"]
        yield from rows("irs", theirs["IRS"], robust.score, EXACT)
        # Where rounding made a constant code "active", the reference's row for it is noise.
        live = robust.max_deviations > 0
        if "IRS_matrix" in theirs and live.all():
            yield from rows("irs matrix", theirs["IRS_matrix"], robust.matrix, EXACT)
            yield from rows("irs deviations", theirs["max_deviations"], robust.max_deviations, EXACT)
        dependence, theirs = total_correlation(codes), fast["unsupervised"]
        yield from rows("total correlation", theirs["gaussian_total_correlation"], dependence.score, EXACT)
        yield from rows("wasserstein", theirs["gaussian_wasserstein_correlation"], dependence.wasserstein, EXACT)
        normalized = theirs["gaussian_wasserstein_correlation_norm"]
        yield from rows("wasserstein normalized", normalized, dependence.wasserstein_normalized, EXACT)
        yield from rows("code information", theirs["mutual_info_score"], dependence.mutual_information, EXACT)
        if votes is not None:
            yield from _voted(rows, votes, fast)
        trees, theirs = dci(codes, factors, *test), reference["dci"]
        small = DCI_SMALL if len(codes) < 10_000 else 0.005
        yield from rows("dci disentanglement", theirs["disentanglement"], trees.disentanglement, small)
        yield from rows("dci completeness", theirs["completeness"], trees.completeness, small)
        yield from rows("dci informativeness", theirs["informativeness_test"], trees.informativeness, INFORMATIVENESS)
        train = theirs["informativeness_train"]
        yield from rows("dci informativeness train", train, trees.informativeness_train, INFORMATIVENESS)
        if "zerodim" in reference:
            yield from _zerodim(rows, data, reference["zerodim"])
        if data is load(case):
            for name, value, ours, tolerance in of_peers(case, data):
                yield from rows(name, value, ours, tolerance)


def _voted(rows: Any, votes: dict[str, np.ndarray], fast: dict[str, Any]) -> Iterator[Row]:
    beta = beta_vae_from_votes(
        votes["beta_train_points"], votes["beta_train_labels"], votes["beta_eval_points"], votes["beta_eval_labels"]
    )
    yield from rows("beta-vae train", fast["beta_vae"]["train_accuracy"], beta.score_train, OPTIMISED)
    yield from rows("beta-vae", fast["beta_vae"]["eval_accuracy"], beta.score, OPTIMISED)
    if "fv_train_factor" in votes:
        factor = factor_vae_from_votes(
            votes["fv_train_local_var"],
            votes["fv_train_factor"],
            votes["fv_eval_local_var"],
            votes["fv_eval_factor"],
            votes["fv_global_variances"],
        )
        yield from rows("factor-vae train", fast["factor_vae"]["train_accuracy"], factor.score_train, EXACT)
        yield from rows("factor-vae", fast["factor_vae"]["eval_accuracy"], factor.score, EXACT)


def _zerodim(rows: Any, data: dict[str, np.ndarray], theirs: dict[str, Any]) -> Iterator[Row]:
    codes = np.concatenate([data["codes_train"], data["codes_test"]])
    factors = np.concatenate([data["factors_train"], data["factors_test"]])
    ours = zerodim(codes, factors)
    grouped = zerodim(codes.reshape(len(codes), -1, 2), factors)
    yield from rows("zerodim mig", theirs["mig_all_750"]["mig"], ours.mig, EXACT)
    yield from rows("zerodim sap", theirs["sap_split_600_150"]["sap"], ours.sap, OPTIMISED)
    for name, key, result in (
        ("zerodim", "dci_split_600_150_np_random_seed_0", ours),
        ("zerodim grouped", "dci_grouped_5_codes_of_dim_2_np_random_seed_0", grouped),
    ):
        yield from rows(f"{name} disentanglement", theirs[key]["disentanglement"], result.disentanglement, DCI_SMALL)
        yield from rows(f"{name} completeness", theirs[key]["completeness"], result.completeness, DCI_SMALL)
        informative = theirs[key]["informativeness_test"]
        yield from rows(f"{name} informativeness", informative, result.informativeness, INFORMATIVENESS)
    linear = [ours.linear_accuracy_train[0], ours.linear_accuracy[0]]
    yield from rows("zerodim linear, factor 0", theirs["logreg_factor0_train_test"], linear, OPTIMISED)
