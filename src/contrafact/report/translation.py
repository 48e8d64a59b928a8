"""Translation grids: the residual of one image with the factors of another, for encoders that keep the two apart.

Shape suffixes: R rows, Q columns, C channels, H height, W width, L latent dimensions.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import Generator, images_at_once
from contrafact.core.method import FinishedRun
from contrafact.core.pictures import save_png, to_bytes, webp
from contrafact.nn.factor_codes import FactorEncoder
from contrafact.report.sections import Section, listed
from contrafact.report.sheets import sheet

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS, COLUMNS = 6, 8


def can_translate(run: FinishedRun) -> bool:
    """Whether the run's encoder keeps a residual apart, and its generator takes the encoder's latents."""
    if not (run.has("encoder") and run.has("generator")):
        return False
    encoder = run.encoder
    return isinstance(encoder, FactorEncoder) and 0 < encoder.residual_dim < run.generator.latent_dim


@torch.no_grad()
def translations(encoder: FactorEncoder, generator: Generator, rows: Tensor, columns: Tensor) -> Tensor:
    """Images with the residual of a row's image and all else of a column's.

    Args:
        encoder: keeps the residual last in its latents.
        generator: takes the latents.
        rows: images ``(R, C, H, W)`` that give the residual.
        columns: images ``(Q, C, H, W)`` that give the factors.

    Returns:
        ``(R, Q, C, H, W)``, black 0 and white 1.
    """
    kept = encoder.residual_dim
    residual_RL, factors_QL = encoder.latent(rows)[:, -kept:], encoder.latent(columns)[:, :-kept]
    factors, residual = factors_QL.repeat(len(rows), 1), residual_RL.repeat_interleave(len(columns), dim=0)
    grid: Tensor = _made(generator, torch.cat([factors, residual], dim=1)).unflatten(0, (len(rows), len(columns)))
    return grid


@torch.no_grad()
def _made(generator: Generator, latents: Tensor) -> Tensor:
    parts = latents.to(generator.device).split(images_at_once(generator))
    return torch.cat([generator(part).float().cpu() for part in parts])


@torch.no_grad()
def translation_sheet(encoder: FactorEncoder, generator: Generator, rows: Tensor, columns: Tensor) -> Image:
    """The grid with its source images along the top and the left; beside the left ones, what their own codes give."""
    made = translations(encoder, generator, rows, columns)
    own = _made(generator, encoder.latent(rows))
    blank = torch.ones_like(made[:1, :1])
    top = torch.cat([blank, blank, columns.cpu()[None]], dim=1)
    cells = torch.cat([top, torch.cat([rows.cpu()[:, None], own[:, None], made], dim=1)])
    across = ["image", "its codes", *(f"factors {q + 1}" for q in range(len(columns)))]
    return sheet(to_bytes(cells), "", ["factors of", *(f"residual of {r + 1}" for r in range(len(rows)))], across)


def translation_section(
    run: FinishedRun, sources: Sequence[ImageDataset | None], seed: int, folder: Path
) -> Section | None:
    """The grid on images of the first dataset given; None for runs that cannot translate, or without images.

    Also writes ``translation.png``.

    Args:
        run: a finished run.
        sources: datasets, or None in their place.
        seed: of the images.
        folder: of the picture.
    """
    dataset = next((source for source in sources if source is not None), None)
    if dataset is None or not can_translate(run) or dataset.image_shape != run.encoder.image_shape:
        return None
    encoder = run.encoder
    assert isinstance(encoder, FactorEncoder)
    drawn = dataset.random_batch(ROWS + COLUMNS, np.random.default_rng(seed))
    picture = translation_sheet(encoder, run.generator, drawn[:ROWS], drawn[ROWS:])
    save_png(picture, folder / "translation.png")
    names = [name for name in getattr(run.generator, "parts", encoder.factor_names) if name != "residual"]
    said = html.escape(
        f"Every image has the residual of the image at the left of its row, and {listed(names)} of the image at the "
        "top of its column."
    )
    more = (
        "Where they came apart, a column agrees in those and in nothing else. <em>Its codes</em>: the image rebuilt "
        "from its own codes, which shows what the codes lose."
    )
    address = f"data:image/webp;base64,{base64.b64encode(webp(picture, 90)).decode()}"
    text = f'<p>{said} {more}</p><img style="max-width: 100%" src="{address}" alt="{said}">'
    return Section("translation", "Translation", text)
