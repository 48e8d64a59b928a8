"""Tables as people have them: other delimiters, encodings, words, holes, parquet."""

import sys

import numpy as np
import pytest

from contrafact.core.table import parquet_package, read_table


def columns(path):
    return [column.tolist() for column in read_table(path).columns]


def test_words_and_numbers_and_holes(tmp_path):
    (tmp_path / "t.csv").write_text("file,hue,size,when\n01,red,1,\n02,NA,,\n3, blue ,2.5,\n")
    table = read_table(tmp_path / "t.csv")
    assert table.names == ("file", "hue", "size", "when")
    assert table.columns[1].tolist() == ["red", None, "blue"]
    np.testing.assert_array_equal(table.columns[2], [1, np.nan, 2.5])
    assert np.isnan(table.columns[3]).all()
    assert table.place(1) == f"{tmp_path / 't.csv'}, line 3"


def test_a_column_that_turns_out_to_be_words_keeps_its_cells_as_they_were(tmp_path):
    (tmp_path / "t.csv").write_text("name,size,late\n007,1,01\n8.0,2,2\nbond,3,x\n009,4,y\n")
    assert columns(tmp_path / "t.csv") == [["007", "8.0", "bond", "009"], [1, 2, 3, 4], ["01", "2", "x", "y"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a;b\n0,5;1\n", [[0.5], [1]]),
        (b"sep=;\na;b\n1;2\n", [[1], [2]]),
        (b'a,b\n"0,5",1\n', [["0,5"], [1]]),
        ("\ufeffa\tb\r\n1\t2\r\n".encode(), [[1], [2]]),
        ("a,größe\r\n1,é\r\n".encode("utf-16"), [[1], ["é"]]),
        (b",a\n0,7\n1,8\n", [[7, 8]]),
        (b",a\n1,7\n2,8\n", [[1, 2], [7, 8]]),
        (b"1,2\n3,\n", [[1, 3], [2, None]]),
        (b"a,b\n", [[], []]),
    ],
)
def test_dialects(tmp_path, content, expected):
    (tmp_path / "t.csv").write_bytes(content)
    found = [[None if cell != cell else cell for cell in column] for column in columns(tmp_path / "t.csv")]
    assert found == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"1,2\n3,x\n", r"t\.csv, line 2, column 2: 'x' is not a number"),
        ("t.csv", b"a,b\n1\n", "the header names 2 columns but rows have 1"),
        ("t.csv", b"a,b\n1,2\n1\n", "line 3: expected 2 columns as in the first row, got 1"),
        ("t.csv", b"a" + b"," * 70_000, "has 70001 columns; at most 65536 are read"),
        ("t.csv", b"\xff\x00", "is not a CSV text file: .*; save it as CSV, UTF-8"),
        ("t.xlsx", b"PK", r"tables are read from \.csv, .* files; save the sheet as CSV"),
        ("t.parquet", b"PAR1", "damaged or no parquet file|needs? the package pyarrow"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / name)
    with pytest.raises(ValueError, match=r"no file .*nowhere\.csv"):
        read_table(tmp_path / "nowhere.csv")


def test_parquet(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {
            "file": ["a.png", "b.png", None],
            "hue": arrow.array(["red", None, "red"]).dictionary_encode(),
            "count": arrow.array([1, None, 3], arrow.int32()),
            "round": [True, False, None],
            "image": [{"bytes": b"x"}] * 3,
            "__index_level_0__": [7, 8, 9],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert read.names == ("file", "hue", "count", "round")
    assert [column.tolist() for column in (read.columns[0], read.columns[1], read.columns[3])] == [
        ["a.png", "b.png", None],
        ["red", None, "red"],
        ["True", "False", None],
    ]
    np.testing.assert_array_equal(read.columns[2], [1, np.nan, 3])
    assert read.place(2) == f"{tmp_path / 't.parquet'}, row 3"
    parquet.write_table(table.select(["image"]), tmp_path / "pictures.parquet")
    with pytest.raises(ValueError, match="has no columns of numbers or texts; it has image"):
        read_table(tmp_path / "pictures.parquet")


def test_without_the_package_parquet_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"parquet files need the package pyarrow: pip install 'contrafact\[parq"):
        parquet_package()


def test_what_is_no_text_is_said(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\0\1\2" * 9)
    with pytest.raises(ValueError, match=r"a.csv is not a CSV text file: it is no file known here \(00 01 02"):
        read_table(tmp_path / "a.csv")
