"""A few of the lives of ``make kill``, and proof that lives find what they are there to find.

In processes of their own: a process that runs tests has threads, and cannot be forked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ["fit disco", "fit latentclr", "fit sefa", "fit vae", "fit lord", "fit simclr", "export", "name", "bench"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")


def kill(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.kill", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_whatever_ends_a_command_going_on_gives_the_same_files_and_of_two_at_once_one_is_refused():
    done = kill("--lives", "24", "--races", "3", "--seed", "1", "--scenarios", *QUICK)
    assert "\n0 of 24 lives differ" in done.stdout, done.stdout + done.stderr
    assert "\n0 of 3 races differ" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("sabotage", "options", "found"),
    [
        ("write-in-place", ("--lives", "8"), "is damaged: "),
        ("forget-optimizer", ("--lives", "8"), "run/directions.safetensors differs"),
        ("promise-early", ("--lives", "8"), "run/directions.safetensors does not exist"),
        (
            "share-folders",
            ("--lives", "1", "--races", "8", "--pairs", "name, two"),
            "race 0, name, two directions: exit codes (2, 0)",
        ),
    ],
)
def test_lives_find_what_they_are_there_to_find(sabotage, options, found):
    done = kill("--sabotage", sabotage, *options, "--scenarios", "fit latentclr")
    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout, done.stdout
