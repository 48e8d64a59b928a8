"""Speed and memory of the metrics, as JSON: ``python benchmarks/metrics.py [PART ...]``.

Parts: ``dci10``, ``dci32``, ``sap32``, ``mig32``, ``votes`` (FactorVAE and β-VAE scores of a convolutional encoder on
Shapes3D at 64 px), ``all64`` (all of these for 64 codes), ``logistic`` (the linear classifiers of explicitness, InfoMEC
and ZeroDIM against scikit-learn's), ``together`` (all static metrics in one ``evaluate``, and each by itself),
``memory`` (a million points) and ``large`` (DCI and InfoMEC of 100,000 points and 64 codes beside disentanglement_lib's
and the InfoMEC authors' own programs, out of ``--checkouts FOLDER``). The default is all but the last two. Ours runs on
all cores at hand; the reference's algorithm, scikit-learn's classifiers one after the other as the reference calls
them, runs in the same process on one core. Kernels are compiled before the clock starts. The reference takes ten
minutes; ``--no-reference`` leaves it out. On a shared machine run it under ``chrt -f 10``.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit, logsumexp, softmax
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from contrafact.data.shapes3d import Shapes3D
from contrafact.metrics import Codes, _logistic, beta_vae_score, dci, evaluate, factor_vae_score, mig, sap
from contrafact.metrics._importance import weighted_concentration
from contrafact.metrics._logistic import fit_logistic

SIZES = (10, 10, 10, 8, 4, 15)
PARTS = ("dci10", "dci32", "sap32", "mig32", "votes", "all64", "logistic", "together", "memory", "large")
REPEATS = 3


def make(num_codes, num_train=10_000, num_test=5_000, seed=1):
    """Codes that know the six factors of Shapes3D in part: embeddings spread over codes, and correlated noise."""
    rng = np.random.default_rng(seed)
    tables = [0.25 * rng.normal(size=(size, num_codes)) for size in SIZES]
    for k, table in enumerate(tables):
        for j in range(k, num_codes, 6):
            if rng.random() < 0.6 or j == k:
                line = np.linspace(-1, 1, SIZES[k]) * rng.uniform(0.5, 1.2)
                table[:, j] += line if rng.random() < 0.7 else rng.normal(size=SIZES[k])
    mix = 0.1 * rng.normal(size=(num_codes, num_codes)) + 0.3 * np.eye(num_codes)

    def draw(n):
        factors = np.stack([rng.integers(size, size=n) for size in SIZES], axis=1)
        codes = sum(table[factors[:, k]] for k, table in enumerate(tables)) + rng.normal(size=(n, num_codes)) @ mix
        return codes, factors

    return (*draw(num_train), *draw(num_test))


def reference_dci(codes, factors, codes_test, factors_test):
    importances, hits = [], []
    for k in range(factors.shape[1]):
        model = GradientBoostingClassifier(random_state=k).fit(codes, factors[:, k])
        importances.append(np.abs(model.feature_importances_))
        model.predict(codes)
        hits.append(np.mean(model.predict(codes_test) == factors_test[:, k]))
    matrix = np.stack(importances, axis=1)
    return {
        "disentanglement": weighted_concentration(matrix)[0],
        "completeness": weighted_concentration(matrix.T)[0],
        "informativeness": float(np.mean(hits)),
    }


def reference_sap(codes, factors, codes_test, factors_test):
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for j, k in np.ndindex(scores.shape):
        model = LinearSVC(C=0.01, class_weight="balanced").fit(codes[:, [j]], factors[:, k])
        scores[j, k] = np.mean(model.predict(codes_test[:, [j]]) == factors_test[:, k])
    ordered = np.sort(scores, axis=0)
    return {"score": float((ordered[-1] - ordered[-2]).mean())}


def reference_mig(codes, factors, *_):
    bins = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
    shared = np.array([[mutual_info_score(label, code) for label in factors.T] for code in bins])
    entropy = np.array([mutual_info_score(label, label) for label in factors.T])
    ordered = np.sort(shared, axis=0)
    return {"score": float(((ordered[-1] - ordered[-2]) / entropy).mean())}


def compared(ours, reference, data, with_reference):
    """Median seconds of ours over repeats, seconds of the reference, and both results."""
    ours(*(values[:200] for values in data))  # compiles
    seconds, cpu_seconds = [], []
    for _ in range(REPEATS):
        start, cpu = time.perf_counter(), time.process_time()
        result = ours(*data)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu)
    row = {
        "seconds": round(float(np.median(seconds)), 4),
        "cpu_seconds": round(float(np.median(cpu_seconds)), 4),
        "scores": result.scores(),
    }
    if with_reference:
        start, cpu = time.perf_counter(), time.process_time()
        theirs = reference(*data)
        row["reference_seconds"] = round(time.perf_counter() - start, 3)
        row["reference_cpu_seconds"] = round(time.process_time() - cpu, 3)
        row["ratio"] = round(row["reference_seconds"] / row["seconds"], 1)
        row["differences"] = {name: result.scores()[name] - value for name, value in theirs.items()}
    return row


def conv_encoder(num_codes=10):
    """The encoder of the 2019 study: four strided convolutions and two linear layers."""
    torch.manual_seed(0)
    layers = []
    for inputs, outputs in ((3, 32), (32, 32), (32, 64), (64, 64)):
        layers += [torch.nn.Conv2d(inputs, outputs, 4, 2, 1), torch.nn.ReLU()]
    last = torch.nn.Linear(256, num_codes)
    with torch.no_grad():
        last.weight *= 100  # codes of deviation around 1: untrained ones would all be pruned
    head = (torch.nn.Flatten(), torch.nn.Linear(1024, 256), torch.nn.ReLU(), last)
    return torch.nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


def votes():
    """Both vote protocols, every image of the grid encoded once; what encoding each draw would take, from its rate."""
    dataset, encoder = Shapes3D(), conv_encoder()
    codes = Codes(encoder, dataset)
    start = time.perf_counter()
    factor = factor_vae_score(codes, dataset)
    beta = beta_vae_score(codes, dataset)
    seconds = time.perf_counter() - start
    naive = 10_000 + 15_000 * 64 + 15_000 * 2 * 64
    fresh = Codes(encoder, dataset, batch_size=64)
    start = time.perf_counter()
    fresh.at(np.random.default_rng(0).permutation(len(dataset))[:6_400])
    rate = 6_400 / (time.perf_counter() - start)
    return {
        "seconds": round(seconds, 1),
        "encodings": factor.num_encoded + beta.num_encoded,
        "naive_encodings": naive,
        "naive_seconds_estimated": round(naive / rate),
        "factor_vae": factor.score,
        "beta_vae": beta.score,
    }


def all64():
    """MIG, SAP, DCI and both vote scores of 64 codes, the images' codes at hand."""
    data = make(64)
    grid = np.random.default_rng(0).normal(size=(480_000, 64)).astype(np.float32)
    dataset = Shapes3D()
    codes = Codes(conv_encoder(), dataset)
    codes._rows, codes._row_of, codes.num_encoded = grid, np.arange(len(grid), dtype=np.int32), len(grid)
    dci(*(values[:200] for values in data))
    sap(*(values[:200] for values in data))
    parts = {}
    for name, run in (
        ("mig", lambda: mig(*data[:2])),
        ("sap", lambda: sap(*data)),
        ("dci", lambda: dci(*data)),
        ("factor_vae", lambda: factor_vae_score(codes, dataset)),
        ("beta_vae", lambda: beta_vae_score(codes, dataset)),
    ):
        start = time.perf_counter()
        run()
        parts[name] = round(time.perf_counter() - start, 3)
    return {"seconds": round(sum(parts.values()), 2), "parts": parts}


def left_at(theirs, codes, labels, balanced, one_vs_rest, penalty):
    """Mean loss of scikit-learn's coefficients, penalty and all, and the largest entry of its gradient."""
    num_classes = int(labels.max()) + 1
    weights = len(labels) / (num_classes * np.bincount(labels))[labels] if balanced else np.ones(len(labels))
    weights = weights / weights.sum()
    models = theirs.estimators_ if one_vs_rest else [theirs]
    coefficients = np.concatenate([model.coef_ for model in models])
    scores, one_hot = codes @ coefficients.T, np.eye(num_classes)[labels]
    scores += np.concatenate([model.intercept_ for model in models])
    loss = np.logaddexp(0, scores).sum(axis=1) if one_vs_rest else logsumexp(scores, axis=1)
    loss = weights @ (loss - (one_hot * scores).sum(axis=1)) + penalty / 2 * (coefficients**2).sum()
    slopes = ((expit(scores) if one_vs_rest else softmax(scores, axis=1)) - one_hot) * weights[:, None]
    return float(loss), float(max(np.abs(slopes.T @ codes + penalty * coefficients).max(), np.abs(slopes.sum(0)).max()))


def logistic(clock=time.process_time):
    """Seconds of one classifier: ours to the optimum, scikit-learn's as metrics call it and near the optimum.

    ``gradient`` is the largest entry of the mean loss's at the end, of ours and as scikit-learn leaves it. ``equal`` is
    ours stopped as soon as both loss and gradient are no larger than those that scikit-learn, as called, leaves.
    """
    rows = {}
    sizes = ((10_000, 10, 4), (10_000, 10, 15), (100_000, 64, 4), (100_000, 64, 10), (100_000, 64, 30))
    to_the_optimum = _logistic.DECREMENT
    for (num_points, num_codes, num_classes), ordered in (
        *((size, False) for size in sizes),
        *((size, True) for size in ((10_000, 10, 15), (100_000, 64, 10), (100_000, 64, 15))),
    ):
        rng = np.random.default_rng(0)
        labels = rng.integers(num_classes, size=num_points)
        if ordered:  # one code holds the factor, in order, with noise; the others know nothing
            codes = rng.normal(size=(num_points, num_codes))
            codes[:, 0] += labels
        else:
            codes = (2.0 / np.sqrt(num_codes) * rng.normal(size=(num_classes, num_codes)))[labels]
            mix = np.eye(num_codes) + 0.3 * rng.normal(size=(num_codes, num_codes)) / np.sqrt(num_codes)
            codes += rng.normal(size=codes.shape) @ mix
        codes = (codes - codes.mean(axis=0)) / codes.std(axis=0)
        case = f"{num_points}x{num_codes}x{num_classes}{' ordered' * ordered}"
        for kind, settings, options in (
            ("multinomial", {"C": 1.0}, {"inverse_penalty": 1.0}),
            ("unpenalised", {"C": np.inf, "class_weight": "balanced"}, {"inverse_penalty": np.inf, "balanced": True}),
            ("one_vs_rest", {"C": 1.0}, {"inverse_penalty": 1.0, "one_vs_rest": True}),
        ):
            wrap = OneVsRestClassifier if kind == "one_vs_rest" else lambda model: model
            fit_logistic(codes[:9_000], labels[:9_000], **options)  # compiles

            def median(options=options, codes=codes, labels=labels):
                seconds = []
                for _ in range(REPEATS):
                    start = clock()
                    found = fit_logistic(codes, labels, **options)
                    seconds.append(clock() - start)
                return round(float(np.median(seconds)), 4), found

            seconds, model = median()
            row = {"seconds": seconds, "gradient": float(np.abs(model.gradient_RP).max())}
            for name, tight in (("default", {}), ("tight", {"tol": 1e-7, "max_iter": 5_000})):
                start = clock()
                theirs = wrap(LogisticRegression(**settings, **tight)).fit(codes, labels)
                row[f"{name}_seconds"] = round(clock() - start, 3)
                row[f"{name}_ratio"] = round(row[f"{name}_seconds"] / row["seconds"], 1)
                apart = np.abs(theirs.predict_proba(codes) - model.probabilities(codes)).max()
                row[f"{name}_apart"] = float(apart)
                penalty = 1 / (options["inverse_penalty"] * len(labels))
                left = left_at(theirs, codes, labels, "balanced" in options, kind == "one_vs_rest", penalty)
                row[f"{name}_excess"], row[f"{name}_gradient"] = left[0] - model.loss, left[1]
                for decrement in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9) if name == "default" else ():
                    _logistic.DECREMENT = decrement
                    seconds, early = median()
                    if early.loss <= left[0] and np.abs(early.gradient_RP).max() <= left[1]:
                        row["equal_seconds"] = seconds
                        row["equal_ratio"] = round(row["default_seconds"] / seconds, 1)
                        break
                _logistic.DECREMENT = to_the_optimum
            rows[f"{case} {kind}"] = row
            print(json.dumps({f"{case} {kind}": row}), file=sys.stderr, flush=True)
    return rows


def together():
    """Processor seconds of all static metrics of ten codes asked for at once, and of each by itself."""
    from contrafact.evaluation.codes import static_metrics

    names, data = static_metrics(), make(10)
    evaluate(*(values[:300] for values in data))  # compiles
    seconds = {"together": [], "alone": []}
    for _ in range(REPEATS):
        start = time.process_time()
        at_once = evaluate(*data).scores()
        seconds["together"].append(time.process_time() - start)
        start = time.process_time()
        alone = {}
        for name in names:
            alone |= evaluate(*data, metrics=name).scores()
        seconds["alone"].append(time.process_time() - start)
    medians = {name: round(float(np.median(values)), 2) for name, values in seconds.items()}
    return medians | {"equal": at_once == alone}


def large(checkouts, points, stages):
    """DCI and InfoMEC by their programs and by ours, one after the other, of many points and 64 codes.

    The program's hundred stages of trees would take hours: it grows the first few, whose time and scores stand beside
    as many of ours, and the time of all of ours beside that.
    """
    from tests.metrics.peers import dci_program, infomec_program, stand_in

    from contrafact.metrics import _boosting, infomec

    stand_in()
    data = make(64, points, points // 10)
    for metric in (dci, lambda *rows: infomec(*rows[:2])):
        metric(*(values[:3_000] for values in data))  # compiles
    rows = {}

    def timed(name, run):
        start, cpu = time.perf_counter(), time.process_time()
        found = run()
        given = found if isinstance(found, dict) else found.scores()
        scores = {key: float(value) for key, value in given.items() if np.ndim(value) == 0}
        seconds, processor = time.perf_counter() - start, time.process_time() - cpu
        rows[name] = {"seconds": round(seconds, 1), "processor": round(processor, 1), "scores": scores}
        print(json.dumps({name: rows[name]}), file=sys.stderr, flush=True)

    timed("infomec, ours", lambda: infomec(*data[:2]))
    timed("infomec, theirs", lambda: infomec_program(checkouts / "latent_quantization")(*data[:2]))
    timed("dci, ours", lambda: dci(*data))
    all_stages, _boosting.NUM_STAGES = _boosting.NUM_STAGES, stages
    timed(f"dci, ours, {stages} stages", lambda: dci(*data))
    _boosting.NUM_STAGES = all_stages
    program = dci_program(checkouts / "disentanglement_lib", stages)
    timed(f"dci, theirs, {stages} stages", lambda: program(*data))
    return rows


def one_million(name):
    """Highest resident memory of this process after one metric of 1,000,000 points and 64 codes."""
    from contrafact.evaluation.codes import call_static
    from contrafact.metrics import _boosting

    _boosting.NUM_STAGES = 1  # of a hundred, none of which takes more than the first
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=1_000_000) for size in SIZES], axis=1)
    codes = rng.standard_normal((1_000_000, 64))
    for k in range(6):
        codes[:, k] += factors[:, k]
    start = time.perf_counter()
    result = call_static(name, {"codes": codes, "factors": factors}, {}, 0)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": round(seconds, 1), "peak_gb": round(peak, 2), "scores": result.scores()}))


def memory(minutes=10):
    """A process of its own for each static metric; of one that takes longer, the peak up to then."""
    from contrafact.evaluation.codes import static_metrics

    rows = {}
    for name in static_metrics():
        command = [sys.executable, __file__, "--one-million", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                rows[name] = json.loads(process.communicate(timeout=60 * minutes)[0])
            except subprocess.TimeoutExpired:
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20
                rows[name] = {"unfinished_after_minutes": minutes, "peak_gb": round(peak, 2)}
                process.kill()
        print(json.dumps({name: rows[name]}), file=sys.stderr, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument(
        "--wall", action="store_true", help="time by the clock, of several threads, in the part logistic"
    )
    parser.add_argument("--one-million", metavar="METRIC")
    parser.add_argument("--checkouts", type=Path, help="a folder with clones, see tests/metrics/peers.py")
    parser.add_argument("--points", type=int, default=100_000, help="of the part large")
    parser.add_argument("--stages", type=int, default=2, help="of disentanglement_lib's trees there")
    arguments = parser.parse_args()
    if "large" in arguments.parts and arguments.checkouts is None:
        parser.error("large needs --checkouts FOLDER")
    if arguments.one_million:
        one_million(arguments.one_million)
        return
    reference = not arguments.no_reference
    rows = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0]}
    for part in arguments.parts or PARTS[:-2]:
        if part in ("dci10", "dci32"):
            rows[part] = compared(dci, reference_dci, make(int(part[3:])), reference)
        elif part == "sap32":
            rows[part] = compared(sap, reference_sap, make(32), reference)
        elif part == "mig32":
            rows[part] = compared(lambda *data: mig(*data[:2]), reference_mig, make(32), reference)
        elif part == "logistic":
            rows[part] = logistic(time.perf_counter if arguments.wall else time.process_time)
        elif part == "large":
            rows[part] = large(arguments.checkouts, arguments.points, arguments.stages)
        else:
            rows[part] = {"votes": votes, "all64": all64, "together": together, "memory": memory}[part]()
        print(json.dumps({part: rows[part]}), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
