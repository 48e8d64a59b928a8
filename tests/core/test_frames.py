"""Codes and factors in the forms people have them: what becomes of tables, words, holes and types."""

import datetime
import types
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.metrics import mutual_info_score

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.frames import columns_of
from contrafact.core.inputs import read_inputs
from contrafact.core.metric import MetricWarning
from contrafact.metrics import compare, dci, evaluate, explicitness, mcc, mig, sap, total_correlation
from tests.core.foreign_tables import ForeignTable

FACTORS = draw_factors(200)
CODES = noisy_codes(FACTORS)[:, :3]
PEOPLE = pd.DataFrame(FACTORS, columns=["shape", "hue", "size"])
MEASURED = pd.DataFrame(CODES, columns=["a", "b", "c"])
pytestmark = pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")


class Labelled:
    """An array with named dimensions and coordinates, as xarray's DataArray."""

    __module__ = "xarray.core"

    def __init__(self, values, dims, coords=None, name=None):
        self.values, self.dims, self.name = np.asarray(values), dims, name
        self.ndim, self.shape = self.values.ndim, self.values.shape
        self.coords = {key: types.SimpleNamespace(values=np.asarray(names)) for key, names in (coords or {}).items()}


def words(column, known):
    return [known[value] for value in column]


HUES = ["red", "green", "blue", "amber", "black", "white"]


def test_words_categories_and_nullable_numbers_score_as_their_values_do():
    expected = mig(CODES, FACTORS).score
    forms = [
        PEOPLE.assign(hue=words(FACTORS[:, 1], HUES)),
        PEOPLE.astype("category"),
        PEOPLE.astype("Int64"),
        PEOPLE.astype("string"),
        PEOPLE.astype(object),
        {name: PEOPLE[name].tolist() for name in PEOPLE},
        ForeignTable(**{name: PEOPLE[name].to_numpy() for name in PEOPLE}),
        np.array([[HUES[v] for v in row] for row in FACTORS]),
        PEOPLE.to_records(index=False),
        Labelled(FACTORS, ("image", "factor"), {"factor": list(PEOPLE)}),
    ]
    for factors in forms:
        result = mig(MEASURED, factors)
        assert result.score == pytest.approx(expected, abs=1e-12), type(factors)
        assert result.code_names == ("a", "b", "c")
    assert [mig(MEASURED, form).factor_names for form in (forms[0], forms[6], forms[8], forms[9])] == [
        tuple(PEOPLE)
    ] * 4


@pytest.mark.parametrize("metric", [mig, sap, dci])
@pytest.mark.parametrize("kind", [object, str])
def test_matrices_of_objects_beside_a_matrix_of_codes_score_as_their_values_do(metric, kind):
    assert metric(CODES, FACTORS.astype(kind)).scores() == pytest.approx(metric(CODES, FACTORS).scores(), abs=1e-12)


def test_words_are_numbered_in_their_order_and_said_so():
    ordered = pd.Categorical(["mid", "low", None, "high"], categories=["low", "mid", "high"], ordered=True)
    column = columns_of(pd.DataFrame({"level": ordered}), "factors").columns[0]
    np.testing.assert_array_equal(column.values, [1, 0, np.nan, 2])
    notes = evaluate(MEASURED, PEOPLE.assign(hue=words(FACTORS[:, 1], HUES)), metrics="mig").notes
    assert notes[0].startswith("column 'hue' of the factors holds words, numbered in alphabetical order: ")


def test_held_out_words_get_the_numbers_of_the_same_words():
    train = pd.DataFrame({"hue": ["red", "blue", "red"], "size": [1, 2, 3]})
    test = pd.DataFrame({"size": [2, 2], "hue": ["green", "blue"]})
    read = read_inputs(CODES[:3], train, CODES[:2], test)
    assert read.factors.tolist() == [[2, 1], [0, 2], [2, 3]]
    assert read.factors_test.tolist() == [[1, 2], [0, 2]]
    with pytest.raises(ValueError, match=r"factors and factors_test have different columns \(size\); use the same"):
        read_inputs(CODES[:3], train, CODES[:2], test[["hue"]])


def test_rows_with_missing_values_are_left_out_and_counted():
    holes = PEOPLE.astype("Int64")
    holes.loc[3, "hue"] = pd.NA
    holes.loc[[3, 7], "size"] = pd.NA
    codes = MEASURED.copy()
    codes.loc[9, "a"] = np.nan
    kept = np.delete(np.arange(200), [3, 7, 9])
    with pytest.warns(MetricWarning, match="3 of 200 rows of codes and factors were left out"):
        result = mig(codes, holes)
    assert result.score == mig(CODES[kept], FACTORS[kept]).score
    assert result.notes[0] == (
        "3 of 200 rows of codes and factors were left out for missing values (size 2, a 1, hue 1): row-wise deletion"
    )
    evaluation = evaluate(codes, holes, metrics="mig,sap")
    assert evaluation.results["mig"].score == result.score
    assert result.notes[0] in evaluation.notes
    masked = np.ma.masked_array(CODES, np.isnan(codes.to_numpy()))
    assert sap(masked, holes).score == evaluation.scores()["sap.score"]
    with pytest.raises(ValueError, match=r"3 of 200 rows .* missing values \(size 2, a 1, hue 1\), the first row 3"):
        evaluate(codes, holes, metrics="mig", missing="refuse")
    with pytest.raises(ValueError, match=r"3 of 200 rows .* missing values"):
        compare(codes, codes, holes, missing="refuse")
    with pytest.raises(ValueError, match="every row of codes and factors has a missing value"):
        mig(codes.assign(a=np.nan), holes)
    with pytest.raises(ValueError, match="missing must be 'rows', 'pairs' or 'refuse', got 'drop'"):
        evaluate(codes, holes, missing="drop")


def test_pairs_are_compared_on_the_rows_that_have_both():
    rng = np.random.default_rng(0)
    hole_c, hole_f = rng.random((200, 3)) < 0.1, rng.random((200, 3)) < 0.1
    codes = MEASURED.mask(hole_c)
    factors = PEOPLE.astype(float).mask(hole_f)
    evaluation = evaluate(codes, factors, metrics="mig,dci", missing="pairs")
    result = evaluation.results["mig"]
    bins = np.zeros((200, 3), dtype=int)
    for j in range(3):
        known = CODES[~hole_c[:, j], j]
        bins[:, j] = np.clip((CODES[:, j] - known.min()) / np.ptp(known) * 20, 0, 19)
    for j, k in np.ndindex(3, 3):
        both = ~hole_c[:, j] & ~hole_f[:, k]
        assert result.matrix[j, k] == pytest.approx(mutual_info_score(bins[both, j], FACTORS[both, k]), abs=1e-9)
    assert result.protocol == "mig_n200_bins20_pairwise"
    assert "were compared on the rows that have both (pairwise deletion)" in evaluation.notes[0]
    whole = ~(hole_c.any(axis=1) | hole_f.any(axis=1))
    assert evaluation.results["dci"].score == dci(CODES[whole], FACTORS[whole]).score
    assert evaluate(codes, factors, metrics="mig", missing="pairs", num_resamples=3).intervals["mig.score"][0] < 1


def test_columns_of_measurements_and_of_values_side_by_side():
    mixed = PEOPLE.assign(size=FACTORS[:, 2] + np.random.default_rng(0).random(200))
    evaluation = evaluate(MEASURED, mixed, metrics="mig,dci,sap,explicitness,mcc")
    results, which = evaluation.results, [False, False, True]
    assert results["mig"].protocol == "mig_n200_bins20_continuous1of3"
    values = mixed["size"].to_numpy()
    binned = np.clip((values - values.min()) / np.ptp(values) * 20, 0, 19).astype(int)
    assert results["mig"].score == pytest.approx(mig(CODES, np.c_[FACTORS[:, :2], binned]).score)
    plain = mixed.to_numpy()
    for metric in (mig, dci, sap):
        assert metric(MEASURED, mixed).score == metric(CODES, plain, continuous=which).score
    classes, quantities = dci(CODES, FACTORS[:, :2]), dci(CODES, plain[:, 2:], continuous=True)
    parts = dci(CODES, plain, continuous=which)
    np.testing.assert_allclose(parts.matrix, np.c_[classes.matrix, quantities.matrix], atol=0.05)
    assert parts.accuracy_per_factor[2] == pytest.approx(quantities.accuracy_per_factor[0], abs=0.02)
    assert sap(CODES, plain, continuous=which).matrix[:, 2].tolist() == pytest.approx(
        (np.corrcoef(CODES.T, plain[:, 2])[-1, :-1] ** 2).tolist()
    )
    assert results["explicitness"].score == explicitness(CODES, FACTORS[:, :2]).score
    assert results["explicitness"].factor_names == ("shape", "hue")
    assert results["mcc"].score == mcc(CODES, plain).score
    assert "explicitness: of the discrete factors alone, without size" in evaluation.notes
    with pytest.raises(ValueError, match="continuous must be True, False or 3 of these"):
        mig(CODES, FACTORS, continuous=[True])


def test_one_column_is_a_matrix_of_one():
    expected = mig(CODES[:, :1], FACTORS[:, :1]).score
    for codes, factors in (
        (CODES[:, 0], FACTORS[:, 0]),
        (MEASURED["a"], PEOPLE["shape"]),
        (torch.tensor(CODES[:, 0]), FACTORS[:, 0].tolist()),
        (Labelled(CODES[:, 0], ("image",), name="a"), Labelled(FACTORS[:, 0], ("image",), name="shape")),
    ):
        assert mig(codes, factors).score == expected
    assert mig(MEASURED["a"], PEOPLE["shape"]).factor_names == ("shape",)
    assert total_correlation(CODES[:, 0]).score == 0.0


def test_single_precision_stays():
    assert columns_of(MEASURED.astype("float32"), "codes").matrix().dtype == np.float32


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (scipy.sparse.csr_array(CODES), FACTORS, r"codes is a sparse matrix of shape \(200, 3\).*codes\.toarray\(\)"),
        (torch.tensor(CODES).to_sparse(), FACTORS, r"is a sparse matrix of shape \(200, 3\).*\.to_dense\(\)"),
        (MEASURED.assign(file="x.png"), PEOPLE, "codes must be numbers: column 'file' holds words .*--id file"),
        (MEASURED, PEOPLE.assign(day=pd.Timestamp("2026-01-01")), "factors: column 'day' holds dates"),
        (MEASURED, PEOPLE.assign(day=datetime.date(2026, 1, 1)), "factors: column 'day' holds dates"),
        (MEASURED, PEOPLE.assign(box=[[1, 2]] * 200), "factors: column 'box' holds values of type list"),
        (MEASURED, PEOPLE.assign(place=[f"{i}.png" for i in range(200)]), r"column 3 \('place'\) takes 200 values"),
        (MEASURED, PEOPLE.assign(hue=1), r"factor 1 \('hue'\) is constant \(always 1"),
        (MEASURED, {"hue": [1, 2], "size": [1]}, "factors has columns of different lengths: hue 2, size 1"),
        (MEASURED.assign(a=np.inf), PEOPLE, r"codes must be finite: row 0, column 0 \('a'\) is inf"),
        (np.zeros((2, 2, 2)), FACTORS, r"codes must have shape \(N, J\)"),
        (
            Labelled(np.zeros((2, 2, 2)), ("image", "x", "y")),
            FACTORS,
            "codes: the array has the dimensions image, x, y",
        ),
    ],
)
def test_what_is_no_code_or_factor_is_named(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        mig(codes, factors)


def test_evaluate_names_columns_too():
    with pytest.raises(ValueError, match=r"column 3 \('place'\) takes 200 values in 200 rows, so it names rows"):
        evaluate(MEASURED, PEOPLE.assign(place=[f"{i}.png" for i in range(200)]), metrics="mig")
    assert evaluate(MEASURED, PEOPLE.assign(hue=1), metrics="mig").notes == ("dropped constant factors: hue",)


def test_rows_are_matched_by_the_column_that_names_them():
    order = np.random.default_rng(0).permutation(200)
    files = [f"{i:03}.png" for i in range(200)]
    codes, factors = MEASURED.assign(file=files), PEOPLE.assign(file=files).iloc[order].reset_index(drop=True)
    result = evaluate(codes, factors, metrics="mig", id="file")
    assert result.scores()["mig.score"] == mig(CODES, FACTORS).score
    assert (result.code_names, result.factor_names) == (("a", "b", "c"), ("shape", "hue", "size"))
    assert evaluate(codes, PEOPLE, metrics="mig", id="file").scores() == result.scores()
    with pytest.raises(ValueError, match=r"1 rows of codes are not in factors by column 'file', the first '199\.png'"):
        evaluate(codes, factors[factors.file != "199.png"], metrics="mig", id="file")
    with pytest.raises(ValueError, match=r"column 'file' of factors has '000\.png' more than once"):
        evaluate(codes, factors.assign(file=["000.png"] * 200), metrics="mig", id="file")
    with pytest.raises(ValueError, match="no column 'fiel' in codes or factors; their columns: a, b, c, file"):
        evaluate(codes, factors, metrics="mig", id="fiel")


def test_an_index_of_the_same_rows_in_another_order_is_followed():
    codes, factors = (
        MEASURED.set_index(pd.Index([f"r{i}" for i in range(200)])),
        PEOPLE.set_index(pd.Index([f"r{i}" for i in range(200)])),
    )
    turned = factors.iloc[::-1]
    result = mig(codes, turned)
    assert result.score == mig(CODES, FACTORS).score
    assert result.notes[0] == "rows of factors were put into the order of codes by their index"
    assert mig(MEASURED, turned).score == mig(CODES, FACTORS[::-1]).score  # one index says nothing of the other


def test_decimals_and_truth_values_are_numbers():
    table = pd.DataFrame({"price": [Decimal("1.5"), Decimal("2"), None], "new": [True, None, False]})
    found = [column.values for column in columns_of(table, "factors").columns]
    np.testing.assert_array_equal(found, [[1.5, 2, np.nan], [1, np.nan, 0]])


def test_what_speaks_arrow_alone_needs_pyarrow(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    stream = types.SimpleNamespace(__arrow_c_stream__=None)
    with pytest.raises(ValueError, match="factors is a SimpleNamespace, which is read by the package pyarrow"):
        mig(CODES, stream)


def test_a_hundred_thousand_words_on_both_sides_are_numbered_alike():
    words = np.array([f"w{number:05}" for number in range(100_000)], dtype=object)
    others = np.array(["x", *words[:0:-1]], dtype=object)
    codes = np.zeros((len(words), 1))
    inputs = read_inputs(codes, {"word": words}, codes, {"word": others})
    assert inputs.factors[:, 0].tolist() == list(range(100_000))
    assert inputs.factors_test[:, 0].tolist() == [100_000, *range(99_999, 0, -1)]
    words[-1] = words[-2]
    tables = [{"file": words, name: codes[:, 0]} for name in ("z", "hue")]
    with pytest.raises(ValueError, match="column 'file' of codes has 'w99998' more than once"):
        read_inputs(*tables, identifier="file")
