import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from contrafact.cli import main
from contrafact.core import claim as claims
from contrafact.core.artefact import load_artefact
from contrafact.core.claim import CLAIM, AlreadyClaimed, claim, free_from_gone_machines
from contrafact.core.command import running
from contrafact.core.directions import Directions
from contrafact.core.files import read_json
from tests.core.toy import Toy, toy_generator, toy_run

HOLD = """
    import sys
    from contrafact.core.claim import claim
    with claim(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder):
    """Another process holds ``folder`` within the block."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        try:
            yield other
        finally:
            other.stdin.close()


def test_another_process_is_refused_and_told_who_holds_the_folder(tmp_path):
    folder = tmp_path / "run"
    with held_elsewhere(folder) as other:
        who = re.escape(f"(pid {other.pid} on {socket.gethostname()}, since 20")
        with pytest.raises(AlreadyClaimed, match=rf"run is in use by `-c` {who}.*\); wait until it has"):
            Toy().fit(toy_generator(), toy_run(folder))
        assert sorted(p.name for p in folder.iterdir()) == [CLAIM]
    Toy().fit(toy_generator(), toy_run(folder))
    assert not (folder / CLAIM).exists()


def test_a_killed_process_frees_the_folder_at_once(tmp_path):
    with held_elsewhere(tmp_path) as other:
        other.kill()
        other.wait()
        assert read_json(tmp_path / CLAIM)["pid"] == other.pid  # it could not clean up
        with claim(tmp_path):
            assert read_json(tmp_path / CLAIM)["pid"] == os.getpid()


RACE = """
    import sys, time
    from contrafact.core.claim import AlreadyClaimed, claim
    folder, go = sys.argv[1], float(sys.argv[2])
    inside = 0
    while time.time() < go:
        pass
    for _ in range(300):
        try:
            with claim(folder):
                open(folder + "/alone", "x").close()
                __import__("os").unlink(folder + "/alone")
                inside += 1
        except AlreadyClaimed:
            pass
    print(inside)
"""


def test_two_processes_are_never_inside_together(tmp_path):
    """Folder and claim come and go all the time here: the file that is locked must be the one in the folder."""
    import time

    command = [sys.executable, "-c", textwrap.dedent(RACE), str(tmp_path / "run"), str(time.time() + 1)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [error for _, error in outputs] == ["", ""]
    assert all(int(inside) > 0 for inside, _ in outputs)


def test_claims_of_one_thread_nest_and_another_thread_is_refused(tmp_path):
    refused = []

    def other():
        try:
            with claim(tmp_path / "." / "run"):
                pass
        except AlreadyClaimed as error:
            refused.append(str(error))

    with claim(tmp_path / "run"):
        with claim(tmp_path / "run"), claim(tmp_path / "run" / "control"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (tmp_path / "run" / CLAIM).exists()
    assert len(refused) == 1
    assert f"pid {os.getpid()}" in refused[0]


def test_a_folder_into_which_nothing_came_goes_again(tmp_path):
    with claim(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with claim(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["file"]


def test_another_machines_claim_counts_until_it_is_deleted(tmp_path):
    said = {"pid": 12, "host": "elsewhere", "command": "contrafact fit", "since": "2026-01-02 03:04:05"}
    (tmp_path / CLAIM).write_text(json.dumps(said))
    message = (
        "is in use by `contrafact fit` (pid 12 on elsewhere, since 2026-01-02 03:04:05); wait until it has ended. "
        f"If it was killed, delete {tmp_path / CLAIM} and try again"
    )
    with pytest.raises(AlreadyClaimed, match=re.escape(message)), claim(tmp_path):
        pass
    (tmp_path / CLAIM).unlink()
    with claim(tmp_path):
        pass


@pytest.mark.parametrize("said", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_claim_cut_short_by_a_kill_binds_nobody(tmp_path, said):
    (tmp_path / CLAIM).write_text(said)
    with claim(tmp_path):
        pass


def test_without_locks_a_living_process_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_lock", lambda descriptor: None)
    with held_elsewhere(tmp_path) as other:
        with pytest.raises(AlreadyClaimed, match=rf"pid {other.pid} .*If it was killed, delete"), claim(tmp_path):
            pass
        other.kill()
        other.wait()
        with claim(tmp_path):
            pass
    assert not (tmp_path / CLAIM).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_holds_nor_frees_the_folder(tmp_path):
    with claim(tmp_path):
        pid = os.fork()
        if pid == 0:
            try:
                with claim(tmp_path):
                    os._exit(1)
            except AlreadyClaimed:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert (tmp_path / CLAIM).exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(OSError, match=r"cannot write .*\.claim: Read-only file system; make it writable"),
        claim(tmp_path),
    ):
        pass


def test_temporary_files_of_killed_processes_are_swept_up_and_nothing_else(tmp_path):
    ours = [".config.json.k3x9_a2b.json", ".checkpoint.pt.abcdefgh.pt", "figures/.losses.png.00000000.png"]
    others = [".gitignore", ".notes.txt.backup", ".config.json.K3X9.json", "config.json", ".a.b.abcdefgh.c"]
    (tmp_path / "figures").mkdir()
    for name in [*ours, *others]:
        (tmp_path / name).touch()
    with claim(tmp_path):
        pass
    assert [name for name in ours if (tmp_path / name).exists()] == []
    assert [name for name in others if not (tmp_path / name).exists()] == []


def test_beside_a_file_only_its_own_temporary_files_are_swept_up(tmp_path):
    ours, another = ".scores.json.k3x9_a2b.json", ".other.json.k3x9_a2b.json"
    for name in (ours, another):
        (tmp_path / name).touch()
    with claim(tmp_path / "scores.json"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [another]


def test_ctrl_c_while_it_is_signed_frees_the_folder(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("contrafact.core.claim._sign", interrupted)
    with pytest.raises(KeyboardInterrupt), claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_itself(tmp_path):
    with running(["evaluate", "run"]), claim(tmp_path):
        assert read_json(tmp_path / CLAIM)["command"] == "contrafact evaluate"


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claimed") / "run"
    assert main(["fit", "sefa", "--generator", "analytic", "--num-directions", "3", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "sefa", "--generator", "analytic", "--num-directions", "3", "--resume", "--out", "RUN"],
        ["evaluate", "RUN"],
        ["name", "RUN", "0", "turn"],
        ["traverse", "RUN"],
        ["report", "RUN"],
        ["plane", "RUN", "0", "1"],
        ["compare", "RUN", "RUN", "--out", "RUN"],
        ["edit", "RUN", "--latent", "3", "--direction", "0", "--out", "RUN"],
        ["study", "make", "RUN", "--out", "RUN"],
        ["bench", "disco-table4", "--out", "RUN"],
    ],
)
def test_every_command_that_writes_to_a_folder_is_refused(finished, command, capsys, monkeypatch):
    monkeypatch.setattr("contrafact.core.direction_files._WAIT_SECONDS", 0.0)
    monkeypatch.setattr("contrafact.bench.results._PATIENCE_SECONDS", 0.0)
    before = sorted(p.name for p in finished.rglob("*"))
    with held_elsewhere(finished) as other:
        assert main([str(finished) if part == "RUN" else part for part in command]) == 2
        error = capsys.readouterr().err
        assert f"is in use by `-c` (pid {other.pid} on" in error
    assert sorted(p.name for p in finished.rglob("*")) == before


NAME = """
    import sys
    from contrafact.core.direction_files import name_direction
    sys.stdin.readline()
    name_direction(sys.argv[1], int(sys.argv[2]), sys.argv[3])
"""


def test_two_namings_at_once_lose_no_name(finished):
    program = [sys.executable, "-c", textwrap.dedent(NAME), str(finished)]
    both = [subprocess.Popen([*program, n, name], stdin=subprocess.PIPE) for n, name in (("0", "turn"), ("2", "grow"))]
    for process in both:
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait() for process in both] == [0, 0]
    names = load_artefact(finished / "directions.safetensors", Directions).names
    assert [names[0], names[2]] == ["turn", "grow"]


def test_a_default_folders_number_is_taken_once(tmp_path, monkeypatch):
    from contrafact.cli.fit import RunOptions, _run_folder

    monkeypatch.chdir(tmp_path)
    options = RunOptions(generator="analytic")
    with _run_folder("sefa", options) as first, _run_folder("sefa", options) as second:
        assert (first.name, second.name) == ("sefa-analytic-1", "sefa-analytic-2")
        (second / "config.json").touch()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["sefa-analytic-2"]


class _WindowsLocks:
    """Windows' ``msvcrt``: a lock of bytes from where the file stands; those bytes nobody else may read."""

    LK_NBLCK = 2

    def __init__(self):
        self.at = []

    def locking(self, descriptor, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        self.at.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PermissionError(errno.EACCES, "Permission denied") from None


@pytest.fixture
def windows(monkeypatch):
    """Claims as on Windows: its locks, no fcntl and no preadv, and no deleting of what a process has open."""
    locks, unlink = _WindowsLocks(), os.unlink

    def unlink_closed(path, **options):
        there = os.stat(path)
        opened = []
        for number in os.listdir("/dev/fd"):
            with suppress(OSError):  # what listed them
                opened.append(os.fstat(int(number)))
        if any(os.path.samestat(there, found) for found in opened):
            raise PermissionError(errno.EACCES, "The process cannot access the file", os.fspath(path))
        unlink(path, **options)

    def unlink_or_keep(path, **options):
        try:
            unlink_closed(path, **options)
        except PermissionError as error:
            kept.append(error)
            raise

    kept = []
    monkeypatch.setattr(claims, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails
    monkeypatch.delattr(os, "preadv")
    monkeypatch.setattr(os, "unlink", unlink_or_keep)
    yield locks
    assert not kept, "an open file was to be deleted"


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")
def test_on_windows_a_folder_is_claimed_and_freed(tmp_path, windows):
    refused = []

    def other():
        try:
            with claim(tmp_path / "run"):
                pass
        except AlreadyClaimed as error:
            refused.append(str(error))

    with claim(tmp_path / "run"):
        said = (tmp_path / "run" / CLAIM).stat().st_size
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        (tmp_path / "run" / "kept").touch()
    assert len(refused) == 1
    assert f"pid {os.getpid()}" in refused[0]
    assert min(windows.at) > said, "the locked byte is none of those that say who holds it"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]
    with claim(tmp_path / "run"):
        pass


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")
def test_on_windows_a_method_fits_and_is_read_back(tmp_path, windows):
    Toy().fit(toy_generator(), toy_run(tmp_path / "run"))
    assert not (tmp_path / "run" / CLAIM).exists()
    assert load_artefact(tmp_path / "run" / "directions.safetensors", Directions).num_directions


def test_a_machine_that_is_gone_leaves_nothing_claimed_and_others_keep_theirs(tmp_path):
    """Of a folder and all in it, files too; a claim that somebody holds here is his, whatever it says."""

    def says(place, host):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"pid": 1, "host": host, "command": "contrafact", "since": "then"}))
        return place

    gone = [
        says(tmp_path / CLAIM, "gone"),
        says(tmp_path / "run" / CLAIM, "gone too"),
        says(tmp_path / "run" / f".scores.jsonl{CLAIM}", "gone"),
    ]
    kept = [
        says(tmp_path / "control" / CLAIM, "there"),
        says(tmp_path / "read" / CLAIM, socket.gethostname()),
        tmp_path / "half" / CLAIM,
    ]
    kept[-1].parent.mkdir()
    kept[-1].write_text('{"pid": 1, "ho')
    with held_elsewhere(tmp_path / "held"):
        held = says(tmp_path / "held" / CLAIM, "gone")
        assert free_from_gone_machines(tmp_path, ["there"]) == len(gone)
        assert not any(path.exists() for path in gone)
        assert all(path.exists() for path in [*kept, held])
    with claim(tmp_path), claim(tmp_path / "run"):
        pass
    assert free_from_gone_machines(tmp_path / "nowhere", []) == 0
