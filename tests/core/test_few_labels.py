"""Few labels: how many, of which images, and that they can be written down and read again."""

import numpy as np
import pytest
import torch

from contrafact.core.dataset import FewLabels, ImageDataset, check_indices
from contrafact.core.few_labels import choose_labels
from contrafact.data.load import load_dataset


class Labelled(ImageDataset):
    """Black images of given classes."""

    name = "toy"
    image_shape = (1, 8, 8)
    source = "made up"

    def __init__(self, labels, class_names=()):
        self._labels, self.class_names = np.asarray(labels, dtype=np.int64), tuple(class_names)

    def __len__(self):
        return len(self._labels)

    def batch(self, indices):
        return torch.zeros(len(check_indices(self, indices)), *self.image_shape)

    @property
    def labels(self):
        return self._labels


@pytest.fixture
def toy():
    return Labelled(np.repeat([0, 1, 2], [50, 30, 20]), ("a", "b", "c"))


@pytest.mark.parametrize(("amount", "number"), [(12, 12), ("12", 12), (0.13, 13), ("0.13", 13), (0, 0), (1.0, 100)])
def test_a_number_or_a_share_of_images_is_annotated(toy, amount, number):
    if number == 100:
        with pytest.raises(ValueError, match="labels of value 2 asked for, but toy has 20"):
            choose_labels(toy, amount)
        return
    chosen = choose_labels(toy, amount)
    assert len(chosen) == number
    assert (chosen.classes == toy.labels[chosen.indices]).all()
    if number:
        counts = np.bincount(chosen.classes, minlength=3)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides_which(toy):
    first, again, other = (choose_labels(toy, 12, seed=seed).indices for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_factors_of_interest_are_annotated_unless_others_are_named():
    data = load_dataset("shapes3d", size=16, labels=100)
    assert data.few_labels.names == ("floor hue", "wall hue", "object hue")
    assert (data.few_labels.values == data.factors_of(data.few_labels.indices)[:, :3]).all()
    shape = load_dataset("dsprites", labels=0.0001, factors=["shape"]).few_labels
    assert shape.names == ("shape",)
    assert len(shape) == 74
    assert np.bincount(shape.classes).tolist() == [25, 25, 24] or np.ptp(np.bincount(shape.classes)) == 1


def test_one_name_alone_is_one_factor():
    one, listed = (load_dataset("shapes3d", size=16, labels=40, factors=given) for given in ("shape", ["shape"]))
    assert one.few_labels.names == listed.few_labels.names == ("shape",)
    assert (one.few_labels.indices == listed.few_labels.indices).all()


def test_a_file_of_them_is_read_again(toy, tmp_path):
    chosen = choose_labels(toy, 9, seed=4)
    chosen.save(tmp_path / "labels.csv")
    again = choose_labels(toy, tmp_path / "labels.csv")
    assert (again.indices == chosen.indices).all()
    assert (again.values == chosen.values).all()
    assert again.origin == str(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a first row of names, file or index and a column per factor"),
        ("1,2\n", "expected a first row of names"),
        ("index,class\n", "a first row of names and nothing below it"),
        ("index\n1\n", "has no column beside index; expected one per factor"),
        (
            "kind,class\n1,2\n",
            "expected a column 'index' that says which image each row is of; got the columns kind, c",
        ),
        ("file,class\na.png,2\n", "those of toy have no file names; give a column 'index' with their numbers, from 0"),
        ("index,kind\n1,2\n3,2\n", "'kind' is 2 wherever it is known, so there is nothing to tell apart"),
        ("index,kind\n1,\n3,\n", "'kind' is empty"),
        ("index,kind\n1,2\n3,1e999\n", "line 3: 'kind' is infinite; write a number, or leave the cell empty"),
        ("index,class\n1,2\n3,-inf\n", "line 3: 'class' is infinite"),
        ("index,kind,kind\n1,2,3\n", "has several columns called 'kind'"),
        ("index,class\n1,cat\n", "line 2: factor 'class' of toy takes values 0 to 2, or a, b, c; got 'cat'"),
        ("index,class\n1,7\n", "line 2: factor 'class' of toy takes values 0 to 2, or a, b, c; got '7'"),
        ("index,class\n1,2\n4,1\n1,2\n", r"line 4: image 1 is annotated twice \(before in line 2\); give every"),
        (f"index,class\n{10**30},2\n", "line 2: index must be an image's number, from 0 to 99; got '1e"),
        ("index,class\n1.5,2\n", r"line 2: index must be an image's number, from 0 to 99; got '1\.5'"),
        ("index,class\n,2\n", "line 2: index must be an image's number, from 0 to 99; got nothing"),
        ("index,class\n1\n", "the header names 2 columns but rows have 1"),
        (f"index,class\n{'9' * 200_000},2\n", "is not a CSV text file: field larger than field limit"),
        ("index,class\n" + "1,2\n" * 200, r"line 3: image 1 is annotated twice .*, and 198 more are"),
        ("index,class\n1,\0\n", "is not a CSV text file|line 2: factor 'class'"),
        ("index,class\n100,2\n", "line 2: index must be an image's number, from 0 to 99; got '100'"),
    ],
)
def test_a_damaged_file_is_refused(toy, tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"labels\.csv.*({message})"):
        choose_labels(toy, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("data", "amount", "message"),
    [
        (Labelled([0, 0, 1, 1], "ab"), 1, "1 labels are fewer than the 2 values of 'class'"),
        (Labelled([0, 0, 2, 2], "abc"), 3, "toy has no image of class 'b'"),
        (Labelled([0, 0, 0], "a"), 2, "toy has one class only"),
        (Labelled([0, 1], "ab"), 3, "labels must be a number of images from 0 to 2"),
        (Labelled([0, 1], "ab"), -1, "labels must be a number"),
        (Labelled([0, 1], "ab"), float("nan"), "labels must be a number of images from 0 to 2, .*; got nan"),
        (Labelled([0, 1], "ab"), float("inf"), "labels must be a number of images from 0 to 2, .*; got inf"),
        (Labelled([0, 1], "ab"), "nowhere.csv", "nowhere.csv is neither a number, a share, nor a file"),
    ],
)
def test_what_cannot_be_annotated_is_said(data, amount, message):
    with pytest.raises(ValueError, match=message):
        choose_labels(data, amount)


def test_unknown_factors_and_missing_values_are_named():
    data = load_dataset("dsprites")
    with pytest.raises(ValueError, match="unknown factor of dsprites 'shap'; did you mean 'shape'"):
        choose_labels(data, 10, factors=["shap"])
    with pytest.raises(ValueError, match="30 labels are fewer than the 32 values of 'position x'"):
        choose_labels(data, 30)
    with pytest.warns(UserWarning, match="values of 'position x' have no label among the 32"):
        choose_labels(data, 32)
    with pytest.raises(ValueError, match="labels= says how many"):
        load_dataset("dsprites", factors=["shape"])


def test_classes_of_several_factors_are_refused():
    few = FewLabels(np.array([1]), np.array([[0, 1]]), ("hue", "size"), (2, 2))
    with pytest.raises(ValueError, match="expected labels of one factor, got hue, size"):
        _ = few.classes
