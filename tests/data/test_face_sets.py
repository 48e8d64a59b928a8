"""CelebA, CelebA-HQ, AFHQ and ImageNet-100 in their published layouts, and what is said when a part is missing."""

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.few_labels import choose_labels
from contrafact.data.afhq import AFHQ
from contrafact.data.celeba import CelebA
from contrafact.data.celeba_hq import CelebAHQ
from contrafact.data.imagenet100 import ImageNet100
from contrafact.data.load import load_dataset

from .tiny_files import write_afhq, write_celeba, write_celeba_hq, write_imagenet100


@pytest.fixture
def celeba(tmp_path, monkeypatch, own_cache):
    folder = tmp_path / "celeba"
    folder.mkdir()
    write_celeba(folder, monkeypatch)
    return folder


@pytest.fixture
def masked(tmp_path, monkeypatch, own_cache):
    folder = tmp_path / "CelebAMask-HQ"
    folder.mkdir()
    write_celeba_hq(folder, monkeypatch)
    return folder


@pytest.fixture
def afhq(tmp_path, monkeypatch, own_cache):
    folder = tmp_path / "afhq"
    folder.mkdir()
    write_afhq(folder, monkeypatch)
    return folder


def test_celebas_attributes_are_factors_and_its_people_classes(celeba):
    dataset = CelebA(celeba)
    assert dataset.factor_names == ("Smiling", "Male")
    assert dataset.factors_of(range(6)).tolist() == [[0, 0], [1, 0], [0, 0], [1, 1], [0, 1], [1, 1]]
    assert [dataset.class_names[label] for label in dataset.labels] == ["8", "5", "8", "9", "9", "2"]
    assert dataset.class_names == ("2", "5", "8", "9")


def test_parts_are_the_published_partition(celeba):
    assert [len(CelebA(celeba, split)) for split in ("train", "valid", "test", "all")] == [3, 1, 2, 6]
    train, whole = CelebA(celeba, "train"), CelebA(celeba)
    assert torch.equal(train.batch([2]), whole.batch([2]))
    assert torch.equal(CelebA(celeba, "test").batch([0]), whole.batch([4]))
    assert CelebA(celeba, "test").factors_of([1]).tolist() == [[1, 1]]


def test_celeba_may_lack_identities_and_keep_annotations_in_folders(celeba):
    (celeba / "Anno").mkdir()
    (celeba / "list_attr_celeba.txt").rename(celeba / "Anno" / "list_attr_celeba.txt")
    (celeba / "identity_CelebA.txt").unlink()
    dataset = load_dataset(celeba / "img_align_celeba")
    assert isinstance(dataset, CelebA)
    assert dataset.labels is None
    assert choose_labels(dataset, 4, factors=["Male"]).values[:, 0].tolist().count(1) == 2


def test_annotations_of_pictures_that_are_missing_name_the_first(celeba):
    (celeba / "img_align_celeba" / "000005.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"celeba: .*list_attr_celeba.txt lists 1 pictures that .* does not hold, the first 0"
    ):
        CelebA(celeba)
    lines = (celeba / "list_attr_celeba.txt").read_text().splitlines()
    (celeba / "list_attr_celeba.txt").write_text("\n".join(["5", lines[1], *lines[2:6], lines[7]]))
    with pytest.raises(
        ValueError, match=r"identity_CelebA.txt lists 1 pictures that .* the first 000005.jpg; get the rest"
    ):
        CelebA(celeba)


def test_a_picture_without_an_identity_is_named(celeba):
    lines = (celeba / "identity_CelebA.txt").read_text().splitlines()
    (celeba / "identity_CelebA.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(ValueError, match=r"identity_CelebA.txt gives no identity of 1 pictures, as 000001.jpg"):
        CelebA(celeba)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "7\nSmiling Male\n" + "000001.jpg 1 1\n" * 6,
            r"says that it lists 7 pictures, and lists 6; it may be cut short: .* or correct the first line",
        ),
        ("2\nSmiling Male\n" + "000001.jpg 1 1\n" * 2, "line 4: 000001.jpg is listed a second time"),
        ("000001.jpg 1 1\n000002.jpg 1 1\n", "must begin with the number of pictures and a line of attribute names"),
        ("1\nSmiling Male\n000001.jpg 1 nan\n", "line 3: expected a picture's name and 2 whole numbers"),
        (f"1\nSmiling Male\n000001.jpg 1 {10**30}\n", "line 3: expected a picture's name and 2 whole numbers"),
        ("\x00\xff\xfe", "must begin with the number of pictures"),
        ("²\nSmiling Male\n", "must begin with the number of pictures"),
        ("", "must begin with the number of pictures"),
        (
            "1\nSmiling Male\n000001.jpg 1\n",
            "line 3: expected a picture's name and 2 whole numbers, found '000001.jpg 1'",
        ),
        ("1\nSmiling Male\n000001.jpg 1 yes\n", "line 3: expected a picture's name and 2 whole numbers"),
        ("1\nSmiling Male\n000001.jpg 1 0\n", "line 3: Male must be -1 or 1, found 0"),
    ],
)
def test_damaged_attributes_are_named_by_line(celeba, text, message):
    (celeba / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        CelebA(celeba)


VALUES = [[0, 0], [1, 0], [0, 0], [1, 1], [0, 1], [1, 1]]


def as_tables(folder):
    """Kaggle's CSV tables instead of the published files."""
    for name, head in (("list_attr_celeba", None), ("list_eval_partition", "image_id,partition")):
        rows = [",".join(line.split()) for line in (folder / f"{name}.txt").read_text().splitlines()]
        rows = [head, *rows] if head else [f"image_id,{rows[1]}", *rows[2:]]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
        (folder / f"{name}.txt").unlink()
    (folder / "identity_CelebA.txt").unlink()


def nested(folder):
    (folder / "img_align_celeba").rename(folder / "pictures")
    (folder / "img_align_celeba").mkdir()
    (folder / "pictures").rename(folder / "img_align_celeba" / "img_align_celeba")


def below(*places):
    def move(folder):
        for place in places:
            (folder / place).mkdir(parents=True)
        for file in [file for file in folder.iterdir() if file.name != places[0].partition("/")[0]]:
            pictures = file.name.startswith("img")
            home = next((place for place in places if ("Img" in place) == pictures), places[0])
            file.rename(folder / home / file.name)

    return move


def as_png(folder):
    for number, file in enumerate(sorted((folder / "img_align_celeba").iterdir())):
        Image.open(file).save(file.with_suffix(".png"))
        if number != 2:  # one stays beside its copy
            file.unlink()


def rewritten(**changes):
    def write(folder):
        for file in folder.glob("*.txt"):
            text = file.read_text()
            for old, new in (("\n", changes.get("end", "\n")), (".jpg ", f".jpg{changes.get('gap', ' ')}")):
                text = text.replace(old, new)
            file.write_bytes((changes.get("start", "") + text + changes.get("more", "")).encode())

    return write


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    "layout",
    [
        (),
        (below("celeba"),),
        (below("CelebA/Img", "CelebA/Anno"),),
        (nested, as_tables),
        (as_tables,),
        (as_tables, below("celeba")),
        (as_png,),
        (rewritten(end="\r\n"),),
        (rewritten(end="\r\n", start="\ufeff"),),
        (rewritten(gap="\t"),),
        (rewritten(more="\n \n"),),
    ],
    ids=["flat", "torchvision", "archive", "kaggle", "tables", "tables below", "png", "crlf", "bom", "tabs", "blank"],
)
def test_celeba_is_known_with_its_attributes_in_every_layout(celeba, layout, inside):
    expected = CelebA(celeba).batch(range(6))
    for change in layout:
        change(celeba)
    path = celeba
    if inside:  # the folder of pictures itself was named
        path = next(folder for folder in sorted(celeba.rglob("img_align_celeba"), reverse=True) if folder.is_dir())
    dataset = load_dataset(path)
    assert isinstance(dataset, CelebA)
    assert dataset.factor_names == ("Smiling", "Male")
    assert dataset.factors_of(range(6)).tolist() == VALUES
    torch.testing.assert_close(dataset.batch(range(6)), expected, atol=2 / 255, rtol=0)  # a JPEG decoded at half size
    part = load_dataset(path, split="test")
    assert part.factors_of(range(2)).tolist() == VALUES[4:]
    if (celeba / "identity_CelebA.txt").exists():
        assert [dataset.class_names[label] for label in dataset.labels] == list("858992")


def test_advice_names_options_that_there_are(celeba):
    (celeba / "img_align_celeba" / "000005.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"000005.jpg is an empty file. What to do: repair or remove them$"):
        CelebA(celeba).batch([0])
    Image.new("RGBA", (70, 70)).save(celeba / "img_align_celeba" / "000005.jpg", "PNG")
    with pytest.warns(UserWarning, match=r"1 of 6 pictures are see-through and were laid on #ffffff$"):
        CelebA(celeba).batch([0])


def test_a_celeba_folder_without_its_attributes_is_not_a_plain_folder(celeba):
    below("celeba")(celeba)
    (celeba / "celeba" / "list_attr_celeba.txt").unlink()
    with pytest.raises(ValueError, match=r"celeba: .*list_attr_celeba.txt does not exist; put the published"):
        load_dataset(celeba)


def test_a_table_of_attributes_begins_with_its_names(celeba):
    as_tables(celeba)
    table = celeba / "list_attr_celeba.csv"
    rows = table.read_text().splitlines()
    for text, message in (
        ("", r"must begin .*as .csv: begin with image_id and the names"),
        ("\n".join([rows[0], rows[1] + ",1"]), "line 2: expected a picture's name and 2 whole numbers"),
        ("\n".join([rows[0], rows[1].replace("-1", "0")]), "line 2: Smiling must be -1 or 1, found 0"),
        ("\n".join([*rows, "000009.jpg,1,1"]), r"lists 1 pictures that .* does not hold, the first 000009.jpg"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_dataset(celeba)


def test_celeba_hq_may_lie_in_a_folder_below(masked):
    dataset = load_dataset(masked.parent)
    assert isinstance(dataset, CelebAHQ)
    assert dataset.labels.tolist() == [0, 1, 0, 1]


def test_missing_celeba_files_are_named(celeba, tmp_path):
    with pytest.raises(ValueError, match=r"celeba: found none of img_align_celeba.*unpack CelebA's aligned pictures"):
        CelebA()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds none of the folders img_align_celeba"):
        CelebA(tmp_path / "empty")
    with pytest.raises(ValueError, match="split must be one of train, valid, test, all; got 'val'"):
        CelebA(celeba, "val")
    (celeba / "list_eval_partition.txt").unlink()
    with pytest.raises(ValueError, match=r"list_eval_partition.txt does not exist; put the published annotation file"):
        CelebA(celeba, "train")


def test_celeba_hq_has_gender_as_class_and_masks(masked):
    dataset = load_dataset(masked)
    assert isinstance(dataset, CelebAHQ)
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert [dataset.class_names[label] for label in dataset.labels[:2]] == ["female", "male"]
    assert dataset.factors_of([3]).tolist() == [[1, 1]]
    masks = dataset.masks([0, 1, 3])
    assert masks.shape == (3, 1, 64, 64)
    assert masks[0, 0, :32].min() == 1
    assert masks[0, 0, 32:].max() == 0
    assert masks[1].max() == 0  # no such file: no hair
    assert torch.equal(masks[2], masks[0])
    with pytest.raises(ValueError, match="unknown part of a face 'hairs'; did you mean 'hair'"):
        dataset.masks([0], "hairs")


def test_damaged_masks_are_named(masked):
    file = masked / "CelebAMask-HQ-mask-anno" / "0" / "00000_hair.png"
    dataset = CelebAHQ(masked)
    Image.new("L", (8, 9)).save(file)
    with pytest.raises(ValueError, match=r"00000_hair.png is 8 x 9, masks are 512 x 512"):
        dataset.masks([0])
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"celeba-hq: .*00000_hair.png is an empty file; unpack the masks again"):
        dataset.masks([0])


def test_celeba_hq_files_that_are_missing_are_named(masked, tmp_path):
    import shutil

    shutil.rmtree(masked / "CelebAMask-HQ-mask-anno")
    with pytest.raises(ValueError, match="does not exist; unpack CelebAMask-HQ's masks there"):
        CelebAHQ(masked).masks([0])
    (masked / "CelebA-HQ-img" / "2001.jpg").unlink()
    with pytest.raises(ValueError, match=r"lists 1 pictures that .* does not hold, the first 2001.jpg"):
        CelebAHQ(masked)
    listing = masked / "CelebAMask-HQ-attribute-anno.txt"
    listing.write_text("1\nYoung\n0.jpg 1\n")
    with pytest.raises(ValueError, match="has no attribute Male; found Young"):
        CelebAHQ(masked)
    with pytest.raises(ValueError, match=r"celeba-hq: .* has no folder CelebA-HQ-img"):
        CelebAHQ(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="celeba-hq: found none of CelebA-HQ-img"):
        CelebAHQ()


def test_afhqs_folders_are_classes_and_parts(afhq):
    dataset = AFHQ(afhq)
    assert (len(dataset), dataset.class_names) == (9, ("cat", "dog", "wild"))
    assert np.bincount(dataset.labels).tolist() == [3, 3, 3]
    train, test = AFHQ(afhq, "test").parts()
    assert (len(train), len(test)) == (9, 3)
    (afhq / "val").rename(afhq / "test")  # the second version's name
    assert len(AFHQ(afhq, "test")) == 3


def test_afhq_files_that_are_missing_are_named(afhq, tmp_path):
    with pytest.raises(ValueError, match="afhq: split must be one of train, test; got 'val'"):
        AFHQ(afhq, "val")
    (afhq / "train" / "wild").rename(afhq / "train" / "wolf")
    with pytest.raises(ValueError, match="must hold pictures in cat, dog, wild, found cat, dog, wolf"):
        AFHQ(afhq)
    with pytest.raises(ValueError, match="has no folder train; give the one that holds it"):
        AFHQ(tmp_path)
    with pytest.raises(ValueError, match="afhq: found none of train/cat"):
        AFHQ()


@pytest.fixture
def imagenet100(tmp_path, monkeypatch, own_cache):
    folder = tmp_path / "imagenet100"
    folder.mkdir()
    write_imagenet100(folder, monkeypatch)
    return folder


def test_imagenets_folders_are_classes_and_parts(imagenet100):
    dataset = ImageNet100(imagenet100, size=32)
    assert (len(dataset), len(dataset.class_names), dataset.class_names[0]) == (100, 100, "n01440764")
    assert dataset.labels.tolist() == list(range(100))
    train, test = ImageNet100(imagenet100, "test", size=32).parts()
    assert (train.split, test.split, test.image_shape) == ("train", "test", (3, 32, 32))
    assert test.class_names == train.class_names
    assert not torch.equal(train.batch([0]), test.batch([0]))


def test_imagenet_files_that_are_missing_are_named(imagenet100, tmp_path):
    with pytest.raises(ValueError, match="imagenet100: split must be one of train, test; got 'val'"):
        ImageNet100(imagenet100, "val")
    with pytest.raises(ValueError, match="has no folder train; give the one that holds it"):
        ImageNet100(tmp_path)
    with pytest.raises(ValueError, match="imagenet100: found none of train/n01558993"):
        ImageNet100()
    train = imagenet100 / "train"
    (train / "n01440764").rename(train / "tench")
    with pytest.raises(ValueError, match="named n and eight digits, found 100 class folders, among them tench"):
        ImageNet100(imagenet100)
    (train / "tench" / "n01440764_0.JPEG").unlink()
    with pytest.raises(ValueError, match="must hold pictures in 100 folders named n and eight digits, found 99"):
        ImageNet100(imagenet100)
