"""Loading a dataset by its name, its file or its folder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from contrafact.core.dataset import ImageDataset
from contrafact.core.decoding import PICTURES
from contrafact.core.few_labels import choose_labels
from contrafact.core.foreign import reading
from contrafact.core.plugins import admit, is_spelled_out
from contrafact.data import CATALOG
from contrafact.data._albums import FORMS
from contrafact.data._files import PathLike
from contrafact.data._stores import is_sharded

FOLDER_DATASET = "images"
"""The dataset that reads pictures of one's own."""
SHARDED_DATASET = "shards"
"""The one that reads them where they lie, a part at a time."""


def load_dataset(
    name_or_path: PathLike,
    *,
    size: int | None = None,
    split: str | None = None,
    variant: str | None = None,
    labels: Any = None,
    label_seed: int = 0,
    factors: Sequence[str] | str | None = None,
    background: str | None = None,
    channels: int | None = None,
    skip_damaged: bool = False,
    fit: str | None = None,
    path: PathLike | None = None,
    cache_gb: float | None = None,
) -> ImageDataset:
    """A dataset by name, or by the file or folder it lies in.

    Args:
        name_or_path: a catalogued name in any spelling (``shapes3d``, ``FashionMNIST``), with a variant after a colon
            (``dsprites:noisy``); ``FILE.py:CLASS``, a dataset of your own; or a dataset's file, its folder, or pictures
            of your own in any form that :class:`~contrafact.data.images.Images` reads. A name wins over a folder of
            that name: write ``./shapes3d`` for the folder. Tars, addresses (``s3://``, ``https://``) and names of
            several files (``train-{000..099}.tar``) are shards, read a part at a time
            (:class:`~contrafact.data.shards.Shards`); ``shards:PATH`` says so of a parquet file or a folder.
        size: image side in pixels; None keeps the dataset's own.
        split: part of the dataset (``"train"``, ``"test"``), where it has parts.
        variant: version of the dataset, where it has several.
        labels: annotations that few-label methods may use: a number of images, a share of them, or a table: a file, a
            DataFrame, a dictionary of columns or an array (:func:`~contrafact.core.few_labels.choose_labels`); None for
            none.
        label_seed: seed of the choice of annotated images.
        factors: factors to annotate, or one, by default the dataset's factors of interest; or columns of the table to
            take, by default all.
        background: of your own pictures: the colour that see-through parts are laid on, white by default.
        channels: of your own pictures: 3 (RGB, the default), 1 (grey), or 4 (RGB and opacity).
        skip_damaged: leave out pictures of your own that cannot be used, instead of refusing all.
        fit: of your own pictures: ``crop`` to a square (the default), ``pad`` or ``squeeze``.
        path: of a dataset that is named: its file under another name than the published one, or its folder.
        cache_gb: of shards: how many GB of what was fetched the cache folder keeps, 10 by default.

    Raises:
        ValueError: unknown name (the nearest one is suggested), no such file, a file of no known dataset, or an option
            the dataset does not have.

    >>> load_dataset("Shapes-3D", size=32).image_shape
    (3, 32, 32)
    """
    if not isinstance(name_or_path, str | Path):
        raise ValueError(
            f"load_dataset takes a name or a path, got {type(name_or_path).__name__}; images in memory (tensors, "
            "arrays, pictures, torch datasets) need no loading: pass them as they are, fit(images)"
        )
    pictures = {"background": background, "channels": channels, "skip_damaged": skip_damaged or None, "fit": fit}
    named = admit(str(name_or_path))
    place = {} if path is None else {"path": Path(path).expanduser()}
    asked = {"size": size, "split": split, "variant": variant, "cache_gb": cache_gb, **pictures, **place}
    dataset = load_recorded(named, asked)
    if labels is not None:
        dataset.few_labels = choose_labels(dataset, labels, seed=label_seed, factors=factors)
    elif factors:
        raise ValueError("factors names what to annotate, but labels= says how many images; give it too")
    return dataset


def load_recorded(text: str, asked: Mapping[str, Any]) -> ImageDataset:
    """A dataset by a name or path that stands in a file: as :func:`load_dataset`, but no file of code is run for it.

    Args:
        text: name or path.
        asked: the options of a dataset, by name; those it does not have must be None.

    Raises:
        ValueError: as for :func:`load_dataset`, and for ``FILE.py:CLASS`` where nobody has named that file.
    """
    names, path, variant_in_name = _find(text)
    if path is not None and asked.get("path") is not None:
        raise ValueError(
            f"path={asked['path']} was given, but {text!r} is a path already; give the dataset's name with it"
        )
    options = {"path": asked.get("path") or path, **{name: value for name, value in asked.items() if name != "path"}}
    if variant_in_name is not None:
        variant = asked.get("variant")
        if variant is not None and variant != variant_in_name:
            raise ValueError(f"{text!r} names the variant {variant_in_name!r}, but variant={variant!r} was given too")
        options["variant"] = variant_in_name
    # Datasets can share file names (MNIST and its successors): all but the last may refuse what lies there.
    for name in names[:-1]:
        try:
            return _build(name, options)
        except ValueError:
            continue
    return _build(names[-1], options)


def _find(text: str) -> tuple[list[str], PathLike | None, str | None]:
    """Catalogue names, path and variant that ``text`` may stand for."""
    if is_spelled_out(text):
        return [text], None, None
    name, _, variant = text.partition(":")
    if name == SHARDED_DATASET and variant:
        return [SHARDED_DATASET], variant, None
    if is_sharded(text) and not Path(text).is_dir():
        return [SHARDED_DATASET], text, None
    if name in CATALOG:
        return [CATALOG.resolve(name)], None, variant or None
    path = Path(text).expanduser()
    if path.exists():
        return _recognise(path), path, None
    if path.suffix or len(path.parts) > 1:
        raise ValueError(f"{path} does not exist; expected a dataset's file or folder, or a name: {', '.join(CATALOG)}")
    return [CATALOG.resolve(name)], None, None


def _recognise(path: Path) -> list[str]:
    """Names of the datasets that may lie at ``path``, by the file names each dataset declares.

    Raises:
        ValueError: no dataset has such a file.
    """
    declared = {name: _file_names(name) for name in CATALOG.own_names()}
    for name in set(CATALOG.names()) - set(declared):
        with suppress(ValueError):  # a plugin that does not load has no files either
            declared[name] = _file_names(name)
    found = [
        name
        for name, files in declared.items()
        if path.name in files or (path.is_dir() and any((path / file).exists() for file in files))
    ]
    if not found and path.is_dir():
        below = {name: [Path(place, file) for place in _places(name) for file in declared[name]] for name in declared}
        found = [name for name, files in below.items() if any((path / file).exists() for file in files)]
    found = found or [name for name in declared if getattr(CATALOG.module(name), "holds", _holds_nothing)(path)]
    if found:
        return found
    if path.is_dir() or path.suffix.lower() in FORMS:
        return [FOLDER_DATASET]
    if path.suffix.lower() in PICTURES:
        raise ValueError(
            f"{path} is one picture; expected a folder of pictures, or a file ending in {', '.join(FORMS)}"
        )
    expected = ", ".join(file for files in declared.values() for file in files)
    raise ValueError(
        f"{path} is neither pictures (a folder, or a file ending in {', '.join(FORMS)}) nor a dataset's file under its "
        "published name; under another one, name the dataset, too: load_dataset(NAME, path=...), --data NAME --path "
        f"FILE. Published names: {expected}"
    )


def _holds_nothing(path: Path) -> bool:
    """``holds`` of a dataset whose files have published names."""
    return False


def _file_names(name: str) -> tuple[str, ...]:
    """Published file names of a dataset: its module's ``FILES`` (or one ``FILE``)."""
    module = CATALOG.module(name)
    files = getattr(module, "FILES", getattr(module, "FILE", ()))
    return (files,) if isinstance(files, str) else tuple(files)


def _places(name: str) -> tuple[str, ...]:
    """Folders below the one named in which a dataset's files may lie: its module's ``PLACES``."""
    return tuple(getattr(CATALOG.module(name), "PLACES", ()))


def _build(name: str, options: dict[str, Any]) -> ImageDataset:
    cls = CATALOG.get(name)
    parameters = inspect.signature(cls).parameters
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in parameters:
            known = ", ".join(k for k in options if k in parameters) or "no options"
            raise ValueError(f"{name} takes no {key}; it takes {known}")
    if "path" in parameters and parameters["path"].default is inspect.Parameter.empty and "path" not in given:
        raise ValueError(f"{name} has no file of its own; give the path of yours instead of the name")
    with reading(given.get("path", name), f"data of {name}"):
        dataset: ImageDataset = cls(**given)
    if "variant" in given:
        dataset.name = f"{dataset.name}:{given['variant']}"  # so that the name alone loads the same data again
    return dataset
