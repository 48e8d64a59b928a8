"""What a release says of itself: bounds, versions and places agree wherever they are written."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = "https://github.com/contrafact/contrafact"


def test_the_lowest_versions_are_the_lower_bounds():
    bounds = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in PROJECT["dependencies"])
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lowest.pop("torch") in (ROOT / "constraints.txt").read_text()
    bounds.pop("torch")
    assert lowest == bounds


def test_every_python_that_is_claimed_is_checked():
    claimed = {line.split(" :: ")[-1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    hosted = (ROOT / ".github/workflows/ci.yml").read_text()
    assert claimed == set(re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", hosted)[1]))
    assert PROJECT["requires-python"] == ">=3.11"


def test_hosted_checks_call_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", (ROOT / ".github/workflows/ci.yml").read_text()):
        assert f"\n{target}:" in makefile, target


def test_the_project_is_at_one_address():
    assert all(url.startswith(BASE) for url in PROJECT["urls"].values())
    assert f'repository-code: "{BASE}"' in (ROOT / "CITATION.cff").read_text()


def test_links_of_the_readme_are_absolute_and_lead_to_files():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert all(link.startswith("https://") for link in links)
    ours = [link.removeprefix(BASE) for link in links if link.startswith(BASE)]
    assert len(ours) > 5
    for link in ours:
        path = re.fullmatch(r"/(?:blob|raw)/main/(.+)", link)
        assert path, link
        assert (ROOT / path[1]).is_file(), link


def test_the_readme_gives_its_one_idea_before_the_methods():
    text = (ROOT / "README.md").read_text()
    order = [text.index(part) for part in ("![", "pip install contrafact", "```python", "**One idea:**", "## Methods")]
    assert order == sorted(order)
