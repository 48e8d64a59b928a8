"""The readers of foreign bytes, one table: what each reads, its good files, and which modules it enters.

``READERS`` is the table; ``covers`` of an entry names the modules whose reading it tests. That nothing is missing is
tested in ``test_coverage.py``: a new dataset, architecture or module that opens files fails there until it is here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.nn.attributes import AttributeClassifier
from tests.data import albums, tiny_files
from tests.fuzz import seeds
from tests.fuzz.seeds import Write


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: what it is called in tables and by ``--only``.
        read: reads what lies in a folder, and returns what it made of it.
        variants: writers of good files, by name; each into a folder of its own.
        covers: modules (``core.artefact``) whose reading this tests.
        weight: how many files it gets for one of another reader; less where a read is long.
        item: the catalogued item it stands for, ``data.celeba``.
        warm: whether it reads its good files once before workers are forked.
    """

    name: str
    read: Callable[[Path], Any]
    variants: Mapping[str, Write]
    covers: tuple[str, ...] = ()
    weight: float = 1.0
    item: str = ""
    warm: bool = True


# -- generators, artefacts, latents -----------------------------------------------------------------------------------


def _read_checkpoint(folder: Path) -> Any:
    from contrafact.generators.checkpoints import describe, load_generator

    files = sorted(folder.iterdir())
    named = [file for file in files if file.stem in ("model", "network", "G_ema") and file.suffix != ".json"]
    lone = len(files) == 1 or (named and not (folder / "config.json").exists())
    return describe(load_generator((named or files)[0] if lone else folder))


def _read_pipeline(folder: Path) -> Any:
    from contrafact.generators.checkpoints import load_generator

    index = folder / "model_index.json"
    return load_generator(folder, {"steps": 2, "space": "noise"} if index.exists() else {}).arguments()


def _read_artefact(kind: str, folder: Path) -> Any:
    from contrafact.core.artefact import load_artefact

    kinds: dict[str, Any] = {"generator": Generator, "encoder": Encoder, "directions": Directions}
    return load_artefact(folder / f"{kind}.safetensors", kinds[kind]).arguments()


def _read_directions(folder: Path) -> Any:
    from contrafact.core.direction_files import load_directions

    return load_directions(folder / "directions.safetensors").names


def _read_foreign_directions(folder: Path) -> Any:
    from contrafact.editing.convert import holds, kinds_of
    from contrafact.editing.directions import load_directions

    file = next(path for path in sorted(folder.rglob("*")) if path.stem in ("d", "deformator_0"))
    kinds_of(file), holds(file, "directions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directions = load_directions(file)
    return directions.names, directions(torch.zeros(1, directions.latent_dim), 0, 1.0).shape


def _read_foreign_latents(folder: Path) -> Any:
    from contrafact.editing.latents import load_latents

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = load_latents(next(path for path in sorted(folder.iterdir()) if path.stem == "d"))
    return stored.names, stored.latents.shape


def _read_encoder(folder: Path) -> Any:
    from contrafact.editing.encoder import load_encoder

    return load_encoder(folder / "encoder.safetensors")


def _read_predictor(folder: Path) -> Any:
    from contrafact.nn.attributes import load_predictor

    return load_predictor(folder / "attributeclassifier.safetensors")


def _read_dinov2(folder: Path) -> Any:
    from contrafact.nn.dinov2 import dinov2

    return dinov2(next(iter(sorted(folder.iterdir())))).name


def _read_vgg(folder: Path) -> Any:
    from contrafact.nn.vgg import vgg16

    return len(vgg16(next(iter(sorted(folder.iterdir())))).convolutions)


def _read_latents(folder: Path) -> Any:
    from contrafact.editing.latents import load_latents

    stored = load_latents(folder / "latents.safetensors")
    return len(stored.names), stored.latents.shape


# -- runs -------------------------------------------------------------------------------------------------------------


def _read_run(folder: Path) -> Any:
    from contrafact.core.method import load_run
    from contrafact.evaluation.scores import read_scores
    from contrafact.report import tables

    run = load_run(folder)
    run.artefacts()
    return run.log, run.annotated_factors, read_scores(folder), tables.read_scores(folder)


def _read_state(folder: Path) -> Any:
    from contrafact.core.checkpoint import load_state

    return load_state(folder / "checkpoint.pt", seeds.loop_state(), 0, 1)


def _begun_slope(folder: Path) -> Any:
    from contrafact.evaluation.control import begun_slope

    return begun_slope(folder)


def _resume(folder: Path) -> Any:
    """A run's folder is read again, and changed, by whoever resumes it: a finished one only says so."""
    from contrafact.generators.analytic import Analytic
    from tests.core.toy import Toy, toy_run

    return Toy(steps=3).fit(Analytic.tiny(), toy_run(folder, resume=True))


def _begin_from(folder: Path) -> Any:
    """``--from RUN`` takes the weights of another run, as far as they fit."""
    from contrafact.core.directions import GlobalDirections
    from contrafact.core.record import begin_from_weights
    from contrafact.generators.analytic import Analytic

    begin_from_weights({"directions": GlobalDirections(Analytic.tiny().latent_dim, 3, "free")}, folder, is_main=True)


# -- tables -----------------------------------------------------------------------------------------------------------


_MATRIX_SUFFIXES = (".npy", ".npz", ".csv", *([".parquet"] if find_spec("pyarrow") else []))
"""Parquet files only where the package that reads them is installed."""


def _read_matrices(folder: Path) -> Any:
    from contrafact.evaluation.tables import read_files

    codes = next(path for path in sorted(folder.iterdir()) if path.stem == "codes")
    factors = codes.with_name(f"factors{codes.suffix}")
    return read_files(codes, factors if factors.exists() else None)


def _read_labels(folder: Path) -> Any:
    from contrafact.core.few_labels import choose_labels
    from tests.report.tiny_runs import Rooms

    return choose_labels(Rooms(), folder / "labels.csv")


def _write_labels(folder: Path) -> None:
    from contrafact.core.few_labels import choose_labels
    from tests.report.tiny_runs import Rooms

    choose_labels(Rooms(), 12).save(folder / "labels.csv")


def _read_study(folder: Path) -> Any:
    from contrafact.report.study_score import score_study, study_text

    return study_text(score_study(folder))


def _read_served_study(folder: Path) -> Any:
    from contrafact.app.answers import Answers

    answers = Answers(folder)
    return [len(answers.page(name)) for name in answers.tokens]


def _read_reference(folder: Path) -> Any:
    from contrafact.evaluation.reference import read_reference

    return read_reference(folder / "reference.json")


def _write_reference(folder: Path) -> None:
    (folder / "reference.json").write_text(
        '{"scores": {"mig.score": 0.4, "dci": null}, "tolerances": {"mig.score": 0.01}}'
    )


def _read_photographs(folder: Path) -> Any:
    from contrafact.editing.photographs import find_photographs, read_photographs

    return read_photographs(find_photographs([folder]), (3, 16, 16), "crop").shape


def _read_album(folder: Path) -> Any:
    from contrafact.data._albums import FORMS
    from contrafact.data.images import Images

    dataset = Images(next(file for file in sorted(folder.iterdir()) if file.suffix in FORMS), size=albums.SIDE)
    return dataset.batch([0, len(dataset) - 1]).shape, dataset.labels, dataset.class_names


_ALBUMS: dict[str, Write] = {
    "zip": albums.write_zip,
    "npy": albums.write_npy,
    "npz": albums.write_npz,
    "h5": albums.write_h5,
    "table": albums.write_table,
    **({"parquet": albums.write_parquet} if find_spec("pyarrow") else {}),
}


def _read_scream(folder: Path) -> Any:
    from contrafact.data.dsprites import DSprites

    return DSprites(variant="scream", scream_picture=folder / "scream.png").batch([0])


def _write_scream(folder: Path) -> None:
    from PIL import Image

    Image.fromarray(tiny_files.random_bytes(70, 80, 3)).save(folder / "scream.png")


def _read_messages(folder: Path) -> Any:
    """What a browser, or who pretends to be one, may send to the page's server."""
    from contrafact.app.state import parse_state
    from contrafact.app.wire import parsed, unpacked

    try:
        header, body = unpacked((folder / "message.bin").read_bytes())
        return parse_state(parsed((folder / "message.json").read_bytes()).get("state")), header.get("name"), len(body)
    except (OSError, ValueError) as error:  # a message is no file and has no name; here it has both
        raise ValueError(f"{folder}: {error}") from error


def _write_messages(folder: Path) -> None:
    import json

    from contrafact.app.state import encode_values
    from contrafact.app.wire import packed

    ends = [{"seed": 3}, {"between": [{"photo": "ann"}, {"values": encode_values(torch.ones(4))}, 0.5]}, 0.25]
    state = {"latent": {"between": ends}, "magnitudes": {"0": 1.5, "3": -2}, "layers": [0, 4], "truncation": 0.5}
    (folder / "message.json").write_text(json.dumps({"id": 1, "type": "render", "slot": "main", "state": state}))
    (folder / "message.bin").write_bytes(packed({"id": 2, "type": "invert", "name": "ann.png"}, b"picture" * 9))


# -- data -------------------------------------------------------------------------------------------------------------

_FOREVER = pytest.MonkeyPatch()
"""The datasets' sizes are made small for as long as the harness's process lives."""


def _read_data(name: str, folder: Path, **arguments: Any) -> Any:
    """A dataset's first and last image, its labels and its factors."""
    from contrafact.core.dataset import AnnotatedDataset
    from contrafact.data import CATALOG

    dataset = CATALOG.get(name)(path=folder, **arguments)
    ends = np.array([0, len(dataset) - 1])
    factors = dataset.factors_of(ends) if isinstance(dataset, AnnotatedDataset) else None
    return dataset.batch(ends).shape, dataset.labels, dataset.class_names, factors, dataset.source


def _write_data(writer: Callable[..., Any], folder: Path, **arguments: Any) -> None:
    writer(folder, _FOREVER, **arguments)


def _write_cifar100_python(folder: Path) -> None:
    import pickle

    for name, count in (("train", 20), ("test", 11)):
        pixels, labels = tiny_files.cifar_arrays(count)
        (folder / name).write_bytes(pickle.dumps({b"fine_labels": labels.tolist(), b"data": pixels}, protocol=2))


def _write_unpacked_cars(folder: Path) -> None:
    import tarfile

    tiny_files.write_cars3d(folder, _FOREVER)
    with tarfile.open(folder / tiny_files.CARS3D_FILE) as archive:
        archive.extractall(folder, [m for m in archive.getmembers() if "cars/" in m.name], filter="data")
    (folder / tiny_files.CARS3D_FILE).unlink()


def _write_plain_idx(folder: Path) -> None:
    import gzip

    tiny_files.write_idx(folder, None)
    for file in sorted(folder.glob("*.gz")):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()


def _write_mnist_npz(folder: Path) -> None:
    """MNIST as one archive instead of idx files."""
    tiny_files.write_mnist_stl(folder, _FOREVER)
    for file in folder.glob("*ubyte"):
        file.unlink()
    parts = {}
    for split, count in (("train", 20), ("test", 10)):
        parts |= {f"x_{split}": tiny_files.random_bytes(count, 28, 28), f"y_{split}": np.arange(count) % 10}
    (folder / "mnist").mkdir()
    np.savez_compressed(folder / "mnist" / "mnist.npz", **parts)


_WRITERS = {
    name: {"published": partial(_write_data, writer)}
    for name, writer in {
        **tiny_files.WRITERS,
        "dsprites": tiny_files.write_dsprites,
        "shapes3d": tiny_files.write_shapes3d,
    }.items()
}
_WRITERS["cifar10"]["binary"] = partial(_write_data, tiny_files.write_cifar10, python=False)
_WRITERS["cifar100"]["python"] = _write_cifar100_python
_WRITERS["cars3d"]["unpacked"] = _write_unpacked_cars
_WRITERS["dsprites"]["uncompressed"] = partial(_write_data, tiny_files.write_dsprites, save=np.savez)
_WRITERS["fashion_mnist"]["plain"] = _write_plain_idx
_WRITERS["mnist_stl"]["npz"] = _write_mnist_npz
_WRITERS["shapes3d"]["chunked"] = partial(
    _write_data, tiny_files.write_shapes3d, chunks=(8, 64, 64, 3), compression="gzip"
)
_WRITERS["shards"]["pax"] = partial(_write_data, tiny_files.write_pax_shard)
if find_spec("pyarrow"):
    _WRITERS["shards"]["parquet"] = partial(_write_data, tiny_files.write_parquet_shards)
_WRITERS["small_norb"]["gzipped"] = partial(_write_data, tiny_files.write_small_norb, compress=True)

_DATA_ARGUMENTS: dict[str, dict[str, Any]] = {
    "faces": {"size": 32},
    "fonts": {"variant": "families"},
    "shards": {"size": albums.SIDE},
    "stl10": {"size": 48},
}
_DATA_WEIGHTS = {"cars3d": 0.15, "mnist_stl": 0.3, "imagenet100": 0.15}
_DATA_COVERS = {
    "cars3d": ("data._matlab",),
    "celeba": ("data._attributes",),
    "cifar10": ("data._cifar",),
    "fonts": ("data._typefaces",),
    "images": ("core.decoding",),
    "mnist": ("data._idx",),
    "mpi3d": ("data._files", "data._npz"),
    "shapes3d": ("data._h5",),
    "shards": ("data._stores", "data._shard_index", "data._tar", "data._blocks"),
}


def _data_targets() -> list[Target]:
    return [
        Target(
            f"data:{name}",
            partial(_read_data, name, **_DATA_ARGUMENTS.get(name, {})),
            variants,
            (f"data.{name}", *_DATA_COVERS.get(name, ())),
            _DATA_WEIGHTS.get(name, 0.7),
            f"data.{name}",
        )
        for name, variants in sorted(_WRITERS.items())
    ]


def all_targets() -> dict[str, Target]:
    """Every reader by name."""
    checkpoints: dict[str, dict[str, Write]] = {}
    for name, write in seeds.checkpoint_files().items():
        checkpoints.setdefault(name.partition("-")[0], {})[name] = write
    generators, encoders = seeds.artefact_files(Generator), seeds.artefact_files(Encoder)
    directions = seeds.artefact_files(Directions)
    targets = [
        *(
            Target(
                f"checkpoint:{architecture}",
                _read_checkpoint,
                variants,
                (
                    "core.inert_files",
                    "generators._stored",
                    "generators._settings",
                    "generators.checkpoints",
                    "generators._foreign",
                    f"generators.{architecture}",
                ),
                2.0,
                f"generators.{architecture}",
            )
            for architecture, variants in sorted(checkpoints.items())
        ),
        Target(
            "artefact:generator",
            partial(_read_artefact, "generator"),
            generators,
            ("core.artefact", "core.checksum", "core.describe"),
            2.0,
        ),
        Target("artefact:encoder", partial(_read_artefact, "encoder"), encoders, ("core.artefact",), 2.0),
        Target("artefact:directions", partial(_read_artefact, "directions"), directions, ("core.artefact",), 2.0),
        Target("generator", _read_checkpoint, generators, ("generators.checkpoints",)),
        Target("directions", _read_directions, directions, ("core.direction_files",)),
        Target(
            "foreign directions",
            _read_foreign_directions,
            seeds.foreign_directions(),
            ("editing.foreign_content", "editing.foreign_directions", "editing.directions", "editing.convert"),
            2.0,
        ),
        Target(
            "foreign latents",
            _read_foreign_latents,
            seeds.foreign_latents(),
            ("editing.foreign_content", "editing.foreign_latents", "editing.latents"),
        ),
        Target(
            "pipeline",
            _read_pipeline,
            seeds.pipeline_files(),
            (
                *("generators._pipelines", "generators._networks", "generators._denoisers", "generators._solvers"),
                *("generators.diffusion", "generators.autoencoder_kl"),
            ),
        ),
        Target("encoder", _read_encoder, encoders, ("editing.encoder",)),
        Target("predictor", _read_predictor, seeds.artefact_files(AttributeClassifier), ("nn.attributes",)),
        Target("dinov2", _read_dinov2, seeds.dinov2_files(), ("nn.dinov2",), 0.5),
        Target("vgg", _read_vgg, seeds.vgg_files(), ("nn.vgg",), 0.5),
        Target("latents", _read_latents, {"scene": seeds.write_latents}, ("editing.latents",)),
        Target(
            "run",
            _read_run,
            {"toy": seeds.write_run},
            (
                "core.method",
                "core.run",
                "core.files",
                "core.finished",
                "core.foreign",
                "core.record",
                "evaluation.scores",
            ),
            3.0,
        ),
        Target("control", _begun_slope, {"toy": seeds.write_run}, ("evaluation.control",)),
        Target(
            "resume",
            _resume,
            {"toy": seeds.write_run, "claimed": seeds.write_claimed_run},
            ("core.run", "core.files", "core.claim", "core.going_on", "core.places"),
        ),
        Target("weights", _begin_from, {"toy": seeds.write_run}, ("core.record", "core.going_on", "core.checksum")),
        Target("checkpoint", _read_state, {"loop": seeds.write_checkpoint}, ("core.checkpoint",), 3.0),
        Target(
            "matrices",
            _read_matrices,
            {suffix[1:]: partial(seeds.write_matrices, suffix=suffix) for suffix in _MATRIX_SUFFIXES},
            ("evaluation.tables", "core.npy", "core.table"),
            2.0,
        ),
        Target("reference", _read_reference, {"scores": _write_reference}, ("evaluation.reference",)),
        Target("labels", _read_labels, {"rooms": _write_labels}, ("core.few_labels", "core.rows")),
        Target("study", _read_study, {"two": seeds.write_study}, ("report.study_score",)),
        Target("served study", _read_served_study, {"two": seeds.write_study}, ("app.answers",)),
        Target("photographs", _read_photographs, {"several": seeds.write_pictures}, ("editing.photographs",)),
        Target(
            "albums", _read_album, _ALBUMS, ("data._albums", "data._parquet_album", "core.decoding", "core.table"), 1.5
        ),
        Target("messages of a page", _read_messages, {"two": _write_messages}, ("app.wire", "app.state")),
        Target("data:dsprites:scream", _read_scream, {"picture": _write_scream}, ("data.dsprites",), 0.5),
        *_data_targets(),
    ]
    return {target.name: target for target in targets}
