import csv
import dataclasses
import io
import json
from collections import Counter as Counts

import numpy as np
import pytest
from rich.console import Console

from contrafact.contract.samples import Counter, Flags, draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.evaluation.codes import call_static, resolve_metrics, static_metrics
from contrafact.metrics import CATALOG, _boosting, _information, _logistic, dci, evaluate, evaluate_encoder, mig

FACTORS = draw_factors(300)
CODES = noisy_codes(FACTORS, extra=1)


def test_results_are_the_metrics_own():
    result = evaluate(
        CODES, FACTORS, CODES[:90], FACTORS[:90], metrics=["mig", "DCI"], settings={"mig": {"num_bins": 5}}
    )
    assert list(result.results) == ["mig", "dci"]
    assert result.results["mig"].score == mig(CODES, FACTORS, num_bins=5).score
    assert result.results["dci"].scores() == dci(CODES, FACTORS, CODES[:90], FACTORS[:90]).scores()
    assert set(result.scores()) == {
        "mig.score", "dci.disentanglement", "dci.completeness", "dci.informativeness", "dci.informativeness_train",
    }  # fmt: skip


def test_names_in_any_spelling_and_no_factors_where_none_are_needed():
    assert resolve_metrics("Total-Correlation, mig") == ["total_correlation", "mig"]
    assert resolve_metrics(["mig", "mig"]) == ["mig"]
    assert resolve_metrics(["mig, SAP", "med"]) == ["mig", "sap", "med"]
    assert list(evaluate(CODES, metrics="total_correlation,smoothness").results) == ["total_correlation", "smoothness"]


def test_all_is_every_static_metric_and_skips_with_a_reason():
    assert resolve_metrics("all") == static_metrics()
    codes = noisy_codes(FACTORS[:60], extra=2)  # five codes cannot be halved
    started = []
    result = evaluate(codes, FACTORS[:60], metrics="all", progress=started.append)
    assert set(result.results) == set(static_metrics()) - {"sub_embedding_gaps"}
    assert started == static_metrics()
    assert any(note.startswith("skipped sub_embedding_gaps: parts=2 does not cut 5 codes") for note in result.notes)
    json.loads(result.to_json())
    with pytest.raises(ValueError, match="sub_embedding_gaps: parts=2 does not cut 5 codes"):
        evaluate(codes, FACTORS[:60], metrics="sub_embedding_gaps")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_work_is_shared_without_changing_a_bit(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    factors = np.stack([np.arange(240) % 2, np.arange(240) // 2 % 3, np.arange(240) // 6 % 4], axis=1)
    codes = (np.hstack([factors, factors[:, :1]]) + 0.4 * rng.normal(size=(240, 4))).astype(dtype)
    data = {"codes": codes[:160], "factors": factors[:160], "codes_test": codes[160:], "factors_test": factors[160:]}
    names = ["mig", "mig_sup", "dcimig", "modularity", "med", "rmig", "jemmig", "total_correlation", "dci", "dci_es"]
    names += ["downstream", "explicitness", "linear_probe", "sub_embedding_gaps"]
    runs = []
    for module, function in ((_boosting, "_fit_classifiers"), (_logistic, "_Descent"), (_information, "_bins_of")):
        original = getattr(module, function)
        counted = lambda *given, original=original, name=function: (runs.append(name), original(*given))[1]  # noqa: E731
        monkeypatch.setattr(module, function, counted)
    alone = {name: call_static(name, data, {}, 0) for name in names}
    one_by_one = Counts(runs)
    runs.clear()
    together = evaluate(**data, metrics=names).results
    saved = one_by_one - Counts(runs)
    for name in names:
        for field in dataclasses.fields(alone[name]):
            if field.name != "seconds":
                np.testing.assert_equal(getattr(together[name], field.name), getattr(alone[name], field.name), field)
    # DCI's trees serve DCI-ES and the largest of downstream's sizes; the linear models of whole codes, one per factor,
    # serve two metrics; bins of four codes serve six metrics, and those of rMIG serve JEMMIG.
    assert saved == {"_fit_classifiers": 2, "_Descent": 3, "_bins_of": 4 * (5 + 1)}


def test_constant_factors_are_dropped_by_name():
    factors = FACTORS * [1, 0, 1]
    with pytest.warns(MetricWarning, match="dropped constant factors: hue"):
        result = evaluate(CODES, factors, metrics="mig", factor_names=["shape", "hue", "size"])
    assert result.factor_names == ("shape", "size")
    assert result.results["mig"].score == mig(CODES, FACTORS[:, [0, 2]]).score
    with pytest.raises(ValueError, match="every factor is constant"):
        evaluate(CODES, 0 * FACTORS, metrics="mig")


def test_json_csv_and_table_hold_the_same_numbers():
    result = evaluate(CODES, FACTORS, metrics="mig,modularity", num_resamples=20)
    data = json.loads(result.to_json())
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert [row["metric"] for row in rows] == ["mig", "modularity"]
    for row in rows:
        name = f"{row['metric']}.{row['score']}"
        assert float(row["value"]) == data["scores"][name] == result.scores()[name]
        assert [float(row["low"]), float(row["high"])] == data["intervals"][name]
        assert row["protocol"] == data["results"][row["metric"]]["protocol"]
    out = io.StringIO()
    Console(file=out, width=160).print(result.table())
    for text in ("mig ↑", f"{result.scores()['mig.score']:.4f}", "mig_n300_bins20", "95 %"):
        assert text in out.getvalue()


def test_intervals_hold_the_estimate_and_shrink_with_the_sample():
    small = evaluate(CODES[:80], FACTORS[:80], metrics="mig", num_resamples=60)
    large = evaluate(noisy_codes(draw_factors(3000)), draw_factors(3000), metrics="mig", num_resamples=60)
    widths = []
    for result in (small, large):
        low, high = result.intervals["mig.score"]
        assert low <= result.scores()["mig.score"] <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_writing(tmp_path):
    result = evaluate(CODES, FACTORS, metrics="mig")
    assert json.loads(result.write(tmp_path / "new" / "scores.json").read_text())["scores"] == result.scores()
    assert result.write(tmp_path / "scores.csv").read_text() == result.to_csv()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "scores.csv"]
    with pytest.raises(ValueError, match=r"results are written as \.json or \.csv, got 'scores\.txt'"):
        result.write(tmp_path / "scores.txt")


def test_heat_maps_have_named_axes():
    result = evaluate(
        CODES, FACTORS, metrics="mig,total_correlation", code_names=list("abcd"), factor_names=["x", "y", "z"]
    )
    maps = {m.metric: m for m in result.heat_maps()}
    assert maps["mig"].rows == tuple("abcd")
    assert maps["mig"].columns == ("x", "y", "z")
    assert maps["total_correlation"].columns == tuple("abcd")
    np.testing.assert_array_equal(maps["mig"].values, result.results["mig"].matrix)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": "migg"}, "unknown metric 'migg'; did you mean 'mig'"),
        ({"metrics": []}, "no metric asked for"),
        ({"metrics": "fid"}, "metric 'fid' cannot be computed from codes and factors: it takes sets of images"),
        ({"metrics": "udr"}, "it takes the codes of several models"),
        ({"metrics": "mds"}, "it takes directions"),
        (
            {"metrics": "mig", "settings": {"mig": {"bins": 3}}},
            "metric 'mig' has no setting 'bins'; it has: active, bias, continuous, num_bins",
        ),
        ({"metrics": "mig", "settings": {"modul": {}}}, "unknown metric 'modul'; did you mean 'modularity'"),
        ({"metrics": "mig", "settings": {"mig": {"num_bins": 0}}}, "mig: num_bins must be a whole number"),
        ({"metrics": "mig", "factor_names": ["a"]}, "expected 3 factor names, got 1"),
        ({"metrics": "mig", "code_names": ["a"]}, "expected 4 code names, got 1"),
        ({"metrics": "mig", "num_resamples": -1}, "num_resamples must be a whole number of at least 1, got -1"),
        ({"metrics": "dci", "codes_test": CODES}, "codes_test and factors_test belong together"),
        (
            {"metrics": "dci", "codes_test": CODES, "factors_test": FACTORS[:, :2]},
            "factors has 3 columns but factors_test",
        ),
        ({"metrics": "dci", "codes_test": CODES * np.nan, "factors_test": FACTORS}, "codes_test must be finite"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(CODES, FACTORS, **settings)


def test_an_interventional_metric_without_a_form_for_matrices_is_refused(monkeypatch):
    monkeypatch.delattr(CATALOG.module("beta_vae_score"), "from_codes")
    with pytest.raises(ValueError, match="it takes an encoder and a dataset: call it, or evaluate_encoder"):
        evaluate(CODES, FACTORS, metrics="beta_vae_score")


def test_missing_factors_are_asked_for():
    with pytest.raises(ValueError, match="metric 'mig' needs factors"):
        evaluate(CODES, metrics="mig")
    with pytest.raises(ValueError, match="factors_test came without factors"):
        evaluate(CODES, factors_test=FACTORS, metrics="total_correlation")


def test_an_encoder_is_scored_with_each_image_encoded_once():
    counter = Counter()
    result = evaluate_encoder(
        counter,
        Flags(),
        metrics="factor_vae_score,mig,beta_vae_score",
        num_train=200,
        num_test=100,
        progress=lambda _: None,
    )
    assert list(result.results) == ["factor_vae_score", "mig", "beta_vae_score"]
    assert len(counter.seen) == len(set(counter.seen)) <= len(Flags())
    assert result.results["mig"].score > 0.9
    assert result.results["factor_vae_score"].score == 1.0
    assert result.factor_names == ("first", "second", "third")
    assert result.notes[-1] == f"images: {Flags.source}"
    only = evaluate_encoder(counter, Flags(), metrics=["beta_vae_score"])
    assert list(only.results) == ["beta_vae_score"]


def test_continuous_factors_go_to_the_metrics_that_take_them():
    rng = np.random.default_rng(0)
    factors = rng.random((300, 2))
    codes = factors * [2.0, -1.0]
    result = evaluate(codes, factors, metrics="all", continuous=True)
    assert {"mig", "modularity", "med", "dci", "dci_es", "sap", "irs", "total_correlation"} <= set(result.results)
    assert result.results["sap"].protocol == "sap_continuous_n300"
    (note,) = (note for note in result.notes if "factors must be whole numbers" in note)
    assert note.startswith("skipped clustering, downstream, edi, explicitness, infomec, ")
    with pytest.raises(ValueError, match="explicitness: factors must be whole numbers"):
        evaluate(codes, factors, metrics="explicitness", continuous=True)
