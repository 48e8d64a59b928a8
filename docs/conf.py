"""Sphinx: guides in Markdown, and a reference that is generated from the catalogues.

Every method, metric, dataset and generator gets a page from its docstrings without anybody listing it. Notes on one
(how it was built, results) go to ``docs/<folder>/<name>.md`` and become the end of its page.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.util import inspect as sphinx_inspect

from contrafact import __version__
from contrafact.core.catalog import Catalog
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS

project, author, release = "contrafact", "the contrafact authors", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
html_theme = "furo"
html_title = "contrafact"
exclude_patterns = ["_build", "results/*", *(f"{catalog.folder}/*" for catalog in (METHODS, METRICS, DATA, GENERATORS))]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# An alias inside a union is printed by its repr, which would be TypeAliasForwardRef('ArrayLike').
sphinx_inspect.TypeAliasForwardRef.__repr__ = lambda self: self.name  # type: ignore[method-assign]
autodoc_type_aliases = {name: name for name in ("ArrayLike", "FloatArray", "IntArray", "BoolArray")}
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True  # as fields of their class: an attribute documented twice is a warning otherwise

DOCS = Path(__file__).parent
TITLES = {"methods": "Methods", "metrics": "Metrics", "data": "Data", "generators": "Generators"}
CORE = (
    *("method", "metric", "active", "dataset", "generator", "encoder"),
    *("directions", "direction_files", "artefact", "run"),
    *("catalog", "budget"),
)
EVALUATION = tuple(
    f"evaluation.{name}"
    for name in (
        *("codes", "result", "bootstrap", "compare", "tables", "reference"),
        *(
            "run",
            "sampling",
            "scores",
            "representations",
            "classes",
            "control",
            "untrained",
            "regression",
            "codes_file",
        ),
    )
)
EDITING = (
    *(f"editing.{name}" for name in ("inversion", "latents", "directions", "export", "deformator")),
    *(f"editing.{name}" for name in ("photographs", "similarity", "encoder")),
    *(f"report.{name}" for name in ("figures", "comparison", "planes", "cube", "study", "study_score")),
    *(f"app.{name}" for name in ("session", "state", "survey", "search", "again")),
)


def write_reference(folder: Path) -> list[Path]:
    """Write the reference pages; returns them. Unchanged pages keep their date, so that Sphinx need not read them."""
    pages: dict[Path, str] = {}
    tables = _overview()
    rows = list(tables.measured())
    for catalog in (METHODS, METRICS, DATA, GENERATORS):
        listed = "\n".join(f"{catalog.folder}/{name}" for name in catalog)
        pages[folder / f"{catalog.folder}.md"] = (
            f"# {TITLES[catalog.folder]}\n\n{_summaries(catalog)}\n\n:::{{toctree}}\n:hidden:\n\n{listed}\n:::\n"
        )
        for name in catalog:
            pages[folder / catalog.folder / f"{name}.md"] = _entry(catalog, name)
            if catalog is METHODS and (numbers := tables.of_method(name, rows)):
                pages[folder / catalog.folder / f"{name}.md"] += f"\n{numbers}"
    modules = "\n\n".join(_automodule(f"contrafact.core.{name}") for name in CORE)
    pages[folder / "core.md"] = f"# Contracts\n\n{modules}\n"
    modules = "\n\n".join(_automodule(f"contrafact.{name}") for name in EVALUATION)
    pages[folder / "evaluation.md"] = f"# Evaluation\n\n{modules}\n"
    modules = "\n\n".join(_automodule(f"contrafact.{name}") for name in EDITING)
    pages[folder / "editing.md"] = f"# Editing and figures\n\n{modules}\n"
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for stale in set(folder.rglob("*.md")) - set(pages):
        stale.unlink()
    return list(pages)


def _overview() -> Any:
    """The script that knows what every table holds."""
    spec = importlib.util.spec_from_file_location("overview", DOCS / "results" / "overview.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["overview"] = module  # dataclasses and named tuples look their module up
    spec.loader.exec_module(module)
    return module


def _summaries(catalog: Catalog) -> str:
    return "\n".join(f"- [{name}]({catalog.folder}/{name}.md): {catalog.summary(name)}" for name in catalog)


def _entry(catalog: Catalog, name: str) -> str:
    text = f"# {name}\n\n{_automodule(f'contrafact.{catalog.folder}.{name}')}\n"
    if (DOCS / catalog.folder / f"{name}.md").exists():
        text += f"\n:::{{include}} ../../{catalog.folder}/{name}.md\n:relative-images:\n:::\n"
    return text


def _automodule(module: str) -> str:
    return f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :show-inheritance:\n```"


def read_plainly(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let ``|x|`` be an absolute value, not a substitution, and a field's text with a colon a text, not a type."""
    for number, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[number] = "``".join(parts)
    if what == "attribute" and lines:
        # Napoleon takes what stands before a colon inside the first line for a type; at its end it is just a colon.
        lines[:1] = lines[0].replace(": ", ":\n", 1).split("\n")


def make_page_to_play_with(app: Any, error: Exception | None) -> None:
    """Make ``play.html``, which docs/explore.md links to; a build without a network goes without."""
    page = Path(app.outdir) / "play.html"
    if error is not None or app.builder.format != "html" or page.exists():
        return
    rooms = DOCS / "pictures" / "rooms.safetensors"
    command = ["explore", "--generator", "shapes3d-64", "--use", str(rooms), "--export", str(page)]
    # Where that fails, it has said why.
    subprocess.run([sys.executable, "-m", "contrafact", *command], stdout=subprocess.DEVNULL, check=False)


def setup(app: Any) -> None:
    """Generate the reference before Sphinx looks for files."""
    write_reference(DOCS / "reference")
    app.connect("build-finished", make_page_to_play_with)
    app.connect("autodoc-process-docstring", read_plainly, priority=100)  # before napoleon reads it
