"""``contrafact explore`` as somebody types it, and ``run.explore()`` in a notebook."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contrafact.cli import main
from contrafact.cli.explore import run_or_generator
from contrafact.core.method import load_run
from tests.app.talking import fetch, talking

posix = pytest.mark.skipif(os.name == "nt", reason="sends a signal")


@posix
def test_the_command_prints_its_address_serves_and_ends_with_ctrl_c(disco_folder):
    command = [sys.executable, "-m", "contrafact", "explore", str(disco_folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "the page is at\n"
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
            assert process.stdout.readline() == "Ctrl-C ends it\n"
            assert fetch(address)[0] == 200
            with talking(address) as talk:  # an open page does not keep it from ending
                assert talk.picture({"latent": {"seed": 1}})[1] is not None
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out == "the page has ended\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a run folder, or a generator"),
        (("--generator", "analytic", "--host", "0.0.0.0"), "--expose-to-network"),
        (("--generator", "analytic", "--host", "192.168.1.5"), "--expose-to-network"),
        (("--generator", "analytic", "--port", "70000"), "port"),
        (("--generator", "analytic", "--fp16"), "of --export"),
        (("nowhere",), "nowhere"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_measured(arguments, words, capsys):
    assert main(["explore", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_one_word_is_a_run_or_a_generator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").write_bytes(b"")
    (tmp_path / "shapes3d").mkdir()
    for word in ("mine.safetensors", "fashion-mnist", "analytic:room", "net.py:Mine"):
        assert run_or_generator(Path(word), None) == (None, word)
    assert run_or_generator(Path("shapes3d"), None) == (Path("shapes3d"), None), "a folder is a run's"
    assert run_or_generator(Path("nowhere"), None) == (Path("nowhere"), None)
    assert run_or_generator(Path("runs/a"), "fashion-mnist") == (Path("runs/a"), "fashion-mnist")


def test_without_the_packages_it_says_how_to_get_them(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["explore", "--generator", "analytic", "--no-browser"]) == 2
    assert "pip install 'contrafact[explore]'" in capsys.readouterr().err


def test_a_notebook_shows_the_page_in_a_frame(disco_folder):
    run = load_run(disco_folder)
    explorer = run.explore()
    try:
        assert f'src="{explorer.address}"' in explorer._repr_html_()
        assert explorer.address in repr(explorer)
        status, headers, _ = fetch(explorer.address)
        assert status == 200
        assert "frame-ancestors" not in headers["content-security-policy"], "a notebook may show it"
        with talking(explorer.address) as talk:
            assert talk.facts["title"] == "disco"
            talk.ask("rename", number=0, name="smile")
        assert run.directions.names[0] == "smile"
        port = urlsplit(explorer.address).port
    finally:
        explorer.stop()
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/")
