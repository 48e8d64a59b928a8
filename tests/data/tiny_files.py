"""Small files in exactly the published formats, for datasets that are read from files.

``WRITERS[name](folder, monkeypatch)`` writes them into ``folder``, shrinks the dataset's size constants to match, and
returns the constructor's arguments. A dataset without a procedural form needs an entry here to pass the contract test.
"""

import gzip
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import scipy.io
from PIL import Image

from contrafact.data.cars3d import FILE as CARS3D_FILE
from contrafact.data.cars3d import Cars3D
from contrafact.data.digits_garments import NUM_PAIRS as DIGITS_GARMENTS_PAIRS
from contrafact.data.dsprites import FILE as DSPRITES_FILE
from contrafact.data.dsprites import DSprites
from contrafact.data.mnist_stl import MNISTSTL
from contrafact.data.mnist_stl import NUM_PAIRS as MNIST_STL_PAIRS
from contrafact.data.mpi3d import MPI3D
from contrafact.data.shapes3d import Shapes3D
from contrafact.data.small_norb import PREFIXES as NORB_PREFIXES
from contrafact.data.small_norb import SmallNORB

from . import albums


def grid_labels(sizes):
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], axis=1)


def random_bytes(*shape):
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


SHAPES3D_SIZES = (2, 3, 2, 2, 2, 3)


def write_shapes3d(folder, monkeypatch, **layout):
    monkeypatch.setattr(Shapes3D, "factor_sizes", SHAPES3D_SIZES)
    labels = grid_labels(SHAPES3D_SIZES) / 10
    images = random_bytes(len(labels), 64, 64, 3)
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file.create_dataset("images", data=images, **layout)
        file.create_dataset("labels", data=labels)
    return images


DSPRITES_SIZES = (3, 2, 4, 2, 3)


def write_dsprites(folder, monkeypatch, save=np.savez_compressed, **changes):
    monkeypatch.setattr(DSprites, "factor_sizes", DSPRITES_SIZES)
    classes = grid_labels((1, *DSPRITES_SIZES)).astype(np.int64)
    content = {
        "imgs": random_bytes(len(classes), 64, 64) % 2,
        "latents_values": classes / 7,
        "latents_classes": classes,
        "metadata": np.array({"author": "never unpickled"}, dtype=object),
    }
    content.update(changes)
    save(folder / DSPRITES_FILE, **{key: value for key, value in content.items() if value is not None})
    return content["imgs"]


def write_mpi3d(folder, monkeypatch):
    monkeypatch.setattr(MPI3D, "known_sizes", ((3, 3, 2, 1, 1, 2, 2), (2, 2, 2, 1, 1, 2, 2)))
    np.savez(folder / "mpi3d_real.npz", images=random_bytes(72, 64, 64, 3))
    np.savez_compressed(folder / "mpi3d_real_complex.npz", images=random_bytes(32, 64, 64, 3)[::-1])
    return {"path": folder}


CAR_NAMES = ("car_003_mesh", "car_001_mesh", "car_002_mesh")
"""In the order of list.txt; the archive holds them in the order of their names."""


def write_cars3d(folder, monkeypatch):
    monkeypatch.setattr(Cars3D, "num_cars", 3)
    monkeypatch.setattr(Cars3D, "num_test_cars", 1)
    with tarfile.open(folder / CARS3D_FILE, "w:gz", compresslevel=1) as archive:
        for name in sorted(CAR_NAMES):
            content = io.BytesIO()
            scipy.io.savemat(content, {"im": car_images(name)})
            add_to_archive(archive, f"data/cars/{name}.mat", content.getvalue())
        add_to_archive(archive, "data/cars/list.txt", "\n".join(CAR_NAMES).encode() + b"\n")
        add_to_archive(archive, "data/shapes/other.mat", b"not ours")
    return {"path": folder}


def add_to_archive(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def car_images(name):
    """``(128, 128, 3, 24, 4)``: red is the car's number, green the azimuth, blue the elevation."""
    images = np.zeros((128, 128, 3, 24, 4), dtype=np.uint8)
    images[:, :, 0] = int(name[4:7])
    images[:, :, 1] = np.arange(24)[:, None]
    images[:, :, 2] = np.arange(4)
    return images


NORB_SIZES = (2, 2, 3, 2, 1)


def write_small_norb(folder, monkeypatch, compress=False):
    monkeypatch.setattr(SmallNORB, "split_sizes", NORB_SIZES)
    for number, (split, instances) in enumerate((("train", (4, 6)), ("test", (0, 1)))):
        labels = grid_labels(NORB_SIZES).astype(np.int32)
        labels = labels[np.random.default_rng(number).permutation(len(labels))]
        labels[:, 1] = np.array(instances)[labels[:, 1]]
        labels[:, 3] *= 2  # azimuths are stored as 0, 2, ..., 34
        images = np.zeros((len(labels), 2, 96, 96), dtype=np.uint8)
        images[:, 0, :, :5] = labels[:, None, :]  # the left camera's first columns show the labels
        for part, array in (("dat", images), ("cat", labels[:, 0]), ("info", labels[:, 1:])):
            content = norb_bytes(array)
            file = folder / f"{NORB_PREFIXES[split]}-{part}.mat"
            if compress:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    return {"path": folder}


def norb_bytes(array):
    magic = {np.dtype(np.uint8): 0x1E3D4C55, np.dtype(np.int32): 0x1E3D4C54}[array.dtype]
    dimensions = (*array.shape, 1, 1)[: max(3, array.ndim)]
    return struct.pack(f"<II{len(dimensions)}i", magic, array.ndim, *dimensions) + array.tobytes()


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, monkeypatch):
    for prefix, count in (("train", 12), ("t10k", 7)):
        for kind, array in (
            ("images-idx3", random_bytes(count, 28, 28)),
            ("labels-idx1", np.arange(count, dtype=np.uint8) % 10),
        ):
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return {"path": folder}


def write_digits(folder, monkeypatch):
    """Four hundred digits: each row of pixels counts up from the digit."""
    rows = [[*((digit + i) % 17 for i in range(64)), digit] for digit in (n % 10 for n in range(400))]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (folder / "digits.csv.gz").write_bytes(gzip.compress(text.encode()))
    return {"path": folder}


def write_digits_garments(folder, monkeypatch):
    """Fashion-MNIST's idx files, every class in each, and fewer pairs."""
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = idx_bytes(random_bytes(count, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count, dtype=np.uint8) % 10))
    monkeypatch.setitem(DIGITS_GARMENTS_PAIRS, "train", 300)
    monkeypatch.setitem(DIGITS_GARMENTS_PAIRS, "test", 60)
    return {"path": folder}


def write_fonts(folder, monkeypatch):
    """Two faces, each of a family of its own."""
    for name in ("cmr10.ttf", "cmtt10.ttf"):
        shutil.copyfile(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, folder / name)
    return {"path": folder, "variant": "families"}


def write_images(folder, monkeypatch):
    for name, size in (("cats/a.png", (70, 64)), ("cats/b.jpg", (64, 90)), ("dogs/c.webp", (128, 128))):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random_bytes(size[1], size[0], 3)).save(folder / name)
    return {"path": folder}


def write_stl10_classes(folder, monkeypatch):
    """The four labelled STL-10 files, ten training and twenty test images; class k's images are brighter with k."""
    for split, count in (("train", 10), ("test", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = random_bytes(count, 3, 96, 96) // 16 + 16 * labels[:, None, None, None]
        (folder / f"{split}_X.bin").write_bytes(images.astype(np.uint8).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).tobytes())
    return {"path": folder}


def write_mnist_stl(folder, monkeypatch):
    """MNIST's idx files and STL-10's in one folder, every class in each, and fewer pairs."""
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = idx_bytes(random_bytes(count, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count, dtype=np.uint8) % 10))
    monkeypatch.setitem(MNIST_STL_PAIRS, "train", 300)
    monkeypatch.setitem(MNIST_STL_PAIRS, "test", 60)
    monkeypatch.setattr(MNISTSTL, "train_share", 2 / 3)  # of 30 a tenth would not hold every class
    return write_stl10_classes(folder, monkeypatch)


def cifar_arrays(count):
    rng = np.random.default_rng(count)
    return rng.integers(256, size=(count, 3072), dtype=np.uint8), rng.permutation(count) % 10


def write_cifar10(folder, monkeypatch, python=True):
    batches = {}
    for number, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        pixels, labels = batches[name] = cifar_arrays(12 + number)
        if python:
            content = {b"batch_label": b"tiny", b"labels": labels.tolist(), b"data": pixels, b"filenames": [b"x.png"]}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        else:
            np.column_stack([labels.astype(np.uint8), pixels]).tofile(folder / f"{name}.bin")
    return {"path": folder}


def write_cifar100(folder, monkeypatch):
    for name, count in (("train", 20), ("test", 11)):
        pixels, labels = cifar_arrays(count)
        np.column_stack([np.zeros(count, dtype=np.uint8), labels.astype(np.uint8), pixels]).tofile(
            folder / f"{name}.bin"
        )
    return {"path": folder}


def write_stl10(folder, monkeypatch):
    for name, count in (("train", 12), ("test", 10), ("unlabeled", 11)):
        random_bytes(count, 3, 96, 96).tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            (1 + np.arange(count) % 10).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    return {"path": folder}


def write_faces(folder, monkeypatch):
    for person, pixels in enumerate(random_bytes(4, 3, 40, 36, 3)):
        for pose, picture in zip((-70, 0, 70), pixels, strict=True):
            (folder / str(pose)).mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / str(pose) / f"{person:04}.png")
    return {"path": folder, "size": 32}


def write_celeba(folder, monkeypatch):
    """Six pictures of three people, two attributes, and the published partition."""
    (folder / "img_align_celeba").mkdir()
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    for name, picture in zip(names, random_bytes(6, 78, 70, 3), strict=True):
        Image.fromarray(picture).save(folder / "img_align_celeba" / name)
    attributes = [f"{name}  {1 if i % 2 else -1} {1 if i > 2 else -1}" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("6\nSmiling Male \n" + "\n".join(attributes) + "\n")
    (folder / "identity_CelebA.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, "858992", strict=True)))
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, "000122", strict=True)))
    return {"path": folder}


def write_afhq(folder, monkeypatch):
    for number, picture in enumerate(random_bytes(12, 66, 66, 3)):
        place = folder / ("train" if number < 9 else "val") / ("cat", "dog", "wild")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"flickr_{number}.jpg")
    return {"path": folder}


def write_imagenet100(folder, monkeypatch):
    """A photograph of each class to train on, and one to test with."""
    for number, picture in enumerate(random_bytes(200, 66, 66, 3)):
        place = folder / ("train" if number < 100 else "val") / f"n{1_440_764 + number % 100:08}"
        place.mkdir(parents=True)
        Image.fromarray(picture).save(place / f"{place.name}_{number}.JPEG", "JPEG")
    return {"path": folder}


def write_celeba_hq(folder, monkeypatch):
    """Four faces, one of the next thousands, and the hair of the first."""
    (folder / "CelebA-HQ-img").mkdir()
    numbers = (0, 1, 2, 2001)
    for number, picture in zip(numbers, random_bytes(4, 80, 80, 3), strict=True):
        Image.fromarray(picture).save(folder / "CelebA-HQ-img" / f"{number}.jpg")
    rows = "\n".join(f"{number}.jpg  {1 if number % 2 else -1} 1" for number in numbers)
    (folder / "CelebAMask-HQ-attribute-anno.txt").write_text(f"4\nMale Young\n{rows}\n")
    for number, name in ((0, "00000"), (1, "02001")):
        place = folder / "CelebAMask-HQ-mask-anno" / str(number)
        place.mkdir(parents=True)
        mask = np.zeros((512, 512, 3), dtype=np.uint8)
        mask[:256] = 255
        Image.fromarray(mask).save(place / f"{name}_hair.png")
    return {"path": folder}


def write_shards(folder, monkeypatch):
    return {"path": albums.write_shards(folder), "size": albums.SIDE}


def write_pax_shard(folder, monkeypatch):
    albums.write_tar(folder, kind=tarfile.PAX_FORMAT)
    return {"path": folder, "size": albums.SIDE}


def write_parquet_shards(folder, monkeypatch):
    for number, rows in enumerate((slice(6), slice(6, 12))):
        albums.write_parquet(folder, f"train-{number:05}-of-00002.parquet", rows)
    return {"path": folder, "size": albums.SIDE}


WRITERS = {
    "afhq": write_afhq,
    "cars3d": write_cars3d,
    "celeba": write_celeba,
    "celeba_hq": write_celeba_hq,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "digits": write_digits,
    "digits_garments": write_digits_garments,
    "faces": write_faces,
    "fashion_mnist": write_idx,
    "imagenet100": write_imagenet100,
    "fonts": write_fonts,
    "images": write_images,
    "mnist": write_idx,
    "mnist_stl": write_mnist_stl,
    "mpi3d": write_mpi3d,
    "shards": write_shards,
    "small_norb": write_small_norb,
    "stl10": write_stl10,
}
