"""The sections of the report page: each says what the run holds, or what it lacks and how to get it."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.command import quoted, without_home
from contrafact.core.dataset import FactorDataset, ImageDataset
from contrafact.core.method import FinishedRun
from contrafact.core.pictures import ByteArray, tile, to_bytes, webp
from contrafact.core.settings import flat_fields
from contrafact.data import CATALOG as DATASETS
from contrafact.evaluation.control import control_kind
from contrafact.methods import CATALOG as METHODS
from contrafact.report import charts, tables
from contrafact.report.figures import Sweep, magnitude_labels
from contrafact.report.guard import attempt, drawn, missing

_MAX_BYTES = 4_500_000  # of all pictures together, before base64 adds a third
_QUALITIES = (88, 75, 60, 40, 20)


@dataclass(frozen=True)
class Section:
    """One section of the page: its anchor, heading and HTML, and a shorter heading for the navigation."""

    name: str
    heading: str
    body: str
    link: str = ""


def method_name(run: FinishedRun) -> str:
    """The method's name as its paper writes it."""
    method = str(run.config.get("method", "unknown method"))
    return str(METHODS.get(method).__name__) if method in METHODS else method


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``; ``nothing`` for no parts."""
    *first, last = parts or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else str(last)


def guarded(name: str, heading: str, make: Callable[[], Section | Sequence[Section] | None]) -> list[Section]:
    """The sections that ``make`` draws; where that fails, one of this name and heading that says why."""
    made, note = attempt(heading, make)
    if note:
        return [Section(name, heading, note)]
    return [made] if isinstance(made, Section) else list(made or ())


def traversal_sections(run: FinishedRun, swept: Sweep | None, step: int) -> list[Section]:
    """The explorer and the strips; ``step`` explorer frames lie between two columns of a strip."""
    if swept is None:
        why = "This run holds no generator, so there is nothing to draw" + (
            ": it ran on a generator of your own. Give it again and write the report again: "
            f"`contrafact report {_folder(run)}`."
            if run.is_on_own_generator
            else f": {method_name(run)} yields {listed(run.result['artefacts'])}."
        )
        return [Section("explore", "Explore", missing(why))]
    columns = swept.thinned(step)
    sheets = [tile(to_bytes(frames)) for frames in swept.frames]
    strips = [_spaced(to_bytes(frames)) for frames in columns.frames]
    addresses = _data_addresses([*sheets, *strips])
    explorer = _explorer(swept, addresses[: len(sheets)])
    return [
        Section("explore", "Explore", explorer),
        Section("strips", "Traversals", _strips(columns, addresses[len(sheets) :])),
    ]


def _spaced(cells: ByteArray) -> ByteArray:
    """Cells side by side, RGBA, with see-through gaps: on a page of any colour the images stay apart."""
    opaque = np.concatenate((cells, np.full_like(cells[..., :1], 255)), axis=-1)
    return tile(opaque, gap=max(1, cells.shape[2] // 32), background=0)


def _data_addresses(pictures: Sequence[ByteArray]) -> list[str]:
    """The pictures as ``data:`` addresses, at the best quality that keeps the page small."""
    from PIL import Image

    encoded: list[bytes] = []
    for quality in _QUALITIES:
        encoded = [webp(Image.fromarray(picture), quality) for picture in pictures]
        if sum(map(len, encoded)) <= _MAX_BYTES:
            break
    return [f"data:image/webp;base64,{base64.b64encode(data).decode()}" for data in encoded]


def _explorer(swept: Sweep, addresses: Sequence[str]) -> str:
    num_samples, steps, _, height, width = swept.frames.shape[1:]
    directions = [
        {"name": name, "sheet": address, "labels": swept.step_labels(position)}
        for position, (name, address) in enumerate(zip(swept.names, addresses, strict=True))
    ]
    # "</" inside a script element would end it, whatever a direction is called.
    data = json.dumps({"width": width, "height": height, "steps": steps, "directions": directions}).replace(
        "<", "\\u003c"
    )
    top = max(float(swept.change.max()), 1e-3)
    choices = "".join(
        f'<button aria-pressed="false"><span>{html.escape(name)}</span>'
        f'<meter max="{top:.4f}" value="{change:.4f}" aria-label="mean pixel change {change:.3f}" '
        f'title="mean pixel change {change:.3f}"></meter></button>'
        for name, change in zip(swept.names, swept.change, strict=True)
    )
    around = ", or radians where a direction turns around a circle, as a hue does" if any(swept.circles) else ""
    canvas = f'<canvas width="{width}" height="{height}"'
    thumbnails = "".join(
        f'<button aria-pressed="false" aria-label="enlarge sample {s}">{canvas}></canvas></button>'
        for s in range(num_samples)
    )
    return f"""
<p>Pick a {swept.kind} (those that change most come first), move the slider, pick one of the samples to enlarge it.
Magnitudes are in standard deviations σ of the latent space{around}.</p>
<noscript><p class="missing">The explorer needs JavaScript; the strips below show the same images.</p></noscript>
<div class="explorer" id="explorer">
<div class="choices" role="group" aria-label="{swept.kind}s">{choices}</div>
<div>
<h3 id="now" aria-live="polite"></h3>
<div class="drive"><button id="play">▶ Play</button>
<input type="range" min="0" max="{steps - 1}" value="{steps // 2}" aria-label="magnitude">
<output>0</output>
<label><input type="checkbox" id="difference"> only what changes</label></div>
<div class="stage">{canvas} class="large" role="img" aria-label="chosen sample"></canvas>
<div class="small" role="group" aria-label="samples">{thumbnails}</div></div>
</div></div>
<script type="application/json" id="sweep">{data}</script>"""


def _strips(swept: Sweep, addresses: Sequence[str]) -> str:
    num_samples, steps, _, height, width = swept.frames.shape[1:]
    shape = f"{width * steps} / {height * num_samples}"
    figures = []
    alike = swept.copy_of or [None] * len(swept.names)
    shown = zip(map(html.escape, swept.names), swept.change, alike, addresses, strict=True)
    for position, (name, change, of, address) in enumerate(shown):
        low, high = swept.step_labels(position)[:: steps - 1]
        turns = f", {low} to {high}" if swept.circles and swept.circles[position] else ""
        beside = "" if of is None else f", like {html.escape(of)}"
        said = f"{num_samples} samples moved along {name} from {low} to {high}; mean pixel change {change:.3f}"
        figures.append(
            f"<figure><figcaption><h3>{name}</h3><span>change {change:.3f}{beside}{turns}</span></figcaption>"
            f'<img style="aspect-ratio: auto {shape}" decoding="async" src="{address}" alt="{said}"></figure>'
        )
    low, high = magnitude_labels(swept.magnitudes)[:: steps - 1]
    text = (
        f"<p>A row per sample, from {low} (left) to {high} (right), the unchanged image in the middle. "
        "<em>Change</em> is the mean absolute change of a pixel over the sweep, black to white being 1.</p>"
    )
    if swept.found > len(swept.names):
        text += f"<p>These are the {len(swept.names)} of {swept.found} {swept.kind}s that change the picture most.</p>"
    if repeated := sum(of is not None for of in alike):
        text += (
            f"<p>{repeated} of them do{'es' if repeated == 1 else ''} to pictures what a stronger one does already: "
            "the changes at both ends, over all samples, have a cosine of at least 0.9, either way round.</p>"
        )
    if swept.moving:
        text += f'<div class="strips">{"".join(figures[: swept.moving])}</div>'
    else:
        text += missing(f"No {swept.kind} changes any pixel by more than 8 grey levels of 255.")
    if rest := figures[swept.moving :]:
        text += (
            f"<details><summary>{len(rest)} that do nothing visible: no pixel changes by more than 8 grey levels of 255"
            f'</summary><div class="strips">{"".join(rest)}</div></details>'
        )
    return text


def _chart(matrix_KJ: charts.FloatArray, rows: Sequence[str], name: str, description: str) -> str:
    drawing = charts.inline_svg(lambda ink: charts.heat_map(matrix_KJ, rows, ink=ink), name, description)
    return f'<div class="chart">{drawing}</div>'


def variation_section(run: FinishedRun, dataset: ImageDataset | None, seed: int, folder: Path) -> Section:
    """The variation heat map; needs an encoder and known factors. Also writes ``variation.png``."""
    return Section("variation", "Which code follows which factor", _variation(run, dataset, seed, folder), "Variation")


def _variation(run: FinishedRun, dataset: ImageDataset | None, seed: int, folder: Path) -> str:
    if not run.has("encoder"):
        return missing(f"{method_name(run)} yields no encoder, so there are no codes.")
    if not isinstance(dataset, FactorDataset):
        without = "Needs" if dataset is None else f"The factors of {dataset.name} are not known. This needs"
        return missing(f"{without} a dataset with known factors: write the report again with --data shapes3d or such.")
    matrix_KJ = charts.variation(run.encoder, dataset, np.random.default_rng(seed))
    names = dataset.factor_names
    charts.save_chart(charts.heat_map(matrix_KJ, names, title="Variation of the codes"), folder / "variation.png")
    text = (
        f"<p>Pairs of images of {html.escape(dataset.name)} ({html.escape(dataset.source_name)}) that differ in one "
        "factor alone: how far each code moves, relative to the whole code vector. One strong cell in a row: one code "
        "alone follows that factor.</p>"
    )
    return text + _chart(matrix_KJ, names, "variation", _leaders(names, matrix_KJ))


def _leaders(names: Sequence[str], matrix_KJ: charts.FloatArray) -> str:
    pairs = zip(names, matrix_KJ.argmax(axis=1), strict=True)
    return f"Strongest code of {'; '.join(f'{name}: {j}' for name, j in pairs)}"


def scores_section(run: FinishedRun, table: tables.ScoreTable) -> Section:
    """The score table with its footnotes."""
    controlled = control_kind(run) is not None
    if not table.rows:
        option, what = (" --control", "the run and a control") if controlled else ("", "the run")
        how = f"Not evaluated yet: `contrafact evaluate {_folder(run)}{option}` scores {what}."
        return Section("scores", "Scores", missing(how))
    note = missing(_NO_CONTROL.format(_folder(run))) if controlled and "control" not in table.columns else ""
    return Section("scores", "Scores", tables.to_html(table) + note)


_NO_CONTROL = "No control stands beside these scores yet: `contrafact evaluate {} --control` makes and scores one."
PARTS = "sub_embedding_gaps"
"""Metric whose matrix is parts by tasks, not codes by factors; it has a table of its own."""
_MATRICES = {
    "mig": "Mutual information of codes and factors (MIG), in nats",
    "dci": "Importance of each code for each factor (DCI)",
    "mds": "How far each direction changes each attribute alone (MDS)",
    "attribute_dependency": "How far each direction changes each attribute, in deviations (attribute dependency)",
    "rescoring": "What a step along each direction does to each attribute (rescoring)",
    "matched_rescoring": "What steps that change the image equally do to each attribute (matched rescoring)",
}


def matrices_section(
    scores: Sequence[tables.Score], dataset: ImageDataset | None, folder: Path, annotated: Sequence[str] = ()
) -> Section:
    """The matrices of the run's scores, one per metric. Also writes ``<metric>.png``."""
    charted: dict[str, str] = {}
    for score in scores:
        if score.of != "run" or score.metric in charted or not score.matrix or score.metric.startswith(PARTS):
            continue
        draw = partial(_matrix, score, dataset, folder, annotated, len(charted))
        charted[score.metric] = drawn(f"The matrix of {score.metric}", draw)
    body = f'<div class="pair">{"".join(charted.values())}</div>' if charted else missing("No score with a matrix yet.")
    return Section("matrices", "Codes and factors, by metric", body, "Matrices")


def _matrix(
    score: tables.Score, dataset: ImageDataset | None, folder: Path, annotated: Sequence[str], number: int
) -> str:
    matrix_KJ = np.asarray(score.matrix, dtype=np.float64).T
    if score.attributes:  # effects of directions: which way they point is nobody's choice
        matrix_KJ = np.abs(matrix_KJ)
    rows = score.attributes or _factor_names(score.data, len(matrix_KJ), dataset, annotated)
    title = _MATRICES.get(score.metric, f"Codes and factors ({score.metric})")
    charts.save_chart(charts.heat_map(matrix_KJ, rows, title=title), folder / f"{score.metric}.png")
    chart = _chart(matrix_KJ, rows, f"matrix-{number}", f"{title}. {_leaders(rows, matrix_KJ)}")
    return f"<div><h3>{html.escape(title)}</h3>{chart}</div>"


def _factor_names(data: str, count: int, dataset: ImageDataset | None, annotated: Sequence[str]) -> Sequence[str]:
    """Names for ``count`` factors: all of the data's or, in a run with few labels, those it was told of."""
    known: Any = dataset if dataset is not None and dataset.name == data else None
    if known is None and data in DATASETS:
        known = DATASETS.get(data)
    for names in (getattr(known, "factor_names", ()), annotated):
        if len(names) == count:
            return names
    return [f"factor {k}" for k in range(count)]


def training_section(run: FinishedRun, folder: Path) -> Section:
    """One panel per logged value. Also writes ``losses.png``."""
    names = charts.scalars(run.log)
    if not names:
        return Section("training", "Training", missing("This run logged nothing: the method does not train in steps."))
    charts.save_chart(charts.loss_curves(run.log), folder / "losses.png")
    panels = "".join(_panel(run.log, name, f"loss-{number}") for number, name in enumerate(names))
    text = "<p>Pale: as logged. Strong: smoothed. Across: steps.</p>"
    return Section("training", "Training", f'{text}<div class="panels chart">{panels}</div>')


def _panel(log: Sequence[Mapping[str, float]], name: str, identifier: str) -> str:
    last = next(line[name] for line in reversed(log) if name in line)
    description = f"{name} over the steps; at the end {last:.4g}"
    return charts.inline_svg(lambda ink: charts.loss_curves(log, [name], ink=ink), identifier, description)


def settings_section(run: FinishedRun) -> Section:
    """Command, hyperparameters, where the data and the generator come from, environment."""
    config = run.config
    method = str(config.get("method"))
    defaults: dict[str, Any] = {}
    if method in METHODS:
        defaults = {name: field.default for name, field in flat_fields(METHODS.get(method)).items()}
    hyperparameters = config.get("hyperparameters", {})
    changed = {name for name, value in hyperparameters.items() if name in defaults and value != defaults[name]}
    source = dict(config.get("source", {}))
    if run.has("generator"):
        source |= {f"generator: {key}": value for key, value in run.generator.note.items()}
    rest: dict[str, Any] = {
        key: config[key] for key in ("seed", "precision", "processes", "joint_batch") if key in config
    }
    about = html.escape(METHODS.summary(method)) if method in METHODS else ""
    program, *arguments = config.get("command") or ["(command not recorded)"]
    command = shlex.join([Path(program).name, *(without_home(str(argument)) for argument in arguments)])
    return Section(
        name="settings",
        heading="Settings and provenance",
        link="Settings",
        body=f"<p>{about}</p><pre>{html.escape(command)}</pre>"
        '<div class="columns"><div>'
        f"<h3>Hyperparameters</h3>{_facts(hyperparameters, changed)}"
        + ('<p class="soft">Bold: differs from the default.</p>' if changed else "")
        + f"</div><div><h3>Source</h3>{_facts(source)}<h3>Run</h3>{_facts(rest | config.get('environment', {}))}"
        "</div></div>",
    )


def _folder(run: FinishedRun) -> str:
    """The run's folder, and the option that gives its generator, as a page that is passed on may name them."""
    return quoted(*map(without_home, [str(run.folder), *run.generator_options()]))


def _facts(facts: Mapping[str, Any], bold: Collection[str] = ()) -> str:
    rows = []
    for key, value in facts.items():
        text = html.escape(without_home(value) if isinstance(value, str) else json.dumps(value))
        rows.append(
            f"<tr><th scope=row>{html.escape(key.replace('_', ' '))}</th>"
            f"<td>{f'<strong>{text}</strong>' if key in bold else text}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def loading_section(run: FinishedRun) -> Section:
    """The lines of Python that load the run."""
    own = ", generator=my_generator" if run.is_on_own_generator and run.has("generator") else ""
    lines = ["import contrafact as cf", f"run = cf.load_run({without_home(str(run.folder))!r}{own})"]
    if run.has("encoder"):
        lines.append("codes = run.encoder(images)  # float images (N, C, H, W) in [0, 1]")
    if run.has("generator"):
        moved = "run.directions(latent, index=0, magnitude=2.0)" if run.has("directions") else "latent"
        lines.append(f"images = run.generator({moved})")
    elif run.has("directions"):
        lines.append("moved = run.directions(latent, index=0, magnitude=2.0)")
    code = html.escape("\n".join(lines))
    return Section("python", "Use it in Python", f"<pre>{code}</pre>")
