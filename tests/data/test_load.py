import re

import pytest

import contrafact as cf
from contrafact.data.load import load_dataset


@pytest.mark.parametrize("name", ["shapes3d", "Shapes3D", "shapes-3d", "SHAPES_3D"])
def test_a_name_in_any_spelling(name):
    dataset = load_dataset(name, size=16)
    assert dataset.name == "shapes3d"
    assert dataset.image_shape == (3, 16, 16)


def test_it_is_exposed_at_the_top():
    assert cf.load_dataset is load_dataset


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shapes3", {}, "unknown dataset 'shapes3'; did you mean 'shapes3d'?"),
        ("nowhere/3dshapes.h5", {}, "nowhere/3dshapes.h5 does not exist; expected a dataset's file or folder"),
        ("shapes3d", {"split": "train"}, "shapes3d takes no split; it takes path, size"),
        ("shapes3d:noisy", {}, "shapes3d takes no variant; it takes path, size"),
        ("shapes3d:noisy", {"variant": "plain"}, "names the variant 'noisy', but variant='plain' was given too"),
        ("shapes3d", {"size": -1}, "shapes3d: size must be one of 64, 32, 16, got -1"),
        ([[0.5]], {}, "load_dataset takes a name or a path, got list; images in memory"),
    ],
)
def test_what_it_refuses(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_dataset(name, **options)


def test_a_variant_is_part_of_the_name():
    dataset = load_dataset("dsprites:noisy", size=16)
    assert dataset.name == "dsprites:noisy"
    assert dataset.image_shape == (3, 16, 16)
    assert load_dataset("dsprites", variant="noisy").name == dataset.name


def test_a_file_is_recognised_by_its_published_name(tmp_path):
    (tmp_path / "3dshapes.h5").write_bytes(b"not an HDF5 file")
    for path in (tmp_path / "3dshapes.h5", tmp_path):
        with pytest.raises(ValueError, match=r"shapes3d: .*3dshapes.h5 is not a complete HDF5 file"):
            load_dataset(path)


def test_a_file_of_no_dataset(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        ValueError, match=r"notes\.txt is neither pictures .* nor a dataset's file .*Published names: .*3dsh"
    ):
        load_dataset(tmp_path / "notes.txt")
