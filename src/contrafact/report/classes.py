"""What a class knob does: a row of samples per class, one sample through all classes, and a map of the class codes.

Shape suffixes: N images, J code dimensions, K classes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_count
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun
from contrafact.core.metric import FloatArray
from contrafact.core.pictures import save_png, to_bytes, webp
from contrafact.evaluation.classes import class_factor, class_of
from contrafact.nn.critics import UNREAD
from contrafact.report import charts
from contrafact.report.guard import drawn
from contrafact.report.sections import Section
from contrafact.report.sheets import sheet

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 10
MAP_POINTS = 2000
"""Points of the map: t-SNE of more takes minutes."""


def has_knob(generator: Generator) -> bool:
    """Whether the generator's latent holds a class knob."""
    return generator.class_range[0] < generator.class_range[1]


def knob_said(note: Mapping[str, Any], count: int) -> str:
    """What was measured of a class knob when its training ended, as a sentence; empty where nothing was.

    Args:
        note: the generator's.
        count: positions of the knob.

    >>> knob_said({"class_coverage": 1.0, "class_spread": 0.04, "content_read": 0.0}, 10).partition(". ")[2]
    'z is not read: the knob alone says what is seen.'
    """
    if "class_coverage" not in note:
        return ""
    said = (
        f"{round(note['class_coverage'] * count)} of {count} positions make images of their own kind; within one, "
        f"pixels vary {note['class_spread']:.2f} times as much as in the data."
    )
    read = note.get("content_read")
    if read is None:
        return said
    unread = " z is not read: the knob alone says what is seen."
    return said + (unread if read < UNREAD else f" The encoder reads {read:.2f} of z's variance.")


@torch.no_grad()
def class_rows(generator: Generator, columns: int, seed: int) -> Tensor:
    """Fresh samples of every class: ``(K, columns, C, H, W)``, black 0 and white 1."""
    first, last = generator.class_range
    classes = torch.arange(last - first).repeat_interleave(check_count("columns", columns))
    latents = generator.latents_of_class(classes, torch.Generator().manual_seed(seed))
    images = torch.cat([generator(part).float().cpu() for part in latents.split(256)])
    rows: Tensor = images.unflatten(0, (last - first, columns))
    return rows


@torch.no_grad()
def knob_rows(generator: Generator, samples: int, seed: int) -> Tensor:
    """Samples, each at every position of the class knob with all else kept: ``(samples, K, C, H, W)``."""
    first, last = generator.class_range
    latents = generator.sample(check_count("samples", samples), torch.Generator().manual_seed(seed))
    turned = latents.repeat_interleave(last - first, dim=0)
    turned[:, first:last] = torch.eye(last - first, device=turned.device).repeat(samples, 1)
    images = torch.cat([generator(part).float().cpu() for part in turned.split(256)])
    rows: Tensor = images.unflatten(0, (samples, last - first))
    return rows


def class_sheet(rows: Tensor, names: Sequence[str], title: str) -> Image:
    """A captioned row per class."""
    return sheet(to_bytes(rows), title, names)


def knob_sheet(rows: Tensor, names: Sequence[str]) -> Image:
    """A captioned column per class, a row per sample."""
    samples = [f"sample {n}" for n in range(len(rows))]
    return sheet(to_bytes(rows), "one sample a row, the class knob turned", samples, names)


def code_map(codes_NJ: FloatArray, seed: int) -> FloatArray:
    """t-SNE (van der Maaten & Hinton 2008) of codes: ``(N, 2)``. A single code is placed by its value instead, spread
    upwards at random: t-SNE of a line would only fold it.

    Raises:
        ValueError: fewer than four images.
    """
    from sklearn.manifold import TSNE

    if len(codes_NJ) < 4:
        raise ValueError(f"a map needs at least 4 images, got {len(codes_NJ)}")
    if codes_NJ.shape[1] == 1:
        return np.column_stack([codes_NJ[:, 0], np.random.default_rng(seed).uniform(size=len(codes_NJ))])
    perplexity = min(30.0, (len(codes_NJ) - 1) / 3)
    placed: FloatArray = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes_NJ)
    return placed


@torch.no_grad()
def _codes(encoder: Encoder, images: Tensor) -> FloatArray:
    parts = [encoder(part.clamp(0, 1))[:, : encoder.class_dim].float().cpu() for part in images.split(256)]
    return torch.cat(parts).double().numpy()


def classes_section(run: FinishedRun, dataset: ImageDataset | None, seed: int, folder: Path) -> Section | None:
    """Class sheet, knob sheet and maps of the class codes; None for runs that have nothing to do with classes.

    Also writes ``classes.png``, ``class_knob.png`` and ``class_codes.png``.

    Args:
        run: a finished run.
        dataset: real images with classes, for their map.
        seed: of the samples.
        folder: of the pictures.
    """
    factor = class_factor(run, dataset)
    knob = run.has("generator") and has_knob(run.generator)
    mapped = run.has("encoder") and (factor is not None or knob)
    if not knob and (factor is None or not mapped):
        return None
    parts = []
    if knob:
        count = run.generator.class_range[1] - run.generator.class_range[0]
        names = _knob_names(run, dataset, count)
        if said := knob_said(run.generator.note, count):
            parts.append(f"<p>{said}</p>")
        rows, turned = class_rows(run.generator, COLUMNS, seed), knob_rows(run.generator, COLUMNS, seed)
        for picture, name, said in (
            (class_sheet(rows, names, ""), "classes.png", "A row per position of the class knob, ten samples each."),
            (knob_sheet(turned, names), "class_knob.png", "A row per sample: its content kept, the class knob turned."),
        ):
            save_png(picture, folder / name)
            address = f"data:image/webp;base64,{base64.b64encode(webp(picture, 90)).decode()}"
            parts.append(f'<p>{said}</p><img style="max-width: 100%" src="{address}" alt="{said}">')
    if mapped:
        parts.append(drawn("The map of the class codes", lambda: _map(run, dataset, factor, knob, seed, folder)))
    return Section("classes", "Classes", "".join(parts))


def _map(
    run: FinishedRun, dataset: ImageDataset | None, factor: str | None, knob: bool, seed: int, folder: Path
) -> str:
    sets = _mapped(run, dataset, factor, knob, seed)
    charts.save_chart(charts.scatter(sets), folder / "class_codes.png")
    said = "Maps (t-SNE) of the class codes, a colour per class: points that lie together have like codes."
    if run.encoder.class_dim == 1:
        said = "The class code of each image, from left to right, a colour per class; the height means nothing."
    drawing = charts.inline_svg(lambda ink: charts.scatter(sets, ink=ink), "class-codes", said)
    return f'<p>{said}</p><div class="chart">{drawing}</div>'


def _knob_names(run: FinishedRun, dataset: ImageDataset | None, count: int) -> list[str]:
    """With labels a knob position is a class; without, it is only a number."""
    labelled = run.config["source"].get("labels", {}).get("number", 0) > 0
    names = dataset.class_names if dataset is not None else ()
    return list(names) if labelled and len(names) == count else [f"c = {k}" for k in range(count)]


def _mapped(
    run: FinishedRun, dataset: ImageDataset | None, factor: str | None, knob: bool, seed: int
) -> list[tuple[str, FloatArray, IntArray]]:
    """Title, points ``(N, 2)`` and classes ``(N,)`` of each map."""
    sets = []
    if dataset is not None and factor is not None:
        chosen = np.random.default_rng(seed).permutation(len(dataset))[:MAP_POINTS].astype(np.int64)
        codes = _codes(run.encoder, dataset.batch(chosen))
        sets.append(("real images, by their class", code_map(codes, seed), class_of(dataset, chosen, factor)))
    if knob:
        count = run.generator.class_range[1] - run.generator.class_range[0]
        rows = class_rows(run.generator, max(2, MAP_POINTS // count), seed)
        classes = np.arange(count).repeat(rows.shape[1])
        codes = _codes(run.encoder, rows.flatten(0, 1))
        sets.append(("generated images, by the class knob", code_map(codes, seed), classes))
    return sets
