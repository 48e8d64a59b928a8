"""The report: one self-contained ``report.html`` of a finished run, and its figures as files beside it.

Nothing in the page reaches for the network, and its content-security policy forbids it to.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from contrafact.core.claim import claim
from contrafact.core.dataset import FactorDataset, ImageDataset, check_count, check_images
from contrafact.core.files import write_text
from contrafact.core.method import FinishedRun
from contrafact.report import tables
from contrafact.report.classes import classes_section
from contrafact.report.figures import FIGURES, MOST, Sweep, magnitude_range, sweep_run, write_sweep
from contrafact.report.guard import attempt
from contrafact.report.parts import parts_section
from contrafact.report.sections import (
    Section,
    guarded,
    listed,
    loading_section,
    matrices_section,
    method_name,
    scores_section,
    settings_section,
    training_section,
    traversal_sections,
    variation_section,
)
from contrafact.report.translation import translation_section

REPORT = "report.html"
# Larger frames are averaged down: the page is an overview, the run holds the generator. The first of these pairs
# (largest side, explorer steps per column of a strip) that keeps the explorer's frames within the limit is taken.
_DETAIL = ((128, 2), (96, 2), (64, 2), (64, 1))
_MAX_PIXELS = 36_000_000


def write_report(
    run: FinishedRun,
    dataset: ImageDataset | None = None,
    *,
    samples: int = 4,
    frames: int = 9,
    span: float | None = None,
    seed: int = 0,
    published: tables.Published | None = None,
    out: str | Path | None = None,
    images: ImageDataset | None = None,
) -> Path:
    """Write a run's report and its figures.

    What the run lacks (a generator, scores, known factors) is named in the page, with the way to get it. A figure that
    cannot be drawn is replaced by a note that says why, and a :class:`~contrafact.report.guard.ReportWarning`.

    Args:
        run: a finished run.
        dataset: images with known factors, for the variation heat map.
        samples: base samples of the traversals.
        frames: columns of a traversal strip; odd.
        span: largest magnitude, in standard deviations of the latent space; by default the generator's ``figure_span``.
        seed: seed of the base samples and of the heat map's pairs.
        published: other people's numbers for the score table, see :func:`contrafact.report.tables.score_table`.
        out: the page; the run's ``report.html`` by default. Figures go to the folder ``figures`` beside it.
        images: images without known factors, for a map of the class codes and the translation grid.

    Returns:
        The page's path.

    Raises:
        ValueError: an argument out of range, a damaged ``scores.jsonl``, or a dataset whose images do not fit the
            encoder.
    """
    path = run.folder / REPORT if out is None else Path(out)
    with claim(path.parent):
        folder = path.parent / FIGURES
        magnitude_range(frames, 1.0 if span is None else span)
        check_count("samples", samples)
        if isinstance(dataset, FactorDataset) and run.has("encoder"):
            check_images(dataset.batch([0]), run.encoder.image_shape, f"the encoder of {run.folder}")
        scores = tables.read_scores(run.folder)
        table = tables.score_table(scores, published)
        swept, step, failed = None, 1, ""
        if run.has("generator"):
            max_side, step = _detail(run, samples, frames)
            between = (frames - 1) * step + 1
            swept, failed = attempt(
                "The traversals", lambda: sweep_run(run, samples, between, span, seed=seed, max_side=max_side)
            )
        pictures = images if images is not None else dataset
        sections = [
            *guarded("classes", "Classes", lambda: classes_section(run, pictures, seed, folder)),
            *(
                [Section("explore", "Explore", failed)]
                if failed
                else guarded("explore", "Explore", lambda: _traversals(run, swept, step, folder))
            ),
            *guarded("translation", "Translation", lambda: translation_section(run, (images, dataset), seed, folder)),
            *guarded("variation", "Variation", lambda: variation_section(run, dataset, seed, folder)),
            scores_section(run, table),
            *guarded("parts", "Sub-embeddings", lambda: parts_section(run.folder)),
            *guarded("matrices", "Matrices", lambda: matrices_section(scores, dataset, folder, run.annotated_factors)),
            *guarded("training", "Training", lambda: training_section(run, folder)),
            settings_section(run),
            loading_section(run),
        ]
        text = whole_page(_title(run), summary(run, swept, table), sections)
        write_text(path, text.encode(errors="backslashreplace").decode())  # names of files and folders may be no text
    return path


def _traversals(run: FinishedRun, swept: Sweep | None, step: int, folder: Path) -> list[Section]:
    if swept is not None:
        write_sweep(swept, step, folder)
    return traversal_sections(run, swept, step)


def _detail(run: FinishedRun, samples: int, frames: int) -> tuple[int, int]:
    _, height, width = run.generator.image_shape
    found = run.directions.num_directions if run.has("directions") else run.generator.latent_dim
    strips = min(found, MOST) * samples

    def pixels(max_side: int, step: int) -> float:
        shrink = min(1.0, max_side / max(height, width))
        return strips * ((frames - 1) * step + 1) * height * width * shrink**2

    return next((detail for detail in _DETAIL if pixels(*detail) <= _MAX_PIXELS), _DETAIL[-1])


def _source_words(run: FinishedRun) -> str:
    source = run.config.get("source", {})
    what = "the generator" if source.get("kind") == "generator" else "images of"
    return f"{what} {source.get('name', 'unknown')}"


def _title(run: FinishedRun) -> str:
    return f"{method_name(run)} on {run.config.get('source', {}).get('name', 'unknown')}"


def summary(run: FinishedRun, swept: Sweep | None, table: tables.ScoreTable) -> str:
    """What was run and what came out, in a few sentences.

    Args:
        run: a finished run.
        swept: its traversal, if it has a generator.
        table: its scores.
    """
    steps = f"{int(run.log[-1]['step']):,} steps and " if run.log else ""
    device = run.config.get("environment", {}).get("device", "an unknown device")
    took = f"{steps}{_duration(run.result.get('seconds'))} on {device}"
    made = [_described(run, name) for name in ("encoder", "directions", "generator") if _made(run, name)]
    parts = [f"{method_name(run)} learned from {_source_words(run)}, which took {took}.", f"It yields {listed(made)}."]
    if swept is not None:
        shown = len(swept.names)
        count = f"All {shown}" if swept.moving == shown else f"{swept.moving} of the {shown}"
        parts.append(f"{count} {swept.kind}s drawn here visibly change the picture; {swept.names[0]} changes it most.")
        if repeated := sum(of is not None for of in swept.copy_of):
            parts.append(f"{repeated} of them {'is a copy' if repeated == 1 else 'are copies'} of stronger ones.")
    for row in table.rows:
        if "run" in row.cells and row.label in _HEADLINES:
            beside = f", against {row.cells['control']} for the control" if "control" in row.cells else ""
            parts.append(f"{_HEADLINES[row.label]} is {row.cells['run']}{beside}.")
    if any("stand-in" in note for note in table.footnotes):
        parts.append("The scores are on a procedural stand-in of the dataset.")
    return " ".join(parts)


_HEADLINES = {"mig": "MIG", "dci disentanglement": "DCI disentanglement"}


def _made(run: FinishedRun, artefact: str) -> bool:
    """Whether the run itself made the artefact: a generator it only worked on lies in its folder too."""
    return run.has(artefact) and not (artefact == "generator" and run.config.get("source", {}).get("kind") == artefact)


def _described(run: FinishedRun, artefact: str) -> str:
    if artefact == "encoder":
        return f"an encoder with {run.encoder.code_dim} code{'s' * (run.encoder.code_dim != 1)}"
    if artefact == "directions":
        return f"{run.directions.num_directions} directions in its {run.directions.latent_dim} latent dimensions"
    _, height, width = run.generator.image_shape
    return f"a generator of {height}×{width} images with {run.generator.latent_dim} latent dimensions"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def whole_page(title: str, lead: str, sections: Sequence[Section], more: Sequence[str] = ()) -> str:
    """A self-contained page.

    Args:
        title: of the page.
        lead: what it says, in a few sentences.
        sections: in their order.
        more: names of further style sheets and scripts of this package, such as ``leaderboard.css``.
    """
    texts = {
        name: files("contrafact.report").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js", *more)
    }
    style, script = ("\n".join(t for name, t in texts.items() if name.endswith(kind)) for kind in (".css", ".js"))
    links = "".join(
        f'<a href="#{section.name}">{html.escape(section.link or section.heading)}</a>' for section in sections
    )
    body = "".join(
        f'<section id="{section.name}"><h2>{html.escape(section.heading)}</h2>{section.body}</section>'
        for section in sections
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{html.escape(title)} · contrafact</title>
<style>{style}</style></head><body>
<header><h1>{html.escape(title)}</h1><button id="theme">Light / dark</button></header>
<p class="lead">{html.escape(lead)}</p>
<nav aria-label="sections">{links}</nav>
<main>{body}</main>
<script>{script}</script>
</body></html>
"""
