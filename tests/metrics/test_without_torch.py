"""Scoring matrices needs numpy, scipy, scikit-learn and numba alone: no torch in the environment, or none imported."""

import subprocess
import sys

import pytest

SCRIPT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("torch", "h5py", "PIL", "matplotlib", "safetensors", "tyro", "jinja2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
from contrafact import metrics

factors = np.random.default_rng(0).integers(4, size=(300, 2))
codes = factors + np.random.default_rng(1).normal(size=factors.shape) * 0.1
"""


def run(*lines):
    script = "\n".join([SCRIPT, *lines])
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_matrices_are_scored_and_compared_without_torch():
    done = run(
        "print(round(metrics.mig(codes, factors).score, 2))",
        "print(metrics.evaluate(codes, factors, metrics='sap,med').scores())",
        "print(metrics.compare(codes, codes[:, ::-1] ** 3, factors, metrics='mig', num_resamples=20))",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0.9"), done.stdout


def test_a_metric_of_images_says_what_it_misses():
    done = run("metrics.fid(codes, codes)")
    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("code", ["from contrafact.metrics import mig, dci, evaluate", "import contrafact.metrics"])
def test_the_import_brings_no_torch(code):
    script = f"{code}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
