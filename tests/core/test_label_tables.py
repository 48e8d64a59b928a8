"""Annotations from tables of one's own: names of files, words, numbers, holes, and what cannot be used."""

import numpy as np
import pytest
import torch

from contrafact.core.few_labels import choose_labels
from contrafact.core.label_kinds import check_labels
from contrafact.core.memory import MemoryImages
from tests.core.foreign_tables import ForeignTable


class Pictures(MemoryImages):
    """Black pictures in files of given names."""

    name = "images"
    source = "flat"

    def __init__(self, names):
        super().__init__(torch.zeros(len(names), 1, 8, 8))
        self.name, self._names = "images", tuple(names)

    @property
    def file_names(self):
        return self._names


@pytest.fixture
def flat():
    return Pictures([f"room_{i:03}.png" for i in range(12)])


def written(folder, text, name="labels.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_words_numbers_holes_and_amounts(flat, tmp_path):
    rows = [f"room_{i:03}.png,{'cube' if i % 2 else 'ball'},{'' if i % 3 == 0 else i % 3},{i / 4}" for i in range(8)]
    chosen = choose_labels(flat, written(tmp_path, "file,shape,hue,tilt\n" + "\n".join(rows[::-1])))
    assert chosen.indices.tolist() == list(range(8))
    assert chosen.names == ("shape", "hue", "tilt")
    assert chosen.sizes == (2, 2, 10)
    assert chosen.value_names[:2] == (("ball", "cube"), ("1", "2"))
    assert chosen.values[:, :2].tolist() == [[i % 2, i % 3 - 1] for i in range(8)]
    assert chosen.continuous == ("tilt",)
    np.testing.assert_allclose(chosen.places[:, 2], np.arange(8) / 7 * 9)
    assert chosen.missing() == {"hue": 3}
    assert chosen.describe() | {"fingerprint": ""} == {
        "number": 8,
        "factors": ["shape", "hue", "tilt"],
        "chosen": "labels.csv",
        "own": True,
        "continuous": ["tilt"],
        "missing": {"hue": 3},
        "fingerprint": "",
    }


def test_what_is_saved_is_read_again(flat, tmp_path):
    table = {"shape": ["a", None, "b", "a"] * 3, "size": [0.5, np.nan, 2.25, 8.0] * 3, "n": [3, -1, 7, 7] * 3}
    chosen = choose_labels(flat, table)
    assert chosen.indices.tolist() == [i for i in range(12) if i % 4 != 1]
    chosen.save(tmp_path / "again.csv")
    again = choose_labels(flat, tmp_path / "again.csv")
    assert again.value_names == chosen.value_names
    assert again.describe()["fingerprint"] == chosen.describe()["fingerprint"]
    np.testing.assert_array_equal(again.places, chosen.places)


@pytest.mark.parametrize(
    "cell", ["cats/a.png", "a.png", "a", "cats\\a.png", "./cats/a.png", "a.jpg", "/data/photos/cats/a.png", "cats/a"]
)
def test_a_picture_is_found_by_any_name_that_is_its_own(cell, tmp_path):
    data = Pictures(["cats/a.png", "cats/b.png", "dogs/b.png", "dogs/c.png"])
    text = f"Image,kind\n{cell},x\ncats/b.png,y\ndogs/b.png,y\n"
    assert choose_labels(data, written(tmp_path, text)).indices.tolist() == [0, 1, 2]


def test_names_of_several_pictures_or_of_none(tmp_path, flat):
    data = Pictures(["cats/a.png", "cats/b.png", "dogs/b.png"])
    with pytest.raises(ValueError, match=r"line 3: several pictures are called 'b\.png'; .* such as cats/b\.png"):
        choose_labels(data, written(tmp_path, "file,kind\ncats/a.png,x\nb.png,y\n"))
    rows = "".join(f"x{i}.png,{i % 2}\n" for i in range(30))
    with pytest.raises(ValueError, match=r"30 of 30 rows name no picture of flat: 'x0\.png', .*'x9\.png' and 20 more;"):
        choose_labels(flat, written(tmp_path, "file,kind\n" + rows))
    with pytest.warns(UserWarning, match="30 of 32 rows name no picture of flat"):
        some = choose_labels(flat, written(tmp_path, "file,kind\nroom_001,1\nroom_002,0\n" + rows))
    assert some.indices.tolist() == [1, 2]


def test_numbers_that_are_names_keep_their_zeros(tmp_path):
    data = Pictures(["000001.jpg", "000002.jpg"])
    assert choose_labels(data, written(tmp_path, "image_id,a\n000002,-1\n000001,1\n")).values.tolist() == [[1], [0]]


def test_columns_of_no_use_are_left_out_and_named(flat, tmp_path):
    rows = "".join(f"{i},{i % 2},1,note {i}\n" for i in range(12))
    path = written(tmp_path, "index,kind,same,note\n" + rows)
    with pytest.warns(UserWarning, match=r"left out columns .*: 'same' is 1 wherever .*; 'note' has a word of its own"):
        assert choose_labels(flat, path).names == ("kind",)
    assert choose_labels(flat, path, factors=["kind"]).names == ("kind",)
    with pytest.raises(ValueError, match=r"'same' is 1 wherever it is known.*; leave it out, --factors kind"):
        choose_labels(flat, path, factors=["kind", "same"])
    with pytest.raises(ValueError, match=r"unknown column of .*labels\.csv 'knd'; did you mean 'kind'"):
        choose_labels(flat, path, factors=["knd"])


def test_what_people_have_in_python(flat):
    pandas = pytest.importorskip("pandas")
    values = [0, 1, 2, -1] * 3
    expected = [i for i in range(12) if i % 4 != 3]
    by_name = pandas.DataFrame({"kind": [0, 1, 2, None] * 3}, index=flat.file_names)
    inputs = {
        "list": values,
        "array": np.array(values),
        "tensor": torch.tensor(values),
        "floats": np.array([0.0, 1, 2, np.nan] * 3),
        "words": np.array(["a", "b", "c", None] * 3, dtype=object),
        "dictionary": {"index": expected, "kind": [values[i] for i in expected]},
        "masked": np.ma.masked_equal(values, -1),
        "frame": by_name.iloc[::-1],
        "nullable": by_name.astype("Int64"),
        "category": by_name.astype("category"),
        "series": by_name["kind"].iloc[::-1],
        "other library": ForeignTable(index=range(12), kind=[0, 1, 2, None] * 3),
    }
    for called, given in inputs.items():
        chosen = choose_labels(flat, given)
        assert chosen.indices.tolist() == expected, called
        assert chosen.values[:, 0].tolist() == [values[i] for i in expected], called
    two = choose_labels(flat, pandas.DataFrame({"sign": [-1, 1] * 6}))  # −1 of a table is a value
    assert two.value_names == (("-1", "1"),)
    with pytest.raises(ValueError, match=r"labels: expected a column 'file' or 'index' .*, or a row for each of"):
        choose_labels(flat, [0, 1, 2])
    with pytest.raises(ValueError, match="labels: expected columns of one length, got a 2, b 3"):
        choose_labels(flat, {"a": [0, 1], "b": [0, 1, 2]})
    with pytest.raises(ValueError, match=r"labels: expected an array \(N,\) or \(N, K\), got shape \(2, 2, 2\)"):
        choose_labels(flat, np.zeros((2, 2, 2)))


def test_classes_are_named_or_numbered(tmp_path):
    data = MemoryImages(torch.zeros(4, 1, 8, 8), [0, 1, 1, 0])
    data.class_names = ("cat", "dog")
    assert choose_labels(data, written(tmp_path, "index,class\n1,dog\n0,cat\n3,0\n")).values[:, 0].tolist() == [0, 1, 0]


def test_methods_say_which_kinds_they_use(flat):
    mixed = choose_labels(flat, {"hue": [0, 1] * 6, "size": [0, 1, -1] * 4, "tilt": np.arange(12) / 7})
    check_labels("zerodim", ("several", "missing", "continuous"), mixed)
    with pytest.raises(
        ValueError,
        match=r"vae learns values such as classes, and 'tilt' holds 12 different numbers from 0 to 1\.57143: leave it "
        r"out with --factors hue,size, or write a word for each range",
    ):
        check_labels("vae", ("several", "missing"), mixed)
    holes = choose_labels(flat, {"hue": [0, 1] * 6, "size": [0, 1, -1] * 4})
    with pytest.raises(ValueError, match=r"vae needs every factor .*, and 'size' is unknown of 4 of 12: fill it"):
        check_labels("vae", ("several",), holes)
    with pytest.raises(ValueError, match="expected labels of one factor, got hue, size; choose one"):
        check_labels("cd_gan", (), holes)
