"""The harness sees what it is there to see: readers put in for the library's, each at fault in its own way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.bad_readers import READERS

ROOT = Path(__file__).parents[2]
FILES = 200


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Every read of every bad reader, a second and 100 MiB allowed."""
    folder = tmp_path_factory.mktemp("fuzz")
    command = [sys.executable, "-m", "tests.fuzz", "--targets", "tests.fuzz.bad_readers", "--files", str(FILES)]
    command += ["--json", folder / "results.jsonl", "--keep", folder / "kept", "--seconds", "1", "--memory", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # bad reads are reported to whoever called
    found = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(found) == FILES
    for result in found:
        kept = folder / "kept" / f"{result['reader']}-{result['seed']}"
        assert kept.exists() == (result["outcome"] not in ("value", "refusal"))
    return found


@pytest.mark.parametrize("name", READERS)
def test_each_fault_is_seen(results, name):
    expected, _ = READERS[name]
    outcomes = {result["outcome"] for result in results if result["reader"] == name}
    assert expected in outcomes
    if name not in ("unpickles", "believes"):
        assert outcomes <= {expected, "value"}


def test_a_real_unpickler_sets_off_every_witness(results):
    """Payloads do run: the interpreter reports it, and the marks they leave are found."""
    said = "\n".join(result["detail"] for result in results if result["reader"] == "unpickles")
    for sign in ("left PWNED", "pickle.find_class", "os.system", "exec", "subprocess.Popen"):
        assert sign in said


def test_what_no_hook_sees_is_seen_by_its_mark(results):
    said = {result["detail"] for result in results if result["reader"] == "runs unseen"}
    assert said == {"left PWNED"}
