"""Draw the pictures of the metric pages: ``python docs/metrics/make_pictures.py [NAME ...]``.

Most show the score of six kinds of codes of the same three factors, and beside it the matrix the metric reports, or
what fools it. Everything is computed here by the metrics themselves.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from contrafact import metrics
from contrafact.core.dataset import FactorDataset
from contrafact.core.directions import GlobalDirections
from contrafact.core.metric import MetricResult
from contrafact.generators.analytic import Analytic
from contrafact.generators.wrap import wrap

FOLDER = Path(__file__).parent / "pictures"
GREY, BLUE, ORANGE = "#7d8590", "#2f6fdb", "#e07b39"
POINTS, VALUES = 1500, 5
RNG = np.random.default_rng(0)
FACTORS = RNG.integers(VALUES, size=(POINTS, 3))
TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
NOISE = RNG.normal(size=(POINTS, 3))
KINDS = {
    "perfect": FACTORS * [1.0, -2.0, 0.5],
    "noisy": FACTORS + 0.7 * NOISE,
    "rotated": FACTORS @ TURN,
    "duplicated": np.hstack([FACTORS, -FACTORS]) * 1.0,
    "two in one": np.stack([FACTORS[:, 0] * VALUES + FACTORS[:, 1], FACTORS[:, 2], NOISE[:, 0]], axis=1) * 1.0,
    "noise": NOISE,
}


class Dots(FactorDataset):
    """Three factors as three pixels."""

    name, source, image_shape = "dots", "pictures", (1, 1, 3)
    factor_names, factor_sizes = ("a", "b", "c"), (VALUES,) * 3

    def batch(self, indices):  # type: ignore[no-untyped-def]
        """The factors themselves."""
        return torch.from_numpy(self.factors_of(np.asarray(indices)) / VALUES).float()[:, None, None]


def bars(axes: Axes, scores: dict[str, dict[str, float]]) -> None:
    """Grouped horizontal bars: one group per kind of codes, one bar per score."""
    names = list(next(iter(scores.values())))
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        values = [row[name] for row in scores.values()]
        places = np.arange(len(values)) + (i - (len(names) - 1) / 2) * height
        shade = 1.0 - 0.6 * i / max(1, len(names) - 1) if len(names) > 1 else 1.0
        axes.barh(places, values, height * 0.9, color=BLUE, alpha=shade, label=name.replace("_", " "))
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)


def heat(axes: Axes, matrix: np.ndarray, rows: str, columns: str) -> None:
    """A matrix as shades of one colour, its values written in."""
    top = float(np.abs(matrix).max()) or 1.0
    axes.imshow(
        np.abs(matrix) / top,
        cmap=mpl.colors.LinearSegmentedColormap.from_list("b", ["#2f6fdb00", BLUE]),
        vmin=0,
        vmax=1,
    )
    for (r, c), value in np.ndenumerate(matrix):
        axes.text(
            c,
            r,
            "0" if abs(value) <= 1e-3 * top else f"{value:.0f}" if top >= 100 else f"{value:.2g}",
            ha="center",
            va="center",
            fontsize=7,
            color=GREY if abs(value) < 0.3 * top else "white",
        )
    axes.set_xticks(range(matrix.shape[1]))
    axes.set_yticks(range(matrix.shape[0]))
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)


def lines(
    axes: Axes, x: np.ndarray, curves: dict[str, np.ndarray], label: str, log: bool = False, score: str = ""
) -> None:
    """Curves over one setting, named above the axes; a single one on its axis."""
    for (name, values), colour in zip(curves.items(), (BLUE, ORANGE, GREY, "#58a55c", "#a15ec4"), strict=False):
        axes.plot(x, values, color=colour, marker="o", markersize=3, label=name)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel(score or (next(iter(curves)) if len(curves) == 1 else ""))
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(
            frameon=False,
            fontsize=7,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=4,
            borderaxespad=0,
            columnspacing=1,
            handlelength=1.2,
        )


def of_kinds(score: Callable[[np.ndarray], dict[str, float]]) -> dict[str, dict[str, float]]:
    """A metric's scores of each kind of codes."""
    return {kind: score(codes) for kind, codes in KINDS.items()}


def static(axes: tuple[Axes, Axes], name: str, shown: tuple[str, ...], kind: str = "noisy", rows: str = "code") -> None:
    """Scores of each kind of codes, and the matrix of one kind."""
    metric = getattr(metrics, name)

    def score(codes: np.ndarray) -> dict[str, float]:
        result = metric(codes, FACTORS) if name != "total_correlation" else metric(codes)
        return {key: result.scores()[key] for key in shown}

    bars(axes[0], of_kinds(score))
    result = metric(KINDS[kind], FACTORS) if name != "total_correlation" else metric(KINDS[kind])
    heat(axes[1], result.matrix, rows, "code" if name == "total_correlation" else "factor")
    axes[1].set_title(f"matrix, {kind} codes", fontsize=8)


def against_noise(axes: tuple[Axes, Axes], name: str, shown: tuple[str, ...]) -> None:
    """Scores of each kind of codes, and their fall as noise grows."""
    metric = getattr(metrics, name)

    def score(codes: np.ndarray) -> dict[str, float]:
        result = metric(codes, FACTORS)
        return {key: result.scores()[key] for key in shown}

    bars(axes[0], of_kinds(score))
    levels = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])
    rows = [score(FACTORS + level * NOISE) for level in levels]
    lines(axes[1], levels, {key: np.array([row[key] for row in rows]) for key in shown}, "noise")


def draw_mig(axes: tuple[Axes, Axes]) -> None:
    static(axes, "mig", ("score",))


def draw_dci(axes: tuple[Axes, Axes]) -> None:
    static(axes, "dci", ("disentanglement", "completeness", "informativeness"), "rotated")


def draw_dci_es(axes: tuple[Axes, Axes]) -> None:
    bars(
        axes[0],
        of_kinds(
            lambda codes: {
                k: metrics.dci_es(codes, FACTORS).scores()[k] for k in ("explicitness", "size", "informativeness")
            }
        ),
    )
    curves = {}
    wound = np.hstack([np.sin(1.5 * FACTORS), np.cos(1.5 * FACTORS)])
    for kind, codes in (("perfect", KINDS["perfect"]), ("wound up", wound), ("noise", NOISE)):
        result = metrics.dci_es(codes, FACTORS)
        curves[f"{kind}, E {result.explicitness:.2f}"] = result.losses.mean(axis=1)
    lines(axes[1], result.capacities, curves, "probe capacity", log=True, score="loss")


def draw_sap(axes: tuple[Axes, Axes]) -> None:
    static(axes, "sap", ("score",))


def draw_modularity(axes: tuple[Axes, Axes]) -> None:
    static(axes, "modularity", ("score",), "two in one")


def draw_mcc(axes: tuple[Axes, Axes]) -> None:
    def score(codes: np.ndarray) -> dict[str, float]:
        return {kind: metrics.mcc(codes, FACTORS, alignment=kind).score for kind in ("strong", "weak")}

    bars(axes[0], of_kinds(score))
    heat(axes[1], metrics.mcc(KINDS["rotated"], FACTORS).matrix, "code", "factor")
    axes[1].set_title("|correlation|, rotated codes", fontsize=8)


def draw_mig_sup(axes: tuple[Axes, Axes]) -> None:
    static(axes, "mig_sup", ("score",), "two in one")


def draw_dcimig(axes: tuple[Axes, Axes]) -> None:
    static(axes, "dcimig", ("score",), "two in one")


def draw_rmig(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_kinds(lambda codes: metrics.rmig(codes, FACTORS, num_bins=20).scores()))
    widths = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    means = 1.2 * (FACTORS - FACTORS.mean(axis=0)) / FACTORS.std(axis=0)
    scores = [metrics.rmig(means, FACTORS, deviations=np.full(means.shape, width)).score for width in widths]
    lines(axes[1], widths, {"score": np.array(scores)}, "deviation of the posterior", log=True)


def draw_jemmig(axes: tuple[Axes, Axes]) -> None:
    against_noise(axes, "jemmig", ("score",))


def draw_r2(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_kinds(lambda codes: {kind: metrics.r2(codes, FACTORS, probe=kind).score for kind in ("linear",)}))
    levels = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])
    waves = np.hstack([np.sin(FACTORS), np.cos(FACTORS)])
    noise = np.hstack([NOISE, NOISE[::-1]])
    curves = {
        kind: np.array([metrics.r2(waves + 0.3 * level * noise, FACTORS, probe=kind).score for level in levels])
        for kind in ("linear", "kernel")
    }
    lines(axes[1], 0.3 * levels, curves, "noise on sines and cosines", score="r2")


def draw_edi(axes: tuple[Axes, Axes]) -> None:
    static(axes, "edi", ("modularity", "compactness", "explicitness"))


def draw_snc_nk(axes: tuple[Axes, Axes]) -> None:
    static(axes, "snc_nk", ("snc", "nk"))


def draw_irs(axes: tuple[Axes, Axes]) -> None:
    static(axes, "irs", ("score",))


def draw_med(axes: tuple[Axes, Axes]) -> None:
    static(axes, "med", ("disentanglement", "top_k"))


def draw_infomec(axes: tuple[Axes, Axes]) -> None:
    static(axes, "infomec", ("modularity", "compactness", "explicitness"))


def draw_total_correlation(axes: tuple[Axes, Axes]) -> None:
    kinds = {k: v for k, v in KINDS.items() if k != "duplicated"}  # infinite there
    bars(axes[0], {k: {"total correlation": metrics.total_correlation(v).score} for k, v in kinds.items()})
    axes[0].xaxis.set_major_locator(MaxNLocator(4))
    strength = np.linspace(0.0, 0.99, 12)
    other = NOISE[:, 1]
    pairs = [np.stack([NOISE[:, 0], r * NOISE[:, 0] + (1 - r**2) ** 0.5 * other], axis=1) for r in strength]
    results = [metrics.total_correlation(pair) for pair in pairs]
    lines(
        axes[1],
        strength,
        {
            "total correlation": np.array([r.score for r in results]),
            "wasserstein": np.array([r.wasserstein for r in results]),
        },
        "correlation of two codes",
    )


def draw_explicitness(axes: tuple[Axes, Axes]) -> None:
    against_noise(axes, "explicitness", ("score",))


def draw_linear_probe(axes: tuple[Axes, Axes]) -> None:
    against_noise(axes, "linear_probe", ("top1",))


def draw_knn_probe(axes: tuple[Axes, Axes]) -> None:
    against_noise(axes, "knn_probe", ("score",))


def draw_downstream(axes: tuple[Axes, Axes]) -> None:
    chosen = {kind: metrics.downstream(codes, FACTORS, sizes=(10, 30, 100, 300, 1000)) for kind, codes in KINDS.items()}
    bars(axes[0], {kind: {"score": result.score} for kind, result in chosen.items()})
    kinds = ("perfect", "rotated", "noisy", "noise")
    lines(
        axes[1], chosen["perfect"].sizes, {kind: chosen[kind].accuracies for kind in kinds}, "labels", True, "accuracy"
    )


def draw_zerodim(axes: tuple[Axes, Axes]) -> None:
    static(axes, "zerodim", ("disentanglement", "completeness", "mig", "sap"))


def draw_sub_embedding_gaps(axes: tuple[Axes, Axes]) -> None:
    tasks = FACTORS[:, :2]
    one_hot = [np.eye(VALUES)[tasks[:, k]] for k in range(2)]
    hum = 0.1 * np.random.default_rng(1).normal(size=(POINTS, 2 * VALUES))
    parts = {
        "each its own": np.hstack(one_hot) + hum,
        "first knows both": np.hstack([one_hot[0] + one_hot[1] * [2], 0 * one_hot[0]]) + hum,
        "both know both": np.hstack([one_hot[0] + 2 * one_hot[1]] * 2) + hum,
        "neither": hum,
    }
    results = {name: metrics.sub_embedding_gaps(codes, tasks) for name, codes in parts.items()}
    bars(axes[0], {name: {k: r.scores()[k] for k in ("gap", "diagonal")} for name, r in results.items()})
    heat(axes[1], results["each its own"].matrix, "part", "task")


def draw_clustering(axes: tuple[Axes, Axes]) -> None:
    labels = FACTORS[:, 0]
    codes = 2.5 * np.eye(VALUES)[labels] + np.random.default_rng(1).normal(size=(POINTS, VALUES))
    bars(axes[0], of_kinds(lambda v: {k: metrics.clustering(v, labels).scores()[k] for k in ("accuracy", "purity")}))
    counts = np.array([2, 5, 10, 20, 50, 100])
    rows = [metrics.clustering(codes, labels, num_clusters=int(k), num_starts=2).scores() for k in counts]
    names = ("accuracy", "purity", "nmi", "ari")
    lines(axes[1], counts, {n: np.array([row[n] for row in rows]) for n in names}, "clusters", log=True)


def draw_smoothness(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_kinds(lambda codes: {"raw": metrics.smoothness(codes + 1e-6).score}))
    dimensions = np.array([2, 4, 8, 16, 32, 64, 128])
    even = [np.random.default_rng(d).normal(size=(800, d)) for d in dimensions]
    curves = {
        "even": [metrics.smoothness(v).score for v in even],
        "one side": [metrics.smoothness(np.abs(v)).score for v in even],
    }
    lines(axes[1], dimensions, {k: np.array(v) for k, v in curves.items()}, "dimensions", log=True, score="raw")


def draw_cka(axes: tuple[Axes, Axes]) -> None:
    of_similarity(axes, "linear", lambda models: metrics.cka(models).matrix)
    sizes = np.array([20, 50, 100, 200, 500, 1000])
    pairs = [np.random.default_rng(n).normal(size=(2, n, 100)) for n in sizes]
    curves = {
        "as it is": [metrics.cka(pair).score for pair in pairs],
        "debiased": [metrics.cka(pair, debiased=True).score for pair in pairs],
    }
    lines(axes[1], sizes, {k: np.array(v) for k, v in curves.items()}, "points of 100 unrelated codes", log=True)


def draw_svcca(axes: tuple[Axes, Axes]) -> None:
    of_similarity(axes, "svcca", lambda models: metrics.svcca(models).matrix)
    sizes = np.array([250, 500, 1000, 2000, 4000])
    pairs = [np.random.default_rng(n).normal(size=(2, n, 100)) for n in sizes]
    scores = np.array([metrics.svcca(pair).score for pair in pairs])
    lines(axes[1], sizes, {"score": scores}, "points of 100 unrelated codes")


def of_similarity(axes: tuple[Axes, Axes], name: str, score: Callable[[list[np.ndarray]], np.ndarray]) -> None:
    """How like one model's codes others are, in bars."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=(800, 8)) * [3, 2, 1, 1, 1, 0.5, 0.2, 0.1]
    others = {
        "rotated": base @ np.linalg.qr(rng.normal(size=(8, 8)))[0],
        "noisy": base + 0.5 * rng.normal(size=base.shape),
        "first two": base[:, :2],
        "each of spread 1": base / base.std(axis=0),
        "unrelated": rng.normal(size=(800, 8)),
    }
    found = score([base, *others.values()])[0, 1:]
    bars(axes[0], {kind: {name: float(value)} for kind, value in zip(others, found, strict=True)})


def draw_udr(axes: tuple[Axes, Axes]) -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=(800, 3))
    models = [
        base,
        -base[:, [2, 0, 1]],
        base + 0.3 * rng.normal(size=base.shape),
        base @ TURN,
        rng.normal(size=(800, 3)),
    ]
    result = metrics.udr(models)
    names = ("axes", "same, reordered", "same, noisy", "rotated", "noise")
    bars(axes[0], {name: {"score": float(v)} for name, v in zip(names, result.per_model, strict=True)})
    heat(axes[1], result.matrix, "model", "model")


def draw_beta_vae_score(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_encoders(metrics.beta_vae_score))
    hold = np.array([20, 50, 100, 300, 1000])
    scores = [metrics.beta_vae_score(encoder(TURN), Dots(), num_train=int(n), num_test=500).score for n in hold]
    lines(axes[1], hold, {"rotated codes": np.array(scores)}, "votes fitted", log=True)


def draw_factor_vae_score(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_encoders(metrics.factor_vae_score))
    result = metrics.factor_vae_score(encoder(TURN), Dots(), num_train=800, num_test=400)
    heat(axes[1], result.matrix, "code", "factor held fixed")
    axes[1].set_title("votes, rotated codes", fontsize=8)


def draw_z_max_variance(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_encoders(metrics.z_max_variance))
    result = metrics.z_max_variance(encoder(TURN), Dots(), num_train=800, num_test=400)
    heat(axes[1], result.matrix, "code", "factor that varies")
    axes[1].set_title("votes, rotated codes", fontsize=8)


def draw_fairness(axes: tuple[Axes, Axes]) -> None:
    bars(axes[0], of_encoders(metrics.fairness))
    summed = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    result = metrics.fairness(encoder(summed), Dots(), num_train=800, num_test=400)
    heat(axes[1], result.pairs, "predicted", "sensitive")
    axes[1].set_title("unfairness, a + c and b", fontsize=8)


def encoder(mix: np.ndarray, noise: float = 0.0) -> Callable[[torch.Tensor], np.ndarray]:
    """Codes that are a linear map of the factors, with fixed noise."""

    def encode(images: torch.Tensor) -> np.ndarray:
        codes = images[:, 0, 0].double().numpy() @ mix
        return codes + noise * np.sin(1e4 * codes.sum(axis=1, keepdims=True) * np.arange(1, codes.shape[1] + 1))

    return encode


def of_encoders(metric: Callable[..., MetricResult]) -> dict[str, dict[str, float]]:
    """A metric's score of six encoders."""
    mixes = {
        "perfect": (np.eye(3), 0.0),
        "noisy": (np.eye(3), 0.3),
        "rotated": (TURN, 0.0),
        "duplicated": (np.hstack([np.eye(3)] * 2), 0.0),
        "only two factors": (np.diag([1.0, 1.0, 0.0]), 0.0),
        "noise": (np.full((3, 3), 1e-3), 1.0),
    }
    return {
        name: {"score": metric(encoder(*mix), Dots(), num_train=800, num_test=400).score} for name, mix in mixes.items()
    }


def draw_recovery(axes: tuple[Axes, Axes]) -> None:
    true = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0][:5]
    jitter = np.random.default_rng(1).normal(size=(5, 8)) / 8**0.5
    levels = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 8.0])
    results = [metrics.recovery(true + level * jitter, true) for level in levels]
    heat(axes[0], results[2].matrix, "found", "true")
    axes[0].set_title("|cosine|", fontsize=8)
    curves = {"score": [r.score for r in results], "chance": [r.chance for r in results]}
    lines(axes[1], levels, {k: np.array(v) for k, v in curves.items()}, "noise on the directions")


def draw_rescoring(axes: tuple[Axes, Axes]) -> None:
    generator, directions, predictor = scene()
    result = metrics.rescoring(generator, directions, predictor, num_latents=100)
    heat(axes[0], result.matrix, "direction", "attribute")
    axes[0].set_title("effect of ±3", fontsize=8)
    sizes = np.array([0.5, 1.0, 2.0, 3.0, 5.0])
    scores = [
        metrics.rescoring(generator, directions, predictor, num_latents=100, magnitude=float(m)).score for m in sizes
    ]
    lines(axes[1], sizes, {"score": np.array(scores)}, "magnitude")


def draw_matched_rescoring(axes: tuple[Axes, Axes]) -> None:
    generator, directions, predictor = scene()
    found = [metrics.matched_rescoring(generator, directions, predictor, num_latents=60, change=c) for c in (0.1, 0.3)]
    heat(axes[0], found[1].matrix, "direction", "attribute")
    axes[0].set_title("effect of equal changes of the image", fontsize=8)
    length = {f"change {c:g}": result.steps for c, result in zip((0.1, 0.3), found, strict=True)}
    lines(axes[1], np.arange(4.0), length, "direction: length of its step")


def draw_attribute_dependency(axes: tuple[Axes, Axes]) -> None:
    generator, directions, predictor = scene()
    sweep = (0.5, 1.0, 2.0, 3.0, 4.0)
    result = metrics.attribute_dependency(generator, directions, predictor, num_latents=150, magnitudes=sweep)
    heat(axes[0], result.matrix, "direction", "attribute")
    axes[0].set_title(f"change at ±{sweep[-1]:g}, in deviations", fontsize=8)
    mixed = GlobalDirections.of(directions.vectors().detach()[1:])
    other = metrics.attribute_dependency(generator, mixed, predictor, num_latents=150, magnitudes=sweep)
    for found, colour, name in ((result, BLUE, "its own direction"), (other, ORANGE, "a mixed one")):
        axes[1].plot(found.target[0], found.mean_dependency[0], color=colour, marker="o", markersize=3, label=name)
    axes[1].set_xlabel("change of the target (mean-AD above)")
    axes[1].spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=7)


def draw_edit_effects(axes: tuple[Axes, Axes]) -> None:
    generator, directions, predictor = scene()

    def pixels(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.nn.functional.avg_pool2d(images, 2)]

    wishes = np.eye(3)[[0, 1, 2, 0]]
    sizes = np.array([0.5, 1.0, 2.0, 3.0, 5.0])
    settings = {"distance": pixels, "wishes": wishes, "num_latents": 100, "batch_size": 100}
    results = [metrics.edit_effects(generator, directions, predictor, magnitude=float(m), **settings) for m in sizes]
    shown = results[list(sizes).index(3.0)]
    assert shown.distance is not None
    assert shown.alignment is not None
    names = ("one factor", "another", "a third", "all three")
    columns = {"identity": shown.identity, "distance": shown.distance, "alignment": shown.alignment}
    bars(axes[0], {name: {c: values[d] for c, values in columns.items()} for d, name in enumerate(names)})
    axes[0].set_title("a step of ±3", fontsize=8)
    curves = {names[d]: np.array([result.identity[d] for result in results]) for d in (0, 3)}
    lines(axes[1], sizes, curves, "magnitude (identity above)")


def draw_class_transfer(axes: tuple[Axes, Axes]) -> None:
    rng = torch.Generator().manual_seed(0)
    shared, own = torch.randn(1, 4, 48, generator=rng), torch.randn(6, 4, 48, generator=rng)
    parts = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])

    class Mixed(torch.nn.Module):
        """Six classes: the first changes as all do, each next one less so."""

        def __init__(self) -> None:
            super().__init__()
            part = parts[:, None, None]
            self.weights = torch.nn.Parameter(((1 - part) * shared + part * own) / 8)

        def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return torch.tanh(torch.einsum("nl,nlp->np", latent, self.weights[label])).view(-1, 3, 4, 4)

    generator = wrap(Mixed(), 4, image_range=(-1.0, 1.0), num_classes=6, label=0)
    directions = GlobalDirections.of(torch.eye(4))
    each = [metrics.class_transfer(generator, directions, classes=[c], num_latents=100) for c in range(1, 6)]
    heat(axes[0], np.concatenate([result.matrix for result in each], axis=1), "direction", "class")
    axes[0].set_xticks(range(5), [f"{part:g}" for part in parts[1:].tolist()])
    axes[0].set_xlabel("part of the class that is its own")
    curves = {"score": [each[0].own], "similarity": [each[0].own_similarity]}
    for name, values in curves.items():
        values += [getattr(result, name) for result in each]
    lines(axes[1], parts.numpy(), {n: np.array(v) for n, v in curves.items()}, "part of the class that is its own")


def draw_mds(axes: tuple[Axes, Axes]) -> None:
    generator, directions, predictor = scene()

    def labels(images: torch.Tensor) -> torch.Tensor:
        return (predictor(images) > 0).long()

    result = metrics.mds(generator, directions, labels, num_latents=150)
    heat(axes[0], result.matrix, "direction", "attribute")
    axes[0].set_title("area", fontsize=8)
    for d, colour, name in ((0, BLUE, "its own direction"), (3, ORANGE, "a mixed one")):
        x, y = np.append(0, result.changed[d, :, 0]), np.append(1, result.kept[d, :, 0])
        order = np.argsort(x)
        axes[1].plot(x[order], y[order], color=colour, marker="o", markersize=3, label=name)
    axes[1].set_xlabel("changed as wished (others kept above)")
    axes[1].spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=7)


def scene() -> tuple[Analytic, GlobalDirections, Callable[[torch.Tensor], torch.Tensor]]:
    """A generator with known factors, three true directions and one mixed, and a predictor that reads the factors."""
    generator = Analytic("sprite", size=16)
    true = generator.true_directions()
    directions = GlobalDirections.of(torch.cat([true[:3], true[:3].sum(dim=0, keepdim=True)]))
    reads: list[torch.Tensor] = []
    render = generator.forward

    def forward(latent: torch.Tensor) -> torch.Tensor:
        reads[:] = [generator.factors(latent)[:, :3]]
        return render(latent)

    generator.forward = forward  # type: ignore[method-assign]
    return generator, directions, lambda images: reads[0]


def draw_fid(axes: tuple[Axes, Axes]) -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(4000, 16))
    cases = {
        "same": rng.normal(size=real.shape),
        "shifted": rng.normal(size=real.shape) + 0.5,
        "half as wide": 0.5 * rng.normal(size=real.shape),
        "copies of ten": real[rng.integers(10, size=4000)],
    }
    bars(axes[0], {name: {"score": metrics.fid(real, fake).score} for name, fake in cases.items()})
    sizes = np.array([50, 100, 300, 1000, 4000])
    scores = [metrics.fid(real, rng.normal(size=(int(n), 16))).score for n in sizes]
    lines(axes[1], sizes, {"same distribution": np.array(scores)}, "generated images", log=True)


def draw_kid(axes: tuple[Axes, Axes]) -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2000, 16))
    cases = {
        "same": rng.normal(size=real.shape),
        "shifted": rng.normal(size=real.shape) + 0.5,
        "half as wide": 0.5 * rng.normal(size=real.shape),
        "copies of ten": real[rng.integers(10, size=2000)],
    }
    bars(
        axes[0],
        {
            name: {"score": metrics.kid(real, fake, num_subsets=20, subset_size=500).score}
            for name, fake in cases.items()
        },
    )
    sizes = np.array([50, 100, 300, 1000])
    scores = [metrics.kid(real, rng.normal(size=(int(n), 16)), num_subsets=20, subset_size=int(n)).score for n in sizes]
    lines(axes[1], sizes, {"same distribution": np.array(scores)}, "generated images", log=True)


def draw_precision_recall(axes: tuple[Axes, Axes]) -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2000, 8))
    cases = {
        "same": rng.normal(size=real.shape),
        "shifted": rng.normal(size=real.shape) + 0.7,
        "half as wide": 0.5 * rng.normal(size=real.shape),
        "twice as wide": 2.0 * rng.normal(size=real.shape),
        "copies of ten": real[rng.integers(10, size=2000)] + 1e-3 * rng.normal(size=real.shape),
    }
    bars(axes[0], {name: metrics.precision_recall(real, fake).scores() for name, fake in cases.items()})
    sizes = np.array([50, 100, 300, 1000, 2000])
    rows = [metrics.precision_recall(real[:n], cases["half as wide"][:n]).scores() for n in sizes]
    names = ("precision", "recall", "density", "coverage")
    lines(axes[1], sizes, {n: np.array([row[n] for row in rows]) for n in names}, "images, half as wide", log=True)


def draw_ppl(axes: tuple[Axes, Axes]) -> None:
    def pixels(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.nn.functional.avg_pool2d(images, 2)]

    plain, bent = Analytic("sprite", size=16), Analytic("sprite", size=16, warp=True)
    settings = [(space, sampling) for space in ("w", "z") for sampling in ("end", "full")]
    bars(
        axes[0],
        {
            name: {
                f"{space}, {sampling}": metrics.ppl(
                    generator, extractor=pixels, space=space, sampling=sampling, num_latents=1000, batch_size=250
                ).score
                for space, sampling in settings
            }
            for name, generator in (("straight", plain), ("bent", bent))
        },
    )
    steps = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    scores = [
        metrics.ppl(plain, extractor=pixels, epsilon=float(step), num_latents=500, batch_size=250).score
        for step in steps
    ]
    lines(axes[1], steps, {"score": np.array(scores)}, "step", log=True)


def draw_linear_separability(axes: tuple[Axes, Axes]) -> None:
    attributes: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "one factor": lambda a, b: a,
        "two factors' sum": lambda a, b: a + b,
        "both large": torch.minimum,
        "far from the middle": lambda a, b: a**2 + b**2 - 1.4,
        "two factors alike": lambda a, b: a * b,
    }

    def score(num_latents: int, keep: float = 0.5, dead_dims: int = 0) -> np.ndarray:
        generator = Analytic("sprite", size=8, dead_dims=dead_dims)
        reads: list[torch.Tensor] = []
        render = generator.forward

        def forward(latent: torch.Tensor) -> torch.Tensor:
            a, b = generator.factors(latent).T[:2]
            reads[:] = [torch.stack([see(a, b) for see in attributes.values()], dim=1)]
            return render(latent)

        generator.forward = forward  # type: ignore[method-assign]
        settings = {"num_latents": num_latents, "keep": keep, "threshold": 0.0, "batch_size": 500}
        result = metrics.linear_separability(generator, lambda images: reads[0], **settings)  # type: ignore[arg-type]
        assert result.per_factor is not None
        return result.per_factor

    surest, every = score(4000), score(4000, keep=1.0)
    bars(axes[0], {name: {"surest half": surest[i], "all": every[i]} for i, name in enumerate(attributes)})
    sizes = np.array([100, 300, 1000, 3000, 10_000])
    curves = {f"alike, {8 + d} dimensions": np.array([score(n, dead_dims=d)[-1] for n in sizes]) for d in (0, 120)}
    lines(axes[1], sizes, curves, "latents", log=True)


def draw_inception_score(axes: tuple[Axes, Axes]) -> None:
    classes = np.arange(2000) % 10
    cases = {
        "sure, all classes": 9.0 * np.eye(10)[classes],
        "sure, five classes": 9.0 * np.eye(10)[classes % 5],
        "sure, one class": 9.0 * np.eye(10)[0 * classes],
        "unsure": np.zeros((2000, 10)),
    }
    bars(axes[0], {name: {"score": metrics.inception_score(v).score} for name, v in cases.items()})
    sure = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    lines(
        axes[1],
        sure,
        {"score": np.array([metrics.inception_score(s * np.eye(10)[classes]).score for s in sure])},
        "logit of the class",
    )


def draw_lpips(axes: tuple[Axes, Axes]) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 5, padding=2), torch.nn.ReLU(), torch.nn.AvgPool2d(4))
    generator = Analytic("sprite", size=32)
    images = generator(generator.sample(20, torch.Generator().manual_seed(0)))

    def layers(batch: torch.Tensor) -> list[torch.Tensor]:
        return [network(batch)]

    changes = {
        "same": images,
        "one pixel moved": images.roll(1, dims=3),
        "brighter": images + 0.2,
        "noisy": images + 0.2 * torch.randn_like(images),
        "other images": images.roll(1, dims=0),
    }
    bars(
        axes[0],
        {name: {"score": metrics.lpips(images, other, extractor=layers).score} for name, other in changes.items()},
    )
    shifts = np.array([0, 1, 2, 4, 8])
    ours = [metrics.lpips(images, images.roll(int(s), dims=3), extractor=layers).score for s in shifts]
    pixels = [float(((images - images.roll(int(s), dims=3)) ** 2).mean()) for s in shifts]
    lines(axes[1], shifts, {"feature distance": np.array(ours), "squared error": np.array(pixels)}, "pixels moved")


def main(names: list[str]) -> None:
    plt.rcParams |= {
        "svg.hashsalt": "contrafact",
        "svg.fonttype": "none",
        "font.size": 8,
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
    }
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    for name in names or metrics.CATALOG.names():
        figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.4), layout="constrained")
        globals()[f"draw_{name}"](axes)
        figure.savefig(FOLDER / f"{name}.svg", transparent=True, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
