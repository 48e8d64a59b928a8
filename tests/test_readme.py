"""What README and guides show must exist: every command parses, every Python block compiles and imports."""

import ast
import re
import runpy
import shlex
from pathlib import Path

import pytest

import contrafact
from contrafact.bench.recipe import load_recipe
from contrafact.bench.suite import load_suite
from contrafact.cli import COMMANDS, main
from contrafact.cli._globals import split_plugins
from contrafact.cli._parse import parse
from contrafact.cli.fit import _parse as parse_fit
from contrafact.methods import CATALOG
from contrafact.methods.disco import DisCo

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = ("_build", "reference")
PAGES = [ROOT / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if p.relative_to(DOCS).parts[0] not in MADE)]
TEXTS = [(page.name, block) for page in PAGES for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL)]


def commands(text):
    """Command lines of a block that call contrafact, continued lines joined, placeholders left out."""
    lines = text.replace("\\\n", " ").splitlines()
    asked = [line for line in lines if line.startswith("$ ")]  # where there are any, the others are answers
    for line in asked or lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if "contrafact" in words[:8] and not any(
            word in line for word in ("...", "…", "METHOD", "NAME", "pip ", "from ")
        ):
            yield words[words.index("contrafact") + 1 :]


COMMAND_LINES = [(page, words) for page, text in TEXTS if "import" not in text for words in commands(text)]
PYTHON = [(page, block) for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]


def test_the_readme_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Every block in order, as a reader would; only steps and sample sizes are cut."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DisCo.presets, "quick", {**DisCo.presets["quick"], "steps": 2})
    text = (ROOT / "README.md").read_text()
    ran = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            exec(compile(block, "README.md", "exec"), {})
            ran.append("python")
            continue
        for command, *arguments in commands(block):
            smaller = ["--num-train", "300", "--num-test", "150"] if command == "evaluate" else []
            assert main([command, *arguments, *smaller]) in (0, None)
            ran.append(command)
    assert ran == ["python", "fit", "evaluate", "report", "python"]
    assert (tmp_path / "runs/first/report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_editing_guide_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """Every block in order; steps are cut, and blocks marked as not run left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DisCo.presets, "quick", {**DisCo.presets["quick"], "steps": 2})
    fewer = {
        "edit": ["--steps", "3"],
        "invert": ["--steps", "3", "--train-encoder", "2"],
        "attribute_predictor": ["--steps", "2"],
        "ganspace": ["--num-samples", "1000"],
        "plane": ["--steps", "31"],
    }
    ran = []
    text = (ROOT / "docs/editing.md").read_text()
    for not_run, language, block in re.findall(r"(<!-- not run: .+ -->\n)?```(\w+)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            exec(compile(block, "editing.md", "exec"), {})
            ran.append("python")
            continue
        for command, *arguments in [] if not_run else commands(block):
            if arguments[0] == "score":
                for path in Path("study").rglob("*.csv"):
                    path.write_text(path.read_text().replace(",,", ",yes,maybe"))
            few = fewer.get(arguments[0] if command == "fit" else command, [])
            assert main([command, *arguments, *few]) == 0, (command, arguments)
            ran.append(command)
    assert {"fit", "name", "edit", "invert", "traverse", "compare", "plane", "cube", "study", "export"} < set(ran)


def test_the_first_picture_says_what_is_drawn_in_it():
    """Names are given by eye; that every direction has one, and the text the same ones, is all that can be known."""
    drawn = runpy.run_path(str(DOCS / "pictures/faces.py"))
    assert sorted(drawn["NAMES"]) == list(range(int(re.search(r"--num-directions (\d+)", drawn["FIT"])[1])))
    for page in (ROOT / "README.md", DOCS / "index.md"):
        assert f"each on the same face: {', '.join(drawn['NAMES'].values())}](" in page.read_text(encoding="utf-8")
    assert drawn["FIT"].removesuffix(" --out") in (ROOT / "README.md").read_text(encoding="utf-8")
    assert drawn["FIT"] in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_there_is_something_to_check():
    assert len(COMMAND_LINES) >= 5
    assert len(PYTHON) >= 2


@pytest.mark.parametrize(
    ("page", "words"), COMMAND_LINES, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_every_command_shown_parses(page, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("from torch import nn\n\nNet = nn.Flatten\n", encoding="utf-8")  # a file of the reader's
    command, *arguments = split_plugins(words)[0]
    if arguments and arguments[-1] in ("-h", "--help"):
        assert command in COMMANDS
    elif command == "fit":
        of_ours = ROOT / arguments[0].partition(":")[0]  # docs/examples/….py:NAME, as called from a checkout
        parse_fit(CATALOG.admit(str(ROOT / arguments[0]) if of_ours.is_file() else arguments[0]), arguments[1:])
    else:
        options = parse(COMMANDS.module(command).Options, arguments, command)
        if command == "bench" and options.suite:
            load_suite(options.suite)
        elif command == "bench" and options.name:
            load_recipe(options.name)


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=lambda value: getattr(value, "name", None))
def test_every_python_block_compiles_and_its_names_exist(page, block):
    tree = ast.parse(block)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), page.name, "exec"), {})
    for dotted in re.findall(r"\bcf((?:\.\w+)+)", block):
        found = contrafact
        for name in dotted.strip(".").split("."):
            found = getattr(found, name)
