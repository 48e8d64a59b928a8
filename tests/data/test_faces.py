"""Poses from folder names and from file names."""

import pytest
from PIL import Image

from contrafact.data.faces import Faces
from contrafact.data.load import load_dataset

from .tiny_files import random_bytes


def write(folder, *names):
    for name, pixels in zip(names, random_bytes(len(names), 32, 32, 3), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)


@pytest.mark.parametrize(
    "names",
    [
        ("-70/0001.png", "-10/0001.png", "+20/0001.png", "-10/0002.png"),
        ("0001_-70.png", "0001_-10.png", "0001_+20.png", "0002_-10.png"),
        ("0001/-70.png", "0001/-10.png", "0001/+20.png", "0002/-10.png"),
        ("anna/-70.png", "anna/-10.png", "anna/20.png", "bert/-10.png"),
    ],
)
def test_poses_are_classes_in_the_order_of_their_angles(names, tmp_path):
    write(tmp_path, *names)
    faces = Faces(tmp_path)
    assert faces.class_names == ("-70°", "-10°", "+20°")
    labels = {str(f.relative_to(tmp_path)): int(label) for f, label in zip(faces.files, faces.labels, strict=True)}
    assert [labels[name] for name in names] == [0, 1, 2, 1]


def test_names_without_a_pose_and_single_poses_are_refused(tmp_path):
    write(tmp_path, "a/one.png", "b/two.png")
    with pytest.raises(ValueError, match=r"faces: the pose of .*one.png is in neither its folder's nor its own name"):
        Faces(tmp_path)
    write(tmp_path / "same", "20/0001.png", "20/0002.png")
    with pytest.raises(ValueError, match="holds the single pose 20"):
        Faces(tmp_path / "same")


def test_it_needs_a_folder():
    with pytest.raises(ValueError, match="faces has no file of its own"):
        load_dataset("faces")


def test_see_through_and_damaged_faces(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "p", "20/0001.png", "-20/0001.png")
    Image.new("RGBA", (32, 32)).save(tmp_path / "p" / "20" / "0002.png")
    (tmp_path / "p" / "50").mkdir()
    (tmp_path / "p" / "50" / "0001.png").touch()
    with pytest.warns(UserWarning, match="faces: left out 1 of 4 pictures that cannot be used: 50/0001.png"):
        faces = Faces(tmp_path / "p", background="blue", skip_damaged=True)
    assert faces.class_names == ("-20°", "+20°")
    assert faces.batch([2])[0, :, 0, 0].tolist() == [0, 0, 1]
