"""Two thousand hostile and damaged files, the same ones every time; `make fuzz` reads a hundred thousand."""

import json
import subprocess
import sys
from pathlib import Path

from tests.fuzz.mutate import FAILED

ROOT = Path(__file__).parents[2]
FILES = 2000


def test_no_file_does_anything_but_be_read_or_refused(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--files", str(FILES), "--seed", "0", "--keep", tmp_path / "bad"]
    done = subprocess.run([*command, "--json", tmp_path / "results.jsonl"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert not [result["recipe"] for result in results if FAILED in result["recipe"]]
    outcomes = [result["outcome"] for result in results]
    assert len(outcomes) == FILES
    # Files are neither all hopeless nor all harmless.
    assert min(outcomes.count("value"), outcomes.count("refusal")) > FILES / 10
