"""Pictures of one's own in every form: zip, arrays, parquet, tables; and what is wrong with them."""

import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.run import Run
from contrafact.data.images import Images
from contrafact.data.load import load_dataset
from contrafact.evaluation.sampling import dataset_of
from contrafact.methods import VAE

from . import albums, tiny_files


def recorded(dataset, folder, **about):
    """A run that says it learned from a dataset."""
    source = {
        "kind": "data",
        "name": dataset.name,
        "from": dataset.source,
        "fingerprint": dataset.fingerprint(),
        **about,
    }
    return SimpleNamespace(folder=folder, config={"source": {**source, "image_shape": dataset.image_shape}})


EXPECTED = torch.from_numpy(albums.PIXELS).permute(0, 3, 1, 2) / 255
NUMBERED, NAMED = ("0", "1", "2"), ("a", "b", "c")


@pytest.mark.parametrize(
    ("write", "names", "file"),
    [
        (albums.write_zip, NUMBERED, "00000/img00000003.png"),
        (albums.write_npz, NUMBERED, "03"),
        (albums.write_npy, (), "03"),
        (albums.write_h5, NUMBERED, "03"),
        (albums.write_parquet, NAMED, "03.png"),
        (albums.write_table, NAMED, "pictures/03.webp"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_form_holds_the_same_pictures(write, names, file, tmp_path, own_cache):
    if write is albums.write_parquet:
        pytest.importorskip("pyarrow")
    path = write(tmp_path)
    dataset = load_dataset(path, size=albums.SIDE)
    assert torch.equal(dataset.batch(range(12)), EXPECTED)
    assert dataset.class_names == names
    assert dataset.labels is None if not names else dataset.labels.tolist() == albums.CLASSES.tolist()
    assert dataset.file_names[3].endswith(file)
    assert (dataset.name, dataset.source) == ("images", str(path))
    again = load_dataset(path, size=albums.SIDE)
    assert dataset.fingerprint() == again.fingerprint()
    assert torch.equal(again.batch([11, 0]), EXPECTED[[11, 0]])  # from the cache, in any order


def test_arrays_of_any_kind_keep_their_side(tmp_path, own_cache):
    grey = albums.PIXELS[..., 0]
    kinds = {
        "bytes": (grey, 1),
        "sixteen bits": (grey.astype(np.uint16) * 257, 1),
        "floats": ((albums.PIXELS / 255).astype(np.float32).transpose(0, 3, 1, 2), 3),
        "wide numbers": (albums.PIXELS.astype(np.int64), 3),
    }
    for called, (pixels, channels) in kinds.items():
        (tmp_path / called).mkdir()
        images = Images(albums.write_npy(tmp_path / called, pixels), channels=channels)
        assert images.image_shape == (channels, albums.SIDE, albums.SIDE)
        torch.testing.assert_close(images.batch(range(12)), EXPECTED[:, :channels], atol=0.6 / 255, rtol=0, msg=called)


def test_sixteen_bits_are_scaled_not_cut(tmp_path, own_cache):
    ramp = np.linspace(0, 65535, 256).round().reshape(16, 16)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "a.png")
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "b.tif")
    with pytest.warns(UserWarning, match="2 of 2 pictures have more than 8 bits a channel and were scaled to 8"):
        images = Images(tmp_path, size=16, channels=1).batch([0, 1])
    expected = torch.arange(256).reshape(1, 16, 16) / 255
    for image in images:
        torch.testing.assert_close(image, expected, atol=0.51 / 255, rtol=0)


@pytest.mark.parametrize("write", [albums.write_foldered_zip, albums.write_npz_of_parts], ids=lambda w: w.__name__)
def test_parts_in_a_file(write, tmp_path, own_cache):
    path = write(tmp_path)
    train = load_dataset(path, size=16)
    assert (train.split, len(train)) == ("train", 8)
    other = load_dataset(path, size=16, split="val")
    assert other.split == "val"
    rows = [8, 9] if write is albums.write_npz_of_parts else [9, 10, 11, 8]  # folders in the order of the classes
    assert torch.equal(other.batch(range(2)), EXPECTED[rows[:2]])
    assert other.fingerprint() != train.fingerprint()
    with pytest.raises(ValueError, match="unknown part 'vla'; did you mean 'val'"):
        load_dataset(path, split="vla")
    if write is albums.write_foldered_zip:
        with pytest.raises(ValueError, match=r"photos\.zip has no part 'test'; it has train, val"):
            load_dataset(path, split="test")


def test_folders_of_parts(tmp_path, own_cache):
    for part, kinds in (("Train", "ab"), ("test", "b")):
        for kind in kinds:
            (tmp_path / part / kind).mkdir(parents=True)
            Image.new("RGB", (16, 16), (kind == "b" and "white") or "black").save(tmp_path / part / kind / "1.png")
    train = load_dataset(tmp_path, size=16)
    assert (train.split, train.class_names, train.labels.tolist()) == ("train", ("a", "b"), [0, 1])
    test = load_dataset(tmp_path, size=16, split="test")
    assert test.class_names == ("b",)
    assert [part.split for part in train.parts()] == ["train", "test"]
    with pytest.raises(ValueError, match=r"has no part 'val': expected a folder val or valid or .*, found Train, test"):
        load_dataset(tmp_path, split="val")
    assert dataset_of(recorded(train, tmp_path, split="train")).split == "test"  # the part it has not seen
    (tmp_path / "test").rename(tmp_path / "elsewhere")
    assert dataset_of(recorded(train, tmp_path, split="train")).split == "train"


def test_the_hub_s_folder_of_files(tmp_path, own_cache):
    pytest.importorskip("pyarrow")
    (tmp_path / "data").mkdir()
    for part, rows in (("train", slice(8)), ("test", slice(8, 12))):
        albums.write_parquet(tmp_path / "data", f"{part}-00000-of-00001.parquet", rows)
    assert torch.equal(load_dataset(tmp_path, size=16).batch(range(8)), EXPECTED[:8])
    assert torch.equal(load_dataset(tmp_path, size=16, split="test").batch(range(4)), EXPECTED[8:])
    with pytest.raises(ValueError, match="has no part 'val'; found test, train"):
        load_dataset(tmp_path, split="val")


@pytest.mark.parametrize(("fit", "corner"), [("crop", (0, 0, 1)), ("pad", (0, 1, 0)), ("squeeze", (1, 0, 0))])
def test_a_wide_picture_is_cropped_padded_or_squeezed(fit, corner, tmp_path, own_cache):
    wide = np.zeros((16, 48, 3), dtype=np.uint8)
    wide[:, :16], wide[:, 16:32], wide[:, 32:] = (255, 0, 0), (0, 0, 255), (255, 0, 0)
    Image.fromarray(wide).save(tmp_path / "a.png")
    dataset = Images(tmp_path, size=16, fit=fit, background="lime")
    if fit == "crop":
        with pytest.warns(
            UserWarning, match=r"1 of 1 pictures are so far from square .* \(up to 67%\); keep all of them"
        ):
            image = dataset.batch([0])[0]
    else:
        image = dataset.batch([0])[0]
    assert image[:, 0, 0].tolist() == list(corner)
    torch.testing.assert_close(image[:, 8, 8], torch.tensor([0.0, 0, 1]), atol=8 / 255, rtol=0)  # resampling rings
    assert dict(dataset.options).get("fit", "crop") == fit
    with pytest.raises(ValueError, match="unknown fit 'padd'; did you mean 'pad'"):
        Images(tmp_path, fit="padd")


def test_a_run_knows_its_file_and_refuses_another(tmp_path, own_cache):
    path = albums.write_npz(tmp_path)
    method = VAE.preset("quick", width=0.1, steps=1, flow_steps=1, batch_size=2)
    run = method.fit(load_dataset(path), tmp_path / "run")
    assert torch.equal(dataset_of(run).batch(range(12)), EXPECTED)
    np.savez_compressed(path, images=albums.PIXELS[::-1], labels=albums.CLASSES)
    with pytest.raises(ValueError, match="fingerprint"):
        method.fit(load_dataset(path), Run(tmp_path / "run", resume=True))


def test_every_bad_picture_of_an_archive_is_named_at_once(tmp_path, own_cache):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.png", albums.encoded(albums.PIXELS[0]))
        archive.writestr("empty.png", b"")
        archive.writestr("text.jpg", b"hello")
        archive.writestr("cut.png", albums.encoded(albums.PIXELS[1])[:200])
    with pytest.raises(
        ValueError, match=r"3 of 4 pictures .*cut\.png cannot .*empty\.png is an empty .*text\.jpg is no"
    ):
        Images(path, size=8).batch([0])
    with pytest.warns(UserWarning, match="left out 3 of 4 pictures"):
        assert len(Images(path, size=8, skip_damaged=True)) == 1
    table = tmp_path / "p.csv"
    table.write_text(f"file,label\nnowhere.png,1\n../other.png,2\n{'x' * 300}.png,2\n")
    with pytest.raises(ValueError, match=r"3 of 3 pictures .* \.\./other\.png does not exist.*|nowhere\.png does not"):
        Images(table, size=8).batch([0])


def zipped(folder, name="a.zip", content=b"", **info):
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("a.png", albums.encoded(albums.PIXELS[0]))
        archive.writestr("dataset.json", content or b"{}")
    return folder / name


def test_what_is_no_form_of_pictures_is_said(tmp_path, own_cache):
    def refused(file, message, **options):
        with pytest.raises(ValueError, match=message):
            load_dataset(file, **options)

    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut short")
    refused(tmp_path / "a.zip", r"a\.zip is not a complete zip file")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    refused(tmp_path / "b.zip", r"b\.zip holds no \.png, .* files; found notes\.txt")
    refused(zipped(tmp_path, "c.zip", b'{"labels": [["b.png", 1]]}'), "labels no picture 'a.png'")
    refused(zipped(tmp_path, "d.zip", b'{"labels": {"a": 1}}'), "must hold a list of pairs")
    refused(zipped(tmp_path, "e.zip", b"{"), r"dataset\.json of .*e\.zip is not valid JSON")
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", b"x" * 100)
    refused(tmp_path / "f.zip", r"packed in a way that is not read \(1 of 1 pictures, as a\.png\)")
    np.savez(tmp_path / "g.npz", one=np.zeros(3), two=np.zeros(3))
    refused(tmp_path / "g.npz", "holds one, two; expected images under images, image, imgs, or a single array")
    np.save(tmp_path / "h.npy", np.zeros((4, 5)))
    refused(tmp_path / "h.npy", r"expected images \(N, H, W\), .*; found float64 of shape \(4, 5\)")
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "images")
    refused(tmp_path / "i.h5", "key 'images' of .* is a link to another place, which is not followed")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["images"], file["labels"] = albums.PIXELS, h5py.ExternalLink("other.h5", "labels")
    refused(tmp_path / "m.h5", "key 'labels' of .* is a link to another place, which is not followed")
    (tmp_path / "j.csv").write_text("label\n1\n")
    refused(tmp_path / "j.csv", r"j\.csv: expected a column file .*; got the columns label and 1 rows")
    (tmp_path / "k.png").write_bytes(albums.encoded(albums.PIXELS[0]))
    refused(tmp_path / "k.png", r"k\.png is one picture; expected a folder of pictures")
    (tmp_path / "l.xyz").touch()
    refused(
        tmp_path / "l.xyz", r"is neither pictures .* nor a dataset's file .*name the dataset, too: load_dataset\(NAME"
    )
    refused(albums.write_npy(tmp_path), "has no parts to choose from; leave out split='test'", split="test")
    refused(tmp_path / "h.npy", "was given, but .* is a path already", path="x")
    floats = albums.write_npy(tmp_path, np.full((2, 8, 8), 3.5))
    with pytest.raises(ValueError, match=r"2 of 2 pictures .* 0 holds floats from .* to 3\.5, not from 0 to 1"):
        load_dataset(floats).batch([0])


def test_a_torch_loader_reads_them(tmp_path, own_cache):
    loader = torch.utils.data.DataLoader(load_dataset(albums.write_npz(tmp_path)), batch_size=5, shuffle=False)
    images, labels = zip(*loader, strict=True)
    assert torch.equal(torch.cat(images), EXPECTED)
    assert torch.cat(labels).tolist() == albums.CLASSES.tolist()
    plain = load_dataset(albums.write_npy(tmp_path))
    assert torch.equal(torch.stack(list(plain)), EXPECTED)
    assert torch.equal(plain[-1], EXPECTED[11])
    with pytest.raises(IndexError, match=r"images has 12 images, from 0 to 11; asked for \[12\]"):
        plain[12]


def test_a_zip_s_picture_may_not_grow_beyond_bounds(tmp_path, own_cache):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**27 + 1))
    assert (tmp_path / "a.zip").stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"1 files of more than 128 MiB that are called pictures, as a\.png"):
        load_dataset(tmp_path / "a.zip")


def test_parquet_without_bytes_or_pictures(tmp_path, own_cache):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet has no column of pictures, image: \{bytes, path\}; it has text"):
        load_dataset(tmp_path / "a.parquet")
    cells = arrow.array(
        [{"bytes": None, "path": "x.png"}], arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    )
    parquet.write_table(arrow.table({"image": cells}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"1 of 1 pictures .*: x\.png holds no bytes"):
        load_dataset(tmp_path / "b.parquet").batch([0])
    (tmp_path / "c.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"c\.parquet is damaged or no parquet file"):
        load_dataset(tmp_path / "c.parquet")


def test_labels_that_are_none_of_the_images(tmp_path, own_cache):
    path = tmp_path / "a.npz"
    np.savez(path, images=albums.PIXELS, labels=albums.CLASSES[:-1])
    with pytest.raises(
        ValueError, match=r"a.npz holds \d+ images under 'images' and \d+ labels under 'labels'; save one"
    ):
        load_dataset(path)
    np.savez(path, images=albums.PIXELS, labels=albums.CLASSES.astype(str))
    with pytest.warns(
        UserWarning, match=r"'labels' of .*, <U\d+ of shape \(\d+,\), is no whole number .* \(--labels\)"
    ):
        assert load_dataset(path).labels is None


def test_labels_of_pictures_in_a_file(tmp_path, own_cache):
    table = tmp_path / "labels.csv"
    table.write_text("file,mood\n" + "".join(f"img{i:08}.png,{'sad' if i % 2 else 'glad'}\n" for i in range(12)))
    few = load_dataset(albums.write_zip(tmp_path, zipfile.ZIP_DEFLATED), size=16, labels=table).few_labels
    assert few.value_names == (("glad", "sad"),)
    assert few.values[:, 0].tolist() == [i % 2 for i in range(12)]


def test_a_dataset_s_file_under_another_name(tmp_path, own_cache, monkeypatch):
    tiny_files.write_dsprites(tmp_path, monkeypatch)
    published = next(tmp_path.glob("*.npz"))
    renamed = published.rename(tmp_path / "mine.npz")
    dataset = load_dataset("dsprites", path=renamed)
    assert dataset.source == str(renamed)
    again = dataset_of(recorded(dataset, tmp_path))
    assert (again.name, again.source) == ("dsprites", str(renamed))
