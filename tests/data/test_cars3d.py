"""Cars3D's archive and its unpacked folder."""

import io
import re
import tarfile

import numpy as np
import pytest
import scipy.io
import torch

from contrafact.data.cars3d import FILE, Cars3D

from .tiny_files import CAR_NAMES, add_to_archive, car_images, write_cars3d


def seen(dataset):
    """The (car, azimuth, elevation) that each image of the dataset shows."""
    return (dataset.batch(range(len(dataset)))[:, :, 0, 0] * 255).round().int()


def expected(dataset, cars):
    elevation, azimuth, car = torch.from_numpy(dataset.factors_of(range(len(dataset)))).T
    numbers = torch.tensor([int(name[4:7]) for name in cars])
    return torch.stack((numbers[car], azimuth, elevation), dim=1).int()


def test_published_sizes():
    assert (Cars3D.num_cars, Cars3D.num_test_cars) == (183, 20)


def test_cars_come_in_the_order_of_the_list(tmp_path, own_cache, monkeypatch):
    write_cars3d(tmp_path, monkeypatch)
    for split, cars in (("all", CAR_NAMES), ("train", CAR_NAMES[:2]), ("test", CAR_NAMES[2:])):
        dataset = Cars3D(path=tmp_path, split=split)
        assert dataset.factor_sizes == (4, 24, len(cars))
        assert torch.equal(seen(dataset), expected(dataset, cars))
    assert len(list(own_cache.rglob("*.npy"))) == 2


def test_the_unpacked_folder_and_the_order_of_names_without_a_list(tmp_path, own_cache, monkeypatch):
    write_cars3d(tmp_path, monkeypatch)
    with tarfile.open(tmp_path / FILE) as archive:
        for member in archive:  # Python 3.11.2 has no filter= for extractall, later ones ask for it
            place = tmp_path / "unpacked" / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.extractfile(member).read())
    cars = tmp_path / "unpacked" / "data" / "cars"
    for path in (cars, tmp_path / "unpacked", tmp_path / "unpacked" / "data"):
        dataset = Cars3D(path=path)
        assert dataset.source == str(cars)
        assert torch.equal(seen(dataset), expected(dataset, CAR_NAMES))
    (cars / "list.txt").unlink()
    dataset = Cars3D(path=cars)
    assert torch.equal(seen(dataset), expected(dataset, sorted(CAR_NAMES)))


def write_archive(folder, files):
    with tarfile.open(folder / FILE, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            add_to_archive(archive, f"data/cars/{name}", content)


def mat(**content):
    stream = io.BytesIO()
    scipy.io.savemat(stream, content)
    return stream.getvalue()


def test_what_it_refuses(tmp_path, own_cache, monkeypatch):
    with pytest.raises(ValueError, match="cars3d: split must be one of all, train, test; got 'valid'"):
        Cars3D(split="valid")
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=re.escape(f"cars3d: found none of {FILE} in {tmp_path}; download it")):
        Cars3D()
    with pytest.raises(ValueError, match=r"cars3d: .* is neither nips2015-analogy-data.tar.gz nor a folder with it"):
        Cars3D(path=tmp_path)
    write_cars3d(tmp_path, monkeypatch)
    cars = {f"{name}.mat": mat(im=car_images(name)) for name in sorted(CAR_NAMES)}
    first = "car_001_mesh.mat"
    small = car_images("car_001_mesh")[:64]
    for files, message in (
        (dict(list(cars.items())[:2]), "holds 2 files car_*_mesh.mat, expected 3; get it again"),
        (cars | {"list.txt": b"car_001_mesh\ncar_002_mesh\n"}, "list.txt in"),
        (
            cars | {"list.txt": b"car_001_mesh\n" + b"car_002_mesh\n" * 2 + b"car_003_mesh\n"},
            "does not name each of the files beside it once, starting with 'car_002_mesh'",
        ),
        (cars | {first: mat(pictures=np.zeros(3))}, f"{first} in {tmp_path / FILE} has no key 'im'"),
        (cars | {first: mat(im=small)}, "expected uint8 of shape (128, 128, 3, 24, 4), found uint8 of shape (64, 128"),
        (cars | {first: cars[first][:5000]}, f"{first} in {tmp_path / FILE} is not a complete MATLAB 5 file"),
        (cars | {first: b""}, "is not a complete MATLAB 5 file"),
    ):
        write_archive(tmp_path, files)
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            Cars3D()
        assert str(error.value).startswith("cars3d: ")
    write_archive(tmp_path, cars)
    whole = (tmp_path / FILE).read_bytes()
    for content in (whole[: len(whole) // 2], b"hello"):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a complete tar.gz archive .*get it again"):
            Cars3D()
