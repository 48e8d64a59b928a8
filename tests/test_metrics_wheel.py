"""``contrafact-metrics``: the wheel without torch, built from this tree, where nothing but its requirements is."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "packaging" / "metrics"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

SCRIPT = """
import sys
import numpy as np
from contrafact import metrics

factors = np.random.default_rng(0).integers(4, size=(300, 3))
codes = factors + np.random.default_rng(1).normal(size=factors.shape) * 0.1
evaluation = metrics.evaluate({"a": codes[:, 0], "b": codes[:, 1], "c": codes[:, 2], "d": -codes[:, 0]}, factors)
assert evaluation.scores()["mig_sup.score"] > 0.8
assert len(evaluation.results) > 20, list(evaluation.results)
print(len(evaluation.results), "metrics")
print(metrics.compare(codes, codes[:, :2], factors, metrics="mig", num_resamples=5)[0].p_corrected)
print(metrics.rank_methods({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.5]}).notes()[2])
assert not {name.partition(".")[0] for name in sys.modules} & {"torch", "matplotlib", "pandas", "rich", "tyro", "PIL"}
metrics.fid(codes, codes)
"""


def test_it_asks_for_no_more_than_contrafact_does():
    wanted = PROJECT["project"]["dependencies"]
    assert set(wanted) <= set(WHOLE["project"]["dependencies"])
    assert not any("torch" in requirement for requirement in wanted)
    assert PROJECT["project"]["license"] == WHOLE["project"]["license"]
    for source in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]:
        assert (FOLDER / source).exists(), source


def packages_of(*names):
    """Folders and modules at the top of installed packages, and of what they need in turn."""
    found, rest = set(), list(names)
    seen = set()
    while rest:
        name = rest.pop()
        if name in seen:
            continue
        seen.add(name)
        files = importlib.metadata.files(name)
        root = Path(importlib.metadata.distribution(name).locate_file(""))
        found |= {root / file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
        for requirement in importlib.metadata.requires(name) or ():
            if "extra" not in requirement:
                rest.append(requirement.split(";")[0].split(">")[0].split("<")[0].split("=")[0].split("!")[0].strip())
    return found


@pytest.mark.slow
def test_the_wheel_scores_matrices_where_there_is_no_torch(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, FOLDER]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("contrafact_metrics-*.whl")
    place = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, wheel], check=True
    )
    assert not (place / "contrafact" / "methods").exists()
    for path in packages_of("numpy", "scipy", "scikit-learn", "numba"):
        if not (place / path.name).exists():
            (place / path.name).symlink_to(path)
    start = f"import sys; sys.path.insert(0, {str(place)!r})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + SCRIPT], capture_output=True, text=True, check=False
    )
    assert "metrics\n" in done.stdout, done.stderr
    assert "3 paired runs can give no p below 0.25" in done.stdout, done.stderr
    assert "metric 'fid' needs torch: pip install contrafact" in done.stderr
