"""The same twelve pictures in every form that is read, as people have them."""

import importlib
import io
import json
import tarfile
import zipfile

import h5py
import numpy as np
from PIL import Image

SIDE = 16
PIXELS = np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)
CLASSES = np.arange(12) % 3


def encoded(pixels, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_zip(folder, packing=zipfile.ZIP_STORED):
    """As StyleGAN2-ADA's dataset_tool writes it."""
    names = [f"00000/img{number:08}.png" for number in range(12)]
    with zipfile.ZipFile(folder / "ada.zip", "w", packing) as archive:
        for name, pixels in zip(names, PIXELS, strict=True):
            archive.writestr(name, encoded(pixels))
        labels = [[name, int(label)] for name, label in zip(names, CLASSES, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return folder / "ada.zip"


def write_foldered_zip(folder):
    """As somebody zips a folder on a Mac: parts and classes below a folder of its name."""
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for number, pixels in enumerate(PIXELS):
            part, kind = ("train" if number < 8 else "val"), "abc"[CLASSES[number]]
            archive.writestr(f"photos/{part}/{kind}/{number:02}.png", encoded(pixels))
        archive.writestr("__MACOSX/photos/train/a/._00.png", b"not a picture")
    return folder / "photos.zip"


def write_npy(folder, pixels=PIXELS):
    np.save(folder / "pictures.npy", pixels)
    return folder / "pictures.npy"


def write_npz(folder, save=np.savez_compressed):
    save(folder / "pictures.npz", images=PIXELS, labels=CLASSES)
    return folder / "pictures.npz"


def write_npz_of_parts(folder):
    """As MedMNIST has it."""
    arrays = {}
    for part, rows in (("train", slice(8)), ("val", slice(8, 10)), ("test", slice(10, 12))):
        arrays |= {f"{part}_images": PIXELS[rows], f"{part}_labels": CLASSES[rows, None]}
    np.savez(folder / "medmnist.npz", **arrays)
    return folder / "medmnist.npz"


def write_h5(folder):
    with h5py.File(folder / "pictures.h5", "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=(5, SIDE, SIDE, 3), compression="gzip")
        file["labels"] = CLASSES
    return folder / "pictures.h5"


def write_parquet(folder, name="pictures.parquet", rows=slice(None)):
    """As the hub has it: the classes' names in the description that its library adds."""
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    cells = [{"bytes": encoded(pixels), "path": f"{i:02}.png"} for i, pixels in enumerate(PIXELS)]
    table = arrow.table({"image": cells[rows], "label": CLASSES[rows]})
    description = {"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({b"huggingface": json.dumps(description).encode()})
    parquet.write_table(table, folder / name, row_group_size=5)
    return folder / name


def write_tar(folder, name="train-000.tar", rows=range(12), kind=tarfile.USTAR_FORMAT, fields=lambda number: {}):
    """As WebDataset's ShardWriter writes it: a picture, its class, its description and a text for each sample."""
    with tarfile.open(folder / name, "w", format=kind) as archive:
        for number in rows:
            described = json.dumps({"width": SIDE, "url": "https://example.org", **fields(number)}).encode()
            texts = {"cls": str(CLASSES[number]).encode(), "json": described, "txt": b"a caption"}
            for ending, content in {"png": encoded(PIXELS[number]), **texts}.items():
                member = tarfile.TarInfo(f"./{number:06}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder / name


def write_shards(folder):
    """Two tars of five and seven pictures."""
    write_tar(folder, "train-000.tar", range(5))
    write_tar(folder, "train-001.tar", range(5, 12))
    return folder


def write_table(folder):
    (folder / "pictures").mkdir()
    lines = ["file;label"]
    for number, pixels in enumerate(PIXELS):
        name = f"pictures/{number:02}.{('png', 'bmp', 'tif', 'webp')[number % 4]}"
        options = {"lossless": True} if name.endswith("webp") else {}
        Image.fromarray(pixels).save(folder / name, **options)
        lines.append(f"{name};{'abc'[CLASSES[number]]}")
    (folder / "pictures.csv").write_text("\n".join(lines))
    return folder / "pictures.csv"
