"""A run as a folder to pass on: what loads it, a model card with its picture and scores, and the upload to the Hub.

The card is what the Hugging Face Hub shows of a repository (https://huggingface.co/docs/hub/model-cards): facts in YAML
between two lines of dashes, then Markdown. Nothing of the person or the machine goes into the folder: no command, no
labels, no path but names.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from safetensors.torch import load_file

from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.claim import claim
from contrafact.core.describe import open_safetensors
from contrafact.core.files import atomic_path, write_json, write_text
from contrafact.core.hub import HubName, installed, is_hub, parse, told
from contrafact.core.method import FinishedRun
from contrafact.core.pictures import save_png
from contrafact.core.run import CONFIG, LOG, RESULT, SCORES
from contrafact.evaluation import scores as score_file
from contrafact.methods import CATALOG as METHODS
from contrafact.report.figures import sweep_run, traversal_sheet
from contrafact.report.tables import read_scores, score_table

CARD, STRIP = "README.md", "strip.png"
UNKNOWN_LICENSE = "unknown"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")
_MARK = "library_name: contrafact"
_HOW = ("seed", "precision", "processes", "joint_batch")
_KEPT = ("format", "method", "hyperparameters", "source", *_HOW, "environment")
_ENVIRONMENT = ("contrafact", "torch", "python")
_FILES = frozenset(
    (CARD, STRIP, CONFIG, RESULT, LOG, SCORES, "encoder.safetensors", "directions.safetensors", "generator.safetensors")
)
_MOST, _FRAMES, _SIDE = 8, 7, 128


@dataclass(frozen=True)
class Shared:
    """What was made to be passed on.

    Attributes:
        files: names and sizes in bytes.
        lines: of Python, which load it and use it.
        address: where it lies: a folder, or a name of the Hub's.
    """

    files: Mapping[str, int]
    lines: tuple[str, ...]
    address: str


def share_run(run: FinishedRun, to: str | Path, license: str = UNKNOWN_LICENSE) -> Shared:
    """Write a run into a folder of its own, as it may be passed on.

    Args:
        run: a finished run; one on a generator of somebody's own is shared without that.
        to: the folder: a new or empty one, or one written before, whose files are replaced.
        license: of the weights, by the short name that the Hub has for it: ``mit``.

    Raises:
        ValueError: a folder with something else in it, a license of another form.

    >>> import contrafact as cf
    >>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic", {"size": 16}), "runs/two")
    >>> shared = share_run(run, "two", license="mit")
    >>> print("\\n".join(shared.lines))
    import contrafact as cf
    run = cf.load_run("two")
    images = run.generator(run.directions(run.generator.sample(4, seed=0), 0, 2.0))
    >>> sorted(name for name in shared.files if not name.endswith(".json"))
    ['README.md', 'directions.safetensors', 'generator.safetensors', 'strip.png']
    """
    check_license(license)
    return _write(run, Path(to), license, str(to), ".")


def check_license(license: str) -> None:
    """Refuse what the Hub would (ValueError)."""
    if not _LICENSE.fullmatch(license):
        raise ValueError(
            f"a license is given by its short name on the Hub, such as mit, apache-2.0 or cc-by-4.0, got {license!r}"
        )


def upload_run(
    run: FinishedRun, to: str, license: str = UNKNOWN_LICENSE, private: bool = False, dry_run: bool = False
) -> Shared:
    """:func:`share_run` to a repository of the Hugging Face Hub, which is made where there is none.

    Args:
        run: a finished run.
        to: ``hf://org/repo[@branch]``.
        license: as for :func:`share_run`.
        private: whether a repository that is made is seen by its owners alone.
        dry_run: make the files and upload none.

    Raises:
        ValueError: a name with a file in it, huggingface_hub not installed, or what the Hub refuses.
    """
    check_license(license)
    name, hub = parse(to), installed()
    if name.file:
        raise ValueError(f"a run is shared to a whole repository, hf://ORG/REPO[@BRANCH], got {to!r}")
    with tempfile.TemporaryDirectory() as folder:
        shared = _write(run, Path(folder), license, str(name), str(name))
        if not dry_run:
            with told(name):
                _upload(hub.HfApi(), name, folder, list(shared.files), private)
    return shared


def _upload(api: Any, name: HubName, folder: str, files: Sequence[str], private: bool) -> None:
    api.create_repo(name.repo, private=private, exist_ok=True)
    message = "Share a run of contrafact"
    api.upload_folder(
        repo_id=name.repo, folder_path=folder, allow_patterns=[*files], revision=name.revision, commit_message=message
    )


def _write(run: FinishedRun, folder: Path, license: str, address: str, here: str) -> Shared:
    """Write the files; ``here`` is the address in the card, which is read where it lies."""
    _check_target(run, folder)
    artefacts = {f"{name}.safetensors" for name in run.result["artefacts"]}
    with claim(folder):
        copied = [*sorted(artefacts), *([LOG] if (run.folder / LOG).exists() else [])]
        for name in copied:
            _copy(run.folder / name, folder / name)
        write_json(folder / CONFIG, _config(run))
        write_json(folder / RESULT, dict(run.result))
        lines = [json.dumps(_without_places(line)) for line in score_file.read_scores(run.folder)]
        if lines:
            write_text(folder / SCORES, "\n".join(lines) + "\n")
        rows: list[tuple[int, str, float]] = []
        if "generator" in run.result["artefacts"]:
            swept = sweep_run(run, 1, _FRAMES, most=_MOST, max_side=_SIDE)
            save_png(traversal_sheet(swept), folder / STRIP)
            rows = list(zip(swept.indices, swept.names, swept.change.tolist(), strict=True))
        written = {*artefacts, *copied, CONFIG, RESULT, *([SCORES] if lines else []), *([STRIP] if rows else []), CARD}
        for name in _FILES - written:  # of a run that was shared here before
            (folder / name).unlink(missing_ok=True)
        # The card comes last: where it is, the rest is whole.
        write_text(folder / CARD, _card(run, license, _lines(run, here), rows, _scores(folder)))
        sizes = {name: (folder / name).stat().st_size for name in sorted(written)}
    return Shared(sizes, _lines(run, address), address)


def _copy(source: Path, target: Path) -> None:
    if source.suffix != ".safetensors":
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        return
    check_tensors(source)
    said = open_safetensors(source, "an artefact of contrafact's")[0]
    said["note"] = json.dumps(_without_places(json.loads(said["note"])))  # it may say which file the generator was
    write_tensors(target, load_file(source), said)


def _check_target(run: FinishedRun, folder: Path) -> None:
    if folder.is_file():
        raise ValueError(f"{folder} is a file; name a folder with --to")
    if not folder.is_dir():
        return
    if folder.resolve() == run.folder.resolve():
        raise ValueError(f"{folder} is the run itself; name another folder with --to")
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _FILES]
    card = folder / CARD
    if others or (card.exists() and _MARK not in card.read_text(encoding="utf-8", errors="replace")):
        raise ValueError(
            f"{folder} holds something else ({', '.join(sorted(others)[:3]) or CARD}); name a new folder with --to"
        )


def _config(run: FinishedRun) -> dict[str, Any]:
    kept = {name: run.config[name] for name in _KEPT if name in run.config}
    if isinstance(kept.get("environment"), dict):
        kept["environment"] = {name: kept["environment"][name] for name in _ENVIRONMENT if name in kept["environment"]}
    cleaned = _without_places(kept)
    assert isinstance(cleaned, dict)
    return cleaned


def _without_places(value: Any) -> Any:
    """The value; of a path in it the name alone is left."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    if not isinstance(value, str) or is_hub(value):
        return value
    # A sentence with a stroke in it is no path unless it begins like one.
    begins = re.match(r"[A-Za-z]:\\|\\\\|[~/]|\.{1,2}[/\\]", value) is not None
    is_path = begins or (re.search(r"[/\\]", value) is not None and " " not in value)
    return (PureWindowsPath(value).name or "...") if is_path else value


def _lines(run: FinishedRun, address: str) -> tuple[str, ...]:
    has = run.result["artefacts"]
    start = ("import contrafact as cf", f"run = cf.load_run({json.dumps(address, ensure_ascii=False)})")
    if "generator" in has and "directions" in has:
        return (*start, "images = run.generator(run.directions(run.generator.sample(4, seed=0), 0, 2.0))")
    if "generator" in has:
        use = "images = run.generator(run.generator.sample(4, seed=0))"
    elif "directions" in has:
        use = "vectors = run.directions  # of a generator that is not in here: vectors(latent, index, magnitude)"
    else:
        use = "codes = run.encoder(images)  # float images (N, C, H, W), 0 to 1"
    return (*start, use)


def _card(
    run: FinishedRun,
    license: str,
    code: Sequence[str],
    rows: Sequence[tuple[int, str, float]],
    scores: Sequence[str],
) -> str:
    config = _config(run)
    method, source = str(config["method"]), config["source"]
    has = list(run.result["artefacts"])
    tags = ["contrafact", "disentanglement", *(["interpretable-directions"] if "directions" in has else []), method]
    facts = [f"license: {license}", _MARK, "tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    if "generator" in has:
        facts.append("pipeline_tag: unconditional-image-generation")
    about = METHODS.summary(method) if method in METHODS else ""
    size = "×".join(map(str, source["image_shape"][1:]))
    parts = [
        "---",
        *facts,
        "---",
        "",
        f"# {method} on {_text(source['name'])}",
        "",
        f"{about} Found by [contrafact](https://github.com/contrafact/contrafact) in "
        f"{'the generator' if source['kind'] == 'generator' else 'images of'} {_text(source['name'])} ({size} pixels). "
        f"It holds: {', '.join(has)}.".strip(),
        "",
    ]
    if rows:
        parts += [f"![What {'each direction' if 'directions' in has else 'each code'} changes]({STRIP})", ""]
    parts += ["## Use it", "", "```python", *code, "```", ""]
    if rows:
        kind = "direction" if "directions" in has else "code"
        parts += [f"| number | {kind} | mean change of a pixel, at most 1 |", "|---|---|---|"]
        parts += [f"| {number} | {_text(name)} | {change:.3f} |" for number, name, change in rows] + [""]
    parts += scores
    parts += ["## Settings", "", "| setting | value |", "|---|---|"]
    settings = {**config["hyperparameters"], "seed": config["seed"]}
    parts += [f"| {_text(name)} | {_text(json.dumps(value))} |" for name, value in settings.items()]
    return "\n".join(parts) + "\n"


def _scores(folder: Path) -> list[str]:
    table = score_table(read_scores(folder))
    if not table.rows:
        return []
    lines = [
        "## Scores",
        "",
        f"| score | {' | '.join(map(_text, table.columns))} |",
        "|---|" + "---|" * len(table.columns),
    ]
    for row in table.rows:
        marks = f" ({', '.join(map(str, row.notes))})" if row.notes else ""
        cells = " | ".join(str(row.cells[column]) if column in row.cells else "–" for column in table.columns)
        lines.append(f"| {_text(row.label)}{marks} | {cells} |")
    return [*lines, "", *(f"{number}. {_text(note)}" for number, note in enumerate(table.footnotes, start=1)), ""]


def _text(text: object) -> str:
    """A stranger's words as words of Markdown: no tag, no cell, no line of their own."""
    plain = " ".join(str(text).split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("[", "\\[").replace("`", "\\`")
