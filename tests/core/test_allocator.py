"""A process that trains keeps the memory its tensors leave; nobody else does, and the environment has the last word."""

import contextlib
import os
import subprocess
import sys

import pytest

from contrafact import cli
from contrafact.core.allocator import keep_freed_memory

FAULTS = """
import resource, torch
from contrafact.core.allocator import keep_freed_memory
def faults():
    for i in range(30):  # the heap grows a few times first
        if i == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_freed_memory(), faults())
"""


def glibc() -> bool:
    return sys.platform == "linux" and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")


@pytest.mark.skipif("not glibc()")
def test_memory_that_is_kept_is_not_faulted_in_again():
    """Ten tensors of 64 MiB one after the other: all of their pages, or those of none."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=clean, capture_output=True, text=True, check=True)
    many, kept, few = done.stdout.split()
    assert kept == "True"
    assert int(many) > 5 * int(few)


def test_the_environment_has_the_last_word(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_only_commands_that_train_keep_memory(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: asked.append(sys.argv[1]))
    for command in ("list", "fit", "bench", "evaluate"):
        monkeypatch.setattr(sys, "argv", ["contrafact", command, "--help"])
        with contextlib.suppress(SystemExit):
            cli.main()
    cli.main(["fit", "--help"])
    assert asked == ["fit", "bench"]
    capsys.readouterr()
