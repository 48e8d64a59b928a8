"""A few of the lives of ``make kill``, and proof that lives find what they are there to find.

In processes of their own: a process that runs tests has threads, and cannot be forked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").exists(), reason="needs Linux")


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("sabotage", "found"),
    [
        ("write-in-place", "is damaged: "),
        ("forget-optimizer", "run/directions.safetensors differs"),
        ("promise-early", "run/directions.safetensors does not exist"),
    ],
)
def test_lives_find_what_they_are_there_to_find(sabotage, found):
    done = started("-m", "tests.kill", "--sabotage", sabotage, "--lives", "8", "--scenarios", "fit latentclr")
    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout
