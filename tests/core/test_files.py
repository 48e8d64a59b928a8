import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from contrafact.core import files
from contrafact.core.command import running
from contrafact.core.files import append_text, atomic_path, explained, read_json, write_bytes, write_json, write_text


def test_writing_makes_parents_and_leaves_no_temporary_file(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": 1})
    write_bytes(tmp_path / "a" / "c", b"12")
    assert read_json(tmp_path / "a" / "b.json") == {"x": 1}
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["b.json", "c"]


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "old"
    path.write_text("old")

    def fail_halfway():
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_ctrl_c_just_after_the_temporary_file_was_made_leaves_none(tmp_path, monkeypatch):
    def interrupted(path, mode):
        open(path, mode).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "open", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "page.html", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_whose_place_a_file_lies_is_named(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "runs" / "page.html", "text")


def test_appending(tmp_path):
    for line in ("a\n", "b\n"):
        append_text(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"no space left on the disk for .*x; free some and run again with --resume"),
        (errno.EDQUOT, r"no space left on the disk for .*x; free some"),
        (errno.EROFS, r"cannot write .*x: .*; make it writable, or choose another folder with --out"),
        (errno.EACCES, r"cannot write .*x: .*; make it writable, or choose another folder with --out"),
    ],
)
def test_what_the_system_refuses_is_explained(tmp_path, monkeypatch, number, message):
    path = tmp_path / "x"
    path.write_text("old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=message):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_remedy_for_a_full_disk_fits_the_command():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with running(["bench", "disco-table4"]):
        assert "free some and run the same command again (earlier" in str(explained(full, Path("x")))
    with running(["fit", "disco"]):
        assert "free some and run again with --resume (earlier" in str(explained(full, Path("x")))


def test_artefacts_and_checkpoints_name_a_full_disk(tmp_path):
    """The real writers, against a real limit: a file size limit stands in for a disk that fills up."""
    program = textwrap.dedent("""
        import resource, signal, sys, torch
        from contrafact.core.processes import Processes
        from contrafact.core.artefact import save_artefact
        from contrafact.core.checkpoint import save_state
        from contrafact.core.directions import GlobalDirections
        from contrafact.core.files import append_text
        from pathlib import Path

        folder = Path(sys.argv[1])
        processes = Processes(torch.device("cpu"))
        small, large = GlobalDirections(4, 2), GlobalDirections(400, 400)
        save_artefact(small, folder / "d.safetensors")
        save_state(folder / "checkpoint.pt", {"d": small}, 1, processes)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for write in (
            lambda: save_artefact(large, folder / "d.safetensors"),
            lambda: save_state(folder / "checkpoint.pt", {"d": large}, 2, processes),
            lambda: append_text(folder / "log", "x" * 200_000),
        ):
            try:
                write()
            except OSError as error:
                print(error.strerror)
    """)
    before = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    lines = before.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("no space left on the disk for") and "--resume" in line for line in lines)
    assert (tmp_path / "d.safetensors").stat().st_size < 2_000
    assert (tmp_path / "checkpoint.pt").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("{", "is not valid JSON"), (json.dumps(1)[:0], "is not valid JSON")],
)
def test_reading_json_names_the_file(tmp_path, content, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"config.json {message}"):
        read_json(path)


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not (tmp_path / "x.json").exists()
