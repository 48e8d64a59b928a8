import io
import zipfile

import numpy as np
import pytest
import torch

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.inputs import read_inputs
from contrafact.evaluation.tables import read_columns, read_files, read_pair_of_codes
from contrafact.metrics import evaluate_files, mig

FACTORS = draw_factors(120)
CODES = noisy_codes(FACTORS)


def read_matrix(path, keys):
    """Without the column that names rows, as codes are read."""
    found = read_columns(path, keys, words=False)
    found = found.without([name for name in found.names or () if found.columns[found.names.index(name)].words])
    return found.matrix(), found.names


def write_csv(path, values, header=None):
    lines = [",".join(map(repr, row)) for row in values.tolist()]
    path.write_text("\n".join([*([",".join(header)] if header else []), *lines]) + "\n")
    return path


def test_every_format_gives_the_same_score(tmp_path):
    np.save(tmp_path / "c.npy", CODES)
    np.savez(tmp_path / "c.npz", codes=CODES, other=FACTORS)
    np.savez(tmp_path / "f.npz", whatever=FACTORS)
    write_csv(tmp_path / "c.csv", CODES)
    write_csv(tmp_path / "f.csv", FACTORS, ["shape", "hue", "size"])
    expected = mig(CODES, FACTORS).score
    for codes, factors in (("c.npy", "f.csv"), ("c.npz", "f.npz"), ("c.csv", "f.csv")):
        result = evaluate_files(tmp_path / codes, tmp_path / factors, metrics="mig")
        assert result.results["mig"].score == expected
    assert evaluate_files(tmp_path / "c.csv", tmp_path / "f.csv", metrics="mig").factor_names == (
        "shape",
        "hue",
        "size",
    )


def test_one_npz_may_hold_everything(tmp_path):
    np.savez(
        tmp_path / "all.npz", codes_train=CODES, factors_train=FACTORS, codes_test=CODES[:40], factors_test=FACTORS[:40]
    )
    result = evaluate_files(tmp_path / "all.npz", metrics="dci")
    assert (result.results["dci"].num_train, result.results["dci"].num_test) == (120, 40)


def test_blank_lines_and_byte_order_marks_are_no_rows(tmp_path):
    (tmp_path / "c.csv").write_bytes("\ufeff1.5,2\n\n3,-4e1\n\n".encode())
    values, names = read_matrix(tmp_path / "c.csv", ("codes",))
    np.testing.assert_array_equal(values, [[1.5, 2.0], [3.0, -40.0]])
    assert names is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,x\n", r"line 2, column 2: 'x' is not a number"),
        ("a,b\n1,2\n3\n", r"line 3: expected 2 columns as in the first row, got 1"),
        ("a,b,c\n1,2\n", r"the header names 3 columns but rows have 2"),
        ("a,b\n", "holds no rows of numbers"),
        ("1,2\n" + "x" * 100 + ",2\n", r"line 2, column 1: 'x{60}' is not a number"),
        ("1" * 200_000, "is not a CSV text file: field larger than field limit"),
        ("1," * 2_200_000, "is not a CSV text file: a line of more than 4194304 characters"),
        ("", "holds no rows of numbers"),
    ],
)
def test_bad_csv_is_named_by_line_and_column(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_matrix(tmp_path / "c.csv", ("codes",))


def test_other_files_that_do_not_parse(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*missing\.npy"):
        evaluate_files(tmp_path / "missing.npy")
    (tmp_path / "c.mat").write_text("1 2")
    with pytest.raises(ValueError, match=r"codes and factors are read from \.npy, \.npz, \.pt, .* files"):
        evaluate_files(tmp_path / "c.mat")
    for name in ("c.npy", "c.npz"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not really")
        with pytest.raises(ValueError, match=r"is not a readable \.np[yz] file of numbers"):
            evaluate_files(tmp_path / name)
    np.save(tmp_path / "whole.npy", CODES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.npy is not a readable \.npy file"):
        read_matrix(tmp_path / "cut.npy", ("codes",))
    (tmp_path / "c.csv").write_bytes(b"\xff\x00\x80")
    with pytest.raises(ValueError, match="is not a CSV text file"):
        read_matrix(tmp_path / "c.csv", ("codes",))


def test_tables_that_claim_more_than_they_hold(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 8)})
    (tmp_path / "c.npy").write_bytes(header.getvalue())
    with pytest.raises(MemoryError):  # what a reader meets that trusts the header
        np.load(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"c\.npy is not a readable \.npy file .* must hold \d+ bytes .*, found 0"):
        evaluate_files(tmp_path / "c.npy")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.write(tmp_path / "c.npy", "codes.npy")
    with pytest.raises(ValueError, match=r"array 'codes' cannot be read: .* is damaged \(it ends in row 0"):
        evaluate_files(tmp_path / "c.npz")


def test_arrays_in_the_order_of_columns(tmp_path):
    for save, name in ((np.save, "c.npy"), (np.savez_compressed, "c.npz")):
        save(tmp_path / name, np.asfortranarray(CODES))
        assert np.array_equal(read_matrix(tmp_path / name, ("codes",))[0], CODES)


def test_pickles_are_never_run(tmp_path):
    np.save(tmp_path / "c.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"c\.npy is not a readable \.npy file"):
        evaluate_files(tmp_path / "c.npy")
    np.savez(tmp_path / "c.npz", codes=np.array([[object()]]))
    with pytest.raises(ValueError, match="array 'codes' cannot be read"):
        evaluate_files(tmp_path / "c.npz")


def test_arrays_that_cannot_be_told_apart_or_are_no_matrix(tmp_path):
    np.savez(tmp_path / "c.npz", a=CODES, b=CODES)
    with pytest.raises(ValueError, match=r"holds a, b; expected an array called codes or codes_train, or a single one"):
        evaluate_files(tmp_path / "c.npz")
    np.save(tmp_path / "c.npy", CODES[:, :, None])
    with pytest.raises(
        ValueError, match=r"must hold a matrix of numbers, one row per image; got float64 of shape \(120, \d, 1\)"
    ):
        evaluate_files(tmp_path / "c.npy")


def test_tables_as_people_write_them(tmp_path):
    names = ["shape", "hue", "size"]
    expected = read_matrix(write_csv(tmp_path / "f.csv", FACTORS, names), ())
    rows = [names, *FACTORS.tolist()]
    written = {
        "semicolons.csv": ("\n".join(";".join(map(str, row)) for row in rows), "utf-8-sig"),
        "excel.txt": ("\r\n".join("\t".join(map(str, row)) for row in rows), "utf-16"),
        "files.csv": (
            "\n".join(f"{'file' if i == 0 else f'{i}.png'},{','.join(map(str, row))}" for i, row in enumerate(rows)),
            "utf-8",
        ),
        "pandas.csv": (
            "\n".join(f"{'' if i == 0 else i - 1},{','.join(map(str, row))}" for i, row in enumerate(rows)),
            "utf-8",
        ),
    }
    for name, (text, encoding) in written.items():
        (tmp_path / name).write_text(text, encoding=encoding)
        values, found = read_matrix(tmp_path / name, ())
        assert found == tuple(names), name
        np.testing.assert_array_equal(values, expected[0])


def test_words_are_numbered_alike_in_both_files(tmp_path):
    (tmp_path / "f.csv").write_text("hue,size\nred,1\nblue,2\n,3\n")
    (tmp_path / "t.csv").write_text("hue,size\nred,1\ngreen,2\n")
    for name, rows in (("c", 3), ("d", 2)):
        write_csv(tmp_path / f"{name}.csv", CODES[:rows])
    found, ids = read_files(*(tmp_path / f"{name}.csv" for name in "cfdt"))
    given = read_inputs(*(found[role] for role in ("codes", "factors", "codes_test", "factors_test")), identifier=ids)
    np.testing.assert_array_equal(given.factors, [[2, 1], [0, 2]])
    np.testing.assert_array_equal(given.factors_test, [[2, 1], [1, 2]])
    assert given.factor_names == ("hue", "size")
    assert "1 of 3 rows of codes and factors were left out" in given.notes[1]
    with pytest.raises(ValueError, match=r"f\.csv, line 2, column 1 \(hue\): 'red' is not a number"):
        read_matrix(tmp_path / "f.csv", ("codes",))


def test_ids_may_stand_in_any_column(tmp_path):
    files = [f"{row}.png" for row in range(120)]
    codes = [
        ",".join([*map(repr, row[:2]), file, repr(row[2])]) for row, file in zip(CODES.tolist(), files, strict=True)
    ]
    factors = [",".join([*map(str, row), file]) for row, file in zip(FACTORS.tolist(), files, strict=True)]
    (tmp_path / "c.csv").write_text("\n".join(["a,b,seen,c", *codes]))
    (tmp_path / "f.csv").write_text("\n".join(["shape,hue,size,seen", *factors[::-1]]))
    found = evaluate_files(tmp_path / "c.csv", tmp_path / "f.csv", metrics="mig", id="seen")
    assert found.code_names == ("a", "b", "c")
    assert found.scores()["mig.score"] == pytest.approx(mig(CODES[:, :3], FACTORS).score)


def test_tensors_of_torch_are_read_and_never_run(tmp_path):
    torch.save(torch.tensor(CODES), tmp_path / "c.pt")
    torch.save({"codes": torch.tensor(CODES), "factors": torch.tensor(FACTORS), "epoch": 3}, tmp_path / "all.pth")
    np.save(tmp_path / "f.npy", FACTORS)
    expected = mig(CODES, FACTORS).score
    assert evaluate_files(tmp_path / "c.pt", tmp_path / "f.npy", metrics="mig").scores()["mig.score"] == expected
    assert evaluate_files(tmp_path / "all.pth", metrics="mig").scores()["mig.score"] == expected
    torch.save({"a": CODES, "b": FACTORS}, tmp_path / "two.pt")
    with pytest.raises(ValueError, match="holds a, b; expected a tensor called codes or codes_train, or a single one"):
        evaluate_files(tmp_path / "two.pt")
    torch.save(["x"], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds a list; expected a tensor, or several by name"):
        evaluate_files(tmp_path / "list.pt")


class Stdin(io.BytesIO):
    @property
    def buffer(self):
        return self


def test_whatever_comes_in_on_stdin(tmp_path, monkeypatch):
    np.save(tmp_path / "f.npy", FACTORS)
    np.save(tmp_path / "c.npy", CODES)
    np.savez(tmp_path / "c.npz", codes=CODES)
    write_csv(tmp_path / "c.csv", CODES, [f"z{j}" for j in range(CODES.shape[1])])
    for name in ("c.npy", "c.npz", "c.csv"):
        monkeypatch.setattr("sys.stdin", Stdin((tmp_path / name).read_bytes()))
        result = evaluate_files("-", tmp_path / "f.npy", metrics="mig")
        assert result.scores()["mig.score"] == mig(CODES, FACTORS).score
    assert result.code_names[:2] == ("z0", "z1")
    monkeypatch.setattr("sys.stdin", Stdin(b""))
    with pytest.raises(ValueError, match="nothing came in on stdin"):
        evaluate_files("-", tmp_path / "f.npy")
    with pytest.raises(ValueError, match=r"only one of the files can come in on stdin \(-\)"):
        evaluate_files("-", "-")


def write_named(path, values, names, rows, key="file"):
    lines = [",".join([key, *names]), *(",".join([f"{i}.png", *map(repr, values[i].tolist())]) for i in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_matched_by_the_column_that_names_images(tmp_path):
    order, expected = np.random.default_rng(0).permutation(120), mig(CODES, FACTORS).score
    names = [f"z{j}" for j in range(CODES.shape[1])]
    codes = write_named(tmp_path / "c.csv", CODES, names, range(120))
    factors = write_named(tmp_path / "f.csv", FACTORS, ["shape", "hue", "size"], order)
    result = evaluate_files(codes, factors, metrics="mig")
    assert result.scores()["mig.score"] == expected
    assert (result.code_names, result.factor_names) == (tuple(names), ("shape", "hue", "size"))
    # Called otherwise, the column has to be named; where the images differ, rows are taken as they come.
    other = write_named(tmp_path / "o.csv", CODES, names, range(120), key="photo")
    with pytest.raises(ValueError, match=r"column 1 \(photo\): '0\.png' is not a number; a column .* named by --id"):
        evaluate_files(other, factors, metrics="mig")
    turned = write_named(tmp_path / "g.csv", FACTORS, ["shape", "hue", "size"], order, key="photo")
    assert evaluate_files(other, turned, metrics="mig", id="photo").scores()["mig.score"] == expected
    np.save(tmp_path / "f.npy", FACTORS)
    assert evaluate_files(codes, tmp_path / "f.npy", metrics="mig").scores()["mig.score"] == expected
    first, second = read_pair_of_codes((codes, None), (codes, None), factors)
    np.testing.assert_array_equal(first.factors, FACTORS)
    np.testing.assert_array_equal(second.codes, CODES)
    with pytest.raises(ValueError, match="name different images, or in another order"):
        read_pair_of_codes((codes, None), (write_named(tmp_path / "d.csv", CODES, names, order), None), factors)
    with pytest.raises(ValueError, match="--compare needs --factors"):
        read_pair_of_codes((codes, None), (codes, None), None)


def test_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "c.csv").write_text("a,a\n1,2\n")
    with pytest.raises(ValueError, match="has two columns called 'a'"):
        evaluate_files(tmp_path / "c.csv")
