"""Tables of the libraries themselves, where they are installed: ``pip install polars xarray``."""

import numpy as np
import pandas as pd
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.frames import columns_of
from contrafact.metrics import evaluate, evaluate_files, mig

FACTORS = draw_factors(400)
CODES = noisy_codes(FACTORS)[:, :3]
HUES = ["red", "green", "blue", "amber", "black", "white"]
WORDS = [HUES[value] for value in FACTORS[:, 1]]
HOLED = [None if row % 10 == 0 else word for row, word in enumerate(WORDS)]
SCORE = mig(CODES, FACTORS).score
HOLED_SCORE = mig(CODES[np.arange(400) % 10 > 0], FACTORS[np.arange(400) % 10 > 0]).score


@pytest.fixture
def polars():
    return pytest.importorskip("polars")


@pytest.fixture
def frames(polars):
    """Codes and factors of polars."""
    codes = polars.DataFrame(dict(zip("abc", CODES.T, strict=True)))
    return codes, polars.DataFrame({"shape": FACTORS[:, 0], "hue": WORDS, "size": FACTORS[:, 2]})


def test_polars_words_categories_and_whole_numbers(polars, frames):
    codes, factors = frames
    hue = polars.col("hue")
    for kind in (polars.String, polars.Categorical, polars.Enum(HUES)):
        found = mig(codes, factors.with_columns(hue.cast(kind)))
        assert found.score == pytest.approx(SCORE, abs=1e-12), kind
        assert (found.code_names, found.factor_names) == (("a", "b", "c"), ("shape", "hue", "size"))
        holed = factors.with_columns(polars.Series("hue", HOLED, dtype=polars.String).cast(kind))
        assert mig(codes, holed).score == pytest.approx(HOLED_SCORE, abs=1e-12), kind
    numbers = factors.with_columns(polars.Series("hue", FACTORS[:, 1]))
    for kind in (polars.Int8, polars.UInt64, polars.Int128, polars.Float32, polars.Decimal(10, 2)):
        assert mig(codes, numbers.with_columns(hue.cast(kind))).score == pytest.approx(SCORE, abs=1e-12), kind
        holed = numbers.with_columns(polars.when(polars.int_range(400) % 10 > 0).then(hue).cast(kind).alias("hue"))
        assert mig(codes, holed).score == pytest.approx(HOLED_SCORE, abs=1e-12), kind
    assert mig(codes, numbers["hue"]).factor_names == ("hue",)


def test_a_polars_enum_keeps_its_order(polars, frames):
    column = columns_of(frames[1].with_columns(polars.col("hue").cast(polars.Enum(HUES))), "factors").columns[1]
    assert (column.words, column.ordered) == (tuple(HUES), True)
    np.testing.assert_array_equal(column.values, FACTORS[:, 1])


def test_polars_rows_are_matched_by_id(polars, frames):
    codes, factors = (table.with_columns(polars.Series("file", [f"{n}.png" for n in range(400)])) for table in frames)
    assert evaluate(codes, factors.reverse(), metrics="mig", id="file").scores()["mig.score"] == pytest.approx(SCORE)


def test_parquet_by_polars(polars, frames, tmp_path):
    pytest.importorskip("pyarrow")
    codes, factors = (table.with_columns(polars.Series("file", [f"{n}.png" for n in range(400)])) for table in frames)
    codes.write_parquet(tmp_path / "c.parquet")
    for kind in (polars.String, polars.Categorical, polars.Enum(HUES)):
        factors.reverse().with_columns(polars.col("hue").cast(kind)).write_parquet(tmp_path / "f.parquet")
        found = evaluate_files(tmp_path / "c.parquet", tmp_path / "f.parquet", metrics="mig", id="file")
        assert found.scores()["mig.score"] == pytest.approx(SCORE), kind


def test_what_polars_has_and_metrics_refuse(polars, frames):
    codes, factors = frames
    with pytest.raises(ValueError, match=r"codes is a LazyFrame, .* pass \.collect\(\) of it"):
        mig(codes.lazy(), factors)
    lists = factors.with_columns(polars.concat_list("shape", "size").alias("both"))
    with pytest.raises(ValueError, match="column 'both' holds values of type ndarray, neither numbers"):
        mig(codes, lists)
    with pytest.raises(ValueError, match="column 'when' holds dates or times"):
        mig(codes, factors.with_columns(polars.lit("2020-01-01").str.to_date().alias("when")))


def test_xarray_arrays_and_datasets():
    xarray = pytest.importorskip("xarray")
    codes = xarray.DataArray(CODES, dims=("image", "code"), coords={"image": np.arange(400)})
    factors = xarray.DataArray(
        FACTORS, dims=("image", "factor"), coords={"image": np.arange(400), "factor": ["shape", "hue", "size"]}
    )
    dataset = factors.to_dataset(dim="factor").assign(hue=("image", WORDS))
    for given in (factors, factors[::-1], dataset, factors.to_dataset(dim="factor")):
        found = mig(codes, given)
        assert found.score == pytest.approx(SCORE, abs=1e-12)
        assert found.factor_names == ("shape", "hue", "size")
    assert found.code_names == ("code 0", "code 1", "code 2")
    holed = dataset.assign(hue=("image", np.array(HOLED, dtype=object)))
    assert mig(codes, holed).score == pytest.approx(HOLED_SCORE, abs=1e-12)
    ordered = pd.Categorical(HOLED, categories=HUES, ordered=True)
    column = columns_of(xarray.Dataset({"hue": ("image", ordered)}), "factors").columns[0]
    assert (column.words, column.ordered) == (tuple(HUES), True)
    np.testing.assert_array_equal(column.values[1:10], FACTORS[1:10, 1])
    with pytest.raises(ValueError, match="codes is a Variable without coordinates; pass a DataArray or a Dataset"):
        mig(codes.variable, factors)
    with pytest.raises(ValueError, match="has the dimensions x, y, z; expected one for rows"):
        mig(xarray.DataArray(np.zeros((4, 3, 2)), dims=("x", "y", "z")), factors)
