"""Other programs' metrics beside ours: ``python -m tests.metrics.peers CHECKOUTS [--write]`` prints the table.

CHECKOUTS is a folder that holds a clone of each repository of ``PEERS`` under its own name; torchmetrics and
torch-fidelity are taken where they are installed. What is not there is said in the table. Each peer runs in a process
of its own, on the recorded codes and factors of ``golden/``; what it imports beside numpy, scipy and scikit-learn and
does not need for its metrics (TensorFlow, gin) is stood in for. ``--write`` puts the table into docs/peers.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contrafact import metrics as m
from tests.metrics.golden_cases import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "peers.md"
HEADER = "| metric | program | theirs | ours | differ by | verdict |\n|---|---|---|---|---|---|\n"
CASES = ("main10_500", "perfect6")
"""Mixed codes of 500 points, and clean ones of 2,000."""
EXACT, OPTIMISED = 1e-6, 1e-3
"""How far apart equal scores may be: rounding (some programs compute in single precision); two optimisers' ends."""
STOOD_IN = ("gin", "tensorflow", "absl", "ipdb", "torchvision")

Arrays = dict[str, np.ndarray]
Thunk = Callable[[], float]


@dataclass(frozen=True)
class Check:
    """One number by both: equal where they are within ``tolerance``, and ``why`` where they are not meant to be."""

    metric: str
    theirs: Thunk
    ours: Thunk
    tolerance: float = EXACT
    why: str = ""


@dataclass(frozen=True)
class Row:
    """What came of a check on one case."""

    metric: str
    theirs: float | None
    ours: float
    tolerance: float
    why: str
    error: str = ""

    @property
    def distance(self) -> float:
        return abs(self.ours - self.theirs) if self.theirs is not None else float("nan")

    @property
    def equal(self) -> bool:
        return self.distance <= self.tolerance


class _Anything(types.ModuleType):
    """A module, object or decorator of a package that is not here; a function it is called with is returned."""

    __path__: list[str] = []  # noqa: RUF012 (what makes it a package)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name)

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return ()

    def __call__(self, *given: Any, **_: Any) -> Any:
        return given[0] if len(given) == 1 and isinstance(given[0], types.FunctionType | type) else self


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``STOOD_IN`` packages that nobody else finds."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        known = name.partition(".")[0] in STOOD_IN
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Anything(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing in it."""


def stand_in() -> None:
    """Let other programs be imported without what their metrics do not need."""
    sys.meta_path.append(StandIns())


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _package(folder: Path, name: str) -> Any:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def _old_logistic_regression() -> None:
    """scikit-learn 1.8 took ``multi_class`` out; "multinomial" is what is left, "ovr" has a class of its own."""
    from sklearn import linear_model
    from sklearn.multiclass import OneVsRestClassifier

    present = linear_model.LogisticRegression

    def logistic_regression(*given: Any, multi_class: str = "multinomial", **settings: Any) -> Any:
        settings.pop("n_jobs", None)
        model = present(*given, **settings)
        return OneVsRestClassifier(model) if multi_class == "ovr" else model

    linear_model.LogisticRegression = logistic_regression


def _arrays(data: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return data["codes_train"], data["factors_train"], data["codes_test"], data["factors_test"]


def dci_program(folder: Path, stages: int = 100) -> Callable[..., dict[str, float]]:
    """disentanglement_lib's D, C and I of codes and factors, and of held-out ones, by trees of so many stages."""
    dci = _package(folder, "disentanglement_lib.evaluation.metrics.dci")
    classifier = dci.ensemble.GradientBoostingClassifier

    def compute(*rows: np.ndarray) -> dict[str, float]:
        dci.ensemble.GradientBoostingClassifier = lambda: classifier(n_estimators=stages)
        with _quiet():
            return dci._compute_dci(*(values.T for values in rows))

    return compute


def disentanglement_lib(folder: Path, data: Arrays) -> Iterator[Check]:
    base = "disentanglement_lib.evaluation.metrics."
    utils, mig, dci, sap, modular, irs, unsupervised, fair = (
        _package(folder, base + name)
        for name in (
            *("utils", "mig", "dci", "sap_score", "modularity_explicitness", "irs", "unsupervised_metrics"),
            "fairness",
        )
    )
    utils.make_discretizer = lambda target: utils._histogram_discretize(target, 20)  # as its configuration binds it
    c, f, ct, ft = _arrays(data)
    turned = (c.T, f.T, ct.T, ft.T)
    yield Check("mig", lambda: mig._compute_mig(c.T, f.T)["discrete_mig"], lambda: m.mig(c, f).score)
    yield Check(
        "sap", lambda: sap._compute_sap(*turned, False)["SAP_score"], lambda: m.sap(c, f, ct, ft).score, OPTIMISED
    )
    yield Check(
        "sap, squared correlation",
        lambda: sap._compute_sap(*turned, True)["SAP_score"],
        lambda: m.sap(c, f, continuous=True).score,
    )
    yield Check(
        "modularity",
        lambda: modular.modularity(utils.discrete_mutual_info(utils.make_discretizer(c.T), f.T)),
        lambda: m.modularity(c, f).score,
    )

    def explicit() -> float:
        train, mean, deviation = utils.normalize_data(c.T)
        test, _, _ = utils.normalize_data(ct.T, mean, deviation)
        areas = [modular.explicitness_per_factor(train, f[:, k], test, ft[:, k])[1] for k in range(f.shape[1])]
        return float(np.mean(areas))

    yield Check(
        'explicitness, solver="multinomial"',
        explicit,
        lambda: m.explicitness(c, f, ct, ft, solver="multinomial").score,
        OPTIMISED,
    )
    yield Check(
        "explicitness",
        explicit,
        lambda: m.explicitness(c, f, ct, ft).score,
        OPTIMISED,
        "theirs: written for scikit-learn before 0.22, whose default was one-versus-rest as published; since then the "
        "same line fits a multinomial model",
    )
    yield Check("irs", lambda: irs.scalable_disentanglement_score(f, c)["avg_score"], lambda: m.irs(c, f).score)
    covariance = np.cov(c.T)
    yield Check(
        "total_correlation",
        lambda: unsupervised.gaussian_total_correlation(covariance),
        lambda: m.total_correlation(c).score,
    )
    yield Check(
        "total_correlation, wasserstein",
        lambda: unsupervised.gaussian_wasserstein_correlation(covariance),
        lambda: m.total_correlation(c).wasserstein,
    )
    if len(c) <= 500:  # it takes minutes of more
        theirs = dci._compute_dci(*turned)
        ours = m.dci(c, f, ct, ft)
        for name, key in (
            *(("disentanglement", "disentanglement"), ("completeness", "completeness")),
            ("informativeness", "informativeness_test"),
        ):
            tolerance = 0.02 if name == "informativeness" else 0.01  # its trees break ties by an unset seed
            yield Check(
                f"dci, {name}",
                lambda key=key: theirs[key],
                lambda name=name: getattr(ours, name),
                tolerance,
            )
    counts = np.random.default_rng(0).integers(1, 30, size=(4, 5))
    from contrafact.metrics.fairness import total_variations

    shares = counts.sum(axis=0) / counts.sum()
    yield Check(
        "fairness, mean of given counts",
        lambda: fair.inter_group_fairness(counts)[0],
        lambda: float(total_variations(counts) @ shares),
    )


def infomec_program(folder: Path) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    """The authors' InfoM, InfoC and InfoE of codes and factors, from their repository."""
    _old_logistic_regression()
    infomec = _from_file(folder / "disentangle" / "metrics" / "infomec.py")
    several = infomec.feature_selection.mutual_info_classif
    # It writes what comes for one code, an array of one number, into a matrix, which numpy 2.4 refuses.
    infomec.feature_selection.mutual_info_classif = lambda *given, **settings: np.ravel(several(*given, **settings))[0]

    def compute(codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
        with _quiet():
            np.random.seed(0)  # noqa: NPY002 (what it breaks ties by)
            return infomec.compute_infomec(factors, codes, discrete_latents=False)

    return compute


def latent_quantization(folder: Path, data: Arrays) -> Iterator[Check]:
    c, f, _, _ = _arrays(data)
    theirs = infomec_program(folder)(c, f)
    ours = m.infomec(c, f).scores()
    ties = (
        "neither: the clean codes take few values, and nearest neighbours among equal ones are chosen by noise: over "
        "four seeds theirs gives 0.991 to 0.999, ours 0.988 to 0.996"
    )
    for name, key in (("modularity", "infom"), ("compactness", "infoc")):
        yield Check(f"infomec, {name}", lambda key=key: theirs[key], lambda name=name: ours[name], OPTIMISED, ties)
    yield Check(
        "infomec, explicitness",
        lambda: theirs["infoe"],
        lambda: ours["explicitness"],
        OPTIMISED,
        "neither: an unpenalised fit that theirs ends after 100 steps, ours where it has converged",
    )


def innvariant(folder: Path, data: Arrays) -> Iterator[Check]:
    # Of its packages the folders alone: they import data sets and models, too.
    for name in ("disentangling", "disentangling.metrics"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    theirs = importlib.import_module("disentangling.metrics.edi")
    estimators = importlib.import_module("disentangling.utils.mi.mi")
    several, neighbours = theirs.exclusive_rate, estimators.estimate_by_ksg
    # It writes what comes for one code, an array of one number, into a matrix.
    theirs.exclusive_rate = lambda *given, **settings: np.squeeze(several(*given, **settings))
    c, f, _, _ = _arrays(data)
    whole = {"discrete_factors": True, "estimate_mi_codes_and_factor_by": "sum"}
    scores = {"modularity": theirs.dcii_d, "compactness": theirs.dcii_c, "explicitness": theirs.dcii_i}
    for told in (False, True):
        for name, score in scores.items():

            def compute(score: Callable[..., Any] = score, told: bool = told) -> float:
                estimators.get_mutual_info.cache.clear()
                estimators.estimate_by_ksg = functools.partial(neighbours, discrete_y=True) if told else neighbours
                np.random.seed(0)  # noqa: NPY002 (what it breaks ties by)
                return float(score(f, c, **whole))

            yield Check(
                f'edi, {name}, whole="sum"' + ", estimator told" * told,
                compute,
                lambda name=name: m.edi(c, f, whole="sum").scores()[name],
                OPTIMISED,
                "neither: neighbours among equal codes are chosen by noise"
                if told
                else "theirs: its flag for discrete factors never reaches the estimator: they count as measurements",
            )


def disentanglement_lib_med(folder: Path, data: Arrays) -> Iterator[Check]:
    base = "disentanglement_lib.evaluation.metrics."
    utils, med = _package(folder, base + "utils"), _package(folder, base + "med")
    utils.make_discretizer = lambda target: utils._histogram_discretize(target, 20)
    c, f, ct, ft = _arrays(data)
    theirs = med._compute_med(c.T, f.T, ct.T, ft.T, 1)
    for name, key in (
        *(("disentanglement", "disentanglement"), ("completeness", "completeness")),
        *(("top_k", "top1_disentanglement"), ("top_k_completeness", "top1_completeness")),
    ):
        yield Check(f"med, {name}", lambda key=key: theirs[key], lambda name=name: m.med(c, f, top_k=1).scores()[name])


def zerodim(folder: Path, data: Arrays) -> Iterator[Check]:
    scores = {name: _package(folder, f"evaluation.{name}") for name in ("mig", "sap", "dci", "classifier")}
    c, f, ct, ft = _arrays(data)
    codes, factors = np.concatenate([c, ct]), np.concatenate([f, ft])
    ours = m.zerodim(codes, factors)
    yield Check("zerodim, mig", lambda: scores["mig"].evaluate(codes, factors)["mig"], lambda: ours.mig or 0.0)
    yield Check(
        "zerodim, sap", lambda: scores["sap"].evaluate(codes, factors)["sap"], lambda: ours.sap or 0.0, OPTIMISED
    )
    yield Check(
        "zerodim, linear accuracy",
        lambda: float(
            np.mean([scores["classifier"].logistic_regression(codes, factors[:, k])[1] for k in range(f.shape[1])])
        ),
        lambda: float(ours.linear_accuracy.mean()),
        0.01,
    )
    if len(c) <= 500:
        with _quiet():
            np.random.seed(0)  # noqa: NPY002 (what its trees break ties by)
            theirs = scores["dci"].evaluate(codes, factors)
        yield Check("zerodim, disentanglement", lambda: theirs["disentanglement"], lambda: ours.disentanglement, 0.01)
        yield Check("zerodim, completeness", lambda: theirs["completeness"], lambda: ours.completeness, 0.01)
        yield Check(
            "zerodim, informativeness", lambda: theirs["informativeness_test"], lambda: ours.informativeness, 0.02
        )


def icebeem(folder: Path, data: Arrays) -> Iterator[Check]:
    theirs = _from_file(folder / "metrics" / "mcc.py")
    c, f, ct, ft = _arrays(data)
    c, ct = c[:, : f.shape[1]], ct[:, : f.shape[1]]
    for kind in ("pearson", "spearman"):
        yield Check(
            f"mcc, {kind}",
            lambda kind=kind: theirs.mean_corr_coef_np(c, f, kind),
            lambda kind=kind: m.mcc(c, f, correlation=kind).score,
        )
        yield Check(
            f"mcc, {kind}, held out",
            lambda kind=kind: theirs.mean_corr_coef_out_of_sample(c, f, ct, ft, kind),
            lambda kind=kind: m.mcc(c, f, ct, ft, correlation=kind).score,
        )


def tdrl(folder: Path, data: Arrays) -> Iterator[Check]:
    # As a module of its package: it imports the Hungarian method from beside it.
    theirs = _package(folder / "LiLY" / "modules", "metrics.correlation")
    c, f, _, _ = _arrays(data)
    c = c[:, : f.shape[1]]
    for kind in ("Pearson", "Spearman"):
        yield Check(
            f"mcc, {kind.lower()}",
            lambda kind=kind: theirs.compute_mcc(c.T, f.T, kind),
            lambda kind=kind: m.mcc(c, f, correlation=kind.lower()).score,
        )


def multi_node_crl(folder: Path, data: Arrays) -> Iterator[Check]:
    theirs = _from_file(folder / "multi_node_crl" / "utils" / "eval_utils.py")
    c, f, _, _ = _arrays(data)
    c = c[:, : f.shape[1]]

    def compute(size: int) -> float:
        with _quiet():
            return float(np.mean(theirs.compute_MCC(c, f, size))) / 100

    yield Check(
        "mcc, one batch of all points",
        lambda: compute(len(c)),
        lambda: m.mcc(c, f).score,
        why="theirs: a covariance over N - 1 is divided by deviations over N, so every correlation is N/(N - 1) of "
        "what it is, and a perfect one above 1",
    )
    yield Check(
        "mcc, batches of 128 (its default)",
        lambda: compute(128),
        lambda: m.mcc(c, f).score,
        why="theirs: codes and factors are matched anew in each batch, which favours chance, and what does not fill a "
        "batch is left out; also as above",
    )


def ssl_identifiability(folder: Path, data: Arrays) -> Iterator[Check]:
    theirs = _from_file(folder / "disentanglement_utils.py")
    c, f, ct, ft = _arrays(data)

    def scaled(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (train - train.mean(0)) / train.std(0), (test - train.mean(0)) / train.std(0)

    def linear() -> float:
        (codes, codes_test), (factors, factors_test) = scaled(c, ct), scaled(f, ft)
        model = theirs.linear_disentanglement(factors, codes, mode="r2", train_mode=True)
        return float(theirs.linear_disentanglement(factors_test, codes_test, mode="r2", model=model)[0][0])

    yield Check("r2, linear", linear, lambda: m.r2(c, f, ct, ft).score)


def snc_nk(folder: Path, data: Arrays) -> Iterator[Check]:
    sys.path.insert(0, str(folder))
    c, f, _, _ = _arrays(data)

    def snc() -> float:
        with tempfile.TemporaryDirectory() as place, contextlib.chdir(place), _quiet():  # it writes where it runs
            aligner = importlib.import_module("snc_nk").PredictorAligner("codes", "codes", "codes", 1)
            aligner.set_data(c, f, c, f)
            return float(np.mean(aligner.accs_from_alignment(is_single_neurons=True, is_mlp=False)[0]))

    yield Check(
        "snc_nk, snc on the training points",
        snc,
        lambda: m.snc_nk(c, f, c, f, epochs=1).score,
        why="theirs: where equal codes leave a bin empty, the bins that remain are matched with the wrong values",
    )


def ubisoft(folder: Path, data: Arrays) -> Iterator[Check]:
    _old_logistic_regression()
    source = folder / "src"
    scores = {
        name: getattr(_package(source, f"metrics.{name}"), name)
        for name in ("mig", "mig_sup", "dcimig", "jemmig", "modularity", "irs", "explicitness", "sap")
    }
    c, f, _, _ = _arrays(data)

    def theirs(name: str, **settings: Any) -> Thunk:
        return lambda: float(scores[name](f, c, continuous_factors=False, **settings))

    yield Check("dcimig", theirs("dcimig", nb_bins=20), lambda: m.dcimig(c, f).score)
    yield Check("jemmig", theirs("jemmig", nb_bins=20), lambda: m.jemmig(c, f, num_bins=20).score)
    yield Check("modularity", theirs("modularity", nb_bins=20), lambda: m.modularity(c, f).score)
    yield Check("irs", theirs("irs", diff_quantile=0.99), lambda: m.irs(c, f).score)
    yield Check(
        "mig",
        theirs("mig", nb_bins=20),
        lambda: m.mig(c, f).score,
        why="theirs: information is divided by the entropy of the code, the paper's gap by that of the factor",
    )
    yield Check(
        "mig_sup",
        theirs("mig_sup", nb_bins=20),
        lambda: m.mig_sup(c, f).score,
        why="theirs: divided by the entropy of the code, where the paper divides by the factor's",
    )
    yield Check(
        "explicitness",
        theirs("explicitness", scale=False),
        lambda: m.explicitness(c, f, c, f).score,
        OPTIMISED,
        "neither: codes are scaled to 0..1 there and standardised here, and the penalty is not blind to scale; "
        "classes are weighted equally there",
    )
    if len(c) <= 500:  # thousands of trees
        yield Check(
            "sap",
            theirs("sap", regression=False),
            lambda: m.sap(c, f, c, f).score,
            OPTIMISED,
            "theirs: decision trees in place of the paper's linear classifiers",
        )


def generative_evaluation_prdc(folder: Path, data: Arrays) -> Iterator[Check]:
    theirs = _from_file(folder / "prdc" / "prdc.py").compute_prdc
    real, made = data["codes_train"], data["codes_test"] * 1.1
    with _quiet():
        values = theirs(real, made, 5)
    ours = m.precision_recall(real, made).scores()
    for name in ("precision", "recall", "density", "coverage"):
        yield Check(f"precision_recall, {name}", lambda name=name: values[name], lambda name=name: ours[name])


def svcca(folder: Path, data: Arrays) -> Iterator[Check]:
    theirs = _from_file(folder / "cca_core.py")
    c, f, _, _ = _arrays(data)
    other = f @ np.random.default_rng(0).normal(size=(f.shape[1], f.shape[1])) * 1.0

    def mean() -> float:
        return float(np.mean(theirs.get_cca_similarity(c.T, other.T, epsilon=0.0, verbose=False)["cca_coef1"]))

    yield Check("svcca, variance=1", mean, lambda: m.svcca([c, other], variance=1.0).score)


def torchmetrics(_: Path, data: Arrays) -> Iterator[Check]:
    import torch
    from torchmetrics.functional.clustering import adjusted_rand_score, normalized_mutual_info_score
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    from contrafact.metrics.clustering import compare_partitions
    from contrafact.metrics.kid import squared_discrepancy

    clusters, labels = data["codes_train"][:, :3].argmax(axis=1), data["factors_train"][:, 0]
    ours = compare_partitions(clusters, labels)
    given = (torch.tensor(clusters), torch.tensor(labels))
    yield Check("clustering, nmi", lambda: float(normalized_mutual_info_score(*given)), lambda: ours["nmi"])
    yield Check("clustering, ari", lambda: float(adjusted_rand_score(*given)), lambda: ours["ari"])
    real, made = data["codes_train"], data["codes_test"] * 1.1
    moments = [torch.tensor(x) for side in (real, made) for x in (side.mean(axis=0), np.cov(side, rowvar=False))]
    yield Check("fid", lambda: float(_compute_fid(*moments)), lambda: m.fid(real, made).score)
    few = min(len(real), len(made))  # it takes sets of one size
    one, two = torch.tensor(real[:few]), torch.tensor(made[:few])
    yield Check("kid", lambda: float(poly_mmd(one, two)), lambda: squared_discrepancy(real[:few], made[:few]))


def torch_fidelity(_: Path, data: Arrays) -> Iterator[Check]:
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    from contrafact.metrics.kid import squared_discrepancy

    real, made = data["codes_train"], data["codes_test"] * 1.1
    one, two = torch.tensor(real), torch.tensor(made)

    def frechet() -> float:
        statistics = [fid_features_to_statistics(side) for side in (one, two)]
        return float(fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])

    yield Check("fid", frechet, lambda: m.fid(real, made).score, 1e-5)
    few = min(len(real), len(made))
    yield Check(
        "kid",
        lambda: float(
            kid_features_to_metric(one[:few], two[:few], kid_subsets=1, kid_subset_size=few, verbose=False)[
                "kernel_inception_distance_mean"
            ]
        ),
        lambda: squared_discrepancy(real[:few], made[:few]),
    )
    yield Check(
        "inception_score, one split",
        lambda: float(isc_features_to_metric(one, splits=1)["inception_score_mean"]),
        lambda: m.inception_score(real, splits=1).score,
    )
    ours = m.precision_recall(real, made, neighbours=3).scores()
    for name in ("precision", "recall"):
        yield Check(
            f"precision_recall, {name}",
            lambda name=name: float(prc_features_to_metric(two, one, prc_neighborhood=3, verbose=False)[name]),
            lambda name=name: ours[name],
        )


@dataclass(frozen=True)
class Peer:
    """Somebody's program: a repository to clone, or an installed package."""

    run: Callable[[Path, Arrays], Iterator[Check]]
    repository: str = ""
    package: str = ""

    @property
    def name(self) -> str:
        return self.package or self.repository

    def folder(self, checkouts: Path) -> Path:
        return checkouts / self.repository.rpartition("/")[2]

    def version(self, checkouts: Path) -> str | None:
        """Commit or release; None where it is not at hand."""
        if self.package:
            try:
                return importlib.metadata.version(self.package)
            except importlib.metadata.PackageNotFoundError:
                return None
        if not self.folder(checkouts).is_dir():
            return None
        command = ["git", "-C", str(self.folder(checkouts)), "rev-parse", "--short=7", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


PEERS = {
    "disentanglement_lib": Peer(disentanglement_lib, "google-research/disentanglement_lib"),
    "infomec": Peer(latent_quantization, "kylehkhsu/latent_quantization"),
    "med": Peer(disentanglement_lib_med, "noahcao/disentanglement_lib_med"),
    "innvariant": Peer(innvariant, "julka01/InnVariant"),
    "zerodim": Peer(zerodim, "avivga/zerodim"),
    "ubisoft": Peer(ubisoft, "ubisoft/ubisoft-laforge-disentanglement-metrics"),
    "icebeem": Peer(icebeem, "ilkhem/icebeem"),
    "tdrl": Peer(tdrl, "weirayao/tdrl"),
    "multi-node-crl": Peer(multi_node_crl, "simonbing/Multi-Node-CRL"),
    "ssl_identifiability": Peer(ssl_identifiability, "ysharma1126/ssl_identifiability"),
    "snc_nk": Peer(snc_nk, "Lou1sM/snc_nk"),
    "svcca": Peer(svcca, "google/svcca"),
    "prdc": Peer(generative_evaluation_prdc, "clovaai/generative-evaluation-prdc"),
    "torchmetrics": Peer(torchmetrics, package="torchmetrics"),
    "torch-fidelity": Peer(torch_fidelity, package="torch-fidelity"),
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def checked(peer: Peer, checkouts: Path) -> Iterator[Row]:
    """A peer's rows on every case; an error of its own is a row, too."""
    stand_in()
    warnings.simplefilter("ignore")
    for case in CASES:
        for check in peer.run(peer.folder(checkouts), load(case)):
            theirs, error = None, ""
            try:
                theirs = float(check.theirs())
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}".partition("\n")[0]
            yield Row(check.metric, theirs, float(check.ours()), check.tolerance, check.why, error)


def in_its_own_process(name: str, checkouts: Path) -> list[Row] | str:
    """Rows of a peer, or what kept it from running: two of them share the name of a package."""
    command = [sys.executable, "-m", "tests.metrics.peers", str(checkouts), "--one", name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    return [Row(**row) for row in json.loads(lines[-1])]


def table(found: dict[str, tuple[str | None, list[Row] | str]]) -> str:
    """The table: of each metric and peer the largest difference, and the first case's values or those that differ."""
    lines = []
    for name, (version, rows) in found.items():
        peer = PEERS[name]
        called = f"{peer.name} {version}" if version else peer.name
        if version is None or isinstance(rows, str):
            reason = "not at hand" if version is None else f"does not run: {rows}"
            lines.append(f"| | {called} | | | | {reason} |")
            continue
        for metric in dict.fromkeys(row.metric for row in rows):
            cases = [row for row in rows if row.metric == metric]
            distances = np.nan_to_num([row.distance for row in cases], nan=np.inf)
            worst = float(distances.max())
            shown = cases[0] if all(row.equal for row in cases) else cases[int(distances.argmax())]
            lines.append(_line(called, shown, worst))
    return HEADER + "".join(line + "\n" for line in lines)


def _line(called: str, row: Row, worst: float) -> str:
    if row.theirs is None or not np.isfinite(row.theirs):
        return f"| {row.metric} | {called} | | {row.ours:.4f} | | theirs gives no number: {row.error or row.theirs} |"
    verdict = "equal" if row.equal else row.why or "differs, not explained"
    apart = "0" if worst == 0 else f"{worst:.0e}"
    return f"| {row.metric} | {called} | {row.theirs:.4f} | {row.ours:.4f} | {apart} | {verdict} |"


def write(text: str, page: Path = PAGE) -> None:
    """Put the table where the page has one."""
    old = page.read_text(encoding="utf-8")
    begin = old.index(HEADER)
    end = old.find("\n\n", begin) + 1 or len(old)
    page.write_text(old[:begin] + text + old[end:], encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Print the table, and write it if asked to; 1 where a difference has no explanation."""
    parser = argparse.ArgumentParser(prog="python -m tests.metrics.peers", description=__doc__)
    parser.add_argument("checkouts", type=Path, help="folder with a clone of each repository")
    parser.add_argument("--one", choices=PEERS, help="rows of this peer alone, as JSON")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), help="these peers alone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/peers.md")
    options = parser.parse_args(arguments)
    checkouts = options.checkouts.absolute()
    if options.one:
        rows = [asdict(row) for row in checked(PEERS[options.one], checkouts)]
        print("\n" + json.dumps(rows))
        return 0
    found = {}
    for name in options.only:
        version = PEERS[name].version(checkouts)
        print(f"{name} {version or 'not at hand'}", file=sys.stderr)
        found[name] = (version, [] if version is None else in_its_own_process(name, checkouts))
    text = table(found)
    print(text)
    if options.write:
        write(text)
    unexplained = [
        row for _, rows in found.values() if not isinstance(rows, str) for row in rows if not (row.equal or row.why)
    ]
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
