import sys

import pytest

from contrafact.core import command
from contrafact.core.command import how_to_go_on, recorded, running, title, until_it_ends, without_home


def test_a_path_is_cut_to_what_lies_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert without_home(str(tmp_path / "runs" / "first")) == "runs/first"
    assert without_home(f"--data={tmp_path}/photos") == "--data=photos"
    assert without_home(str(tmp_path.parent / "my photos")) == "my photos"
    assert without_home("/home/ann/net.py:Net") == "net.py:Net"
    assert without_home("~/photos") == "photos"
    assert without_home("/") == "..."
    for plain in ("shapes3d", "photos/cats", "analytic:room", "--steps=3", "0.5", ""):
        assert without_home(plain) == plain


def test_the_running_command_is_recorded_not_the_program_that_called_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/ann/bin/train.py", "/home/ann/photos"])
    assert recorded() == ["train.py", "photos"]
    with running(["fit", "sefa", "--generator", "/home/ann/ffhq.pkl"]):
        assert recorded() == ["contrafact", "fit", "sefa", "--generator", "ffhq.pkl"]
        with running(["bench"]):
            assert (command.name(), title()) == ("bench", "contrafact bench")
        assert title() == "contrafact fit"
    assert (command.name(), title()) == ("", "train.py")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "disco"], "go on with the same command and --resume"),
        (["bench", "disco-table4"], "the same command goes on from there"),
        (["evaluate", "run", "--control"], "the same command goes on from there"),
    ],
)
def test_how_to_go_on_fits_the_command(arguments, words):
    with running(arguments):
        assert how_to_go_on() == words


def test_only_a_running_command_ends():
    with pytest.raises(RuntimeError, match="no command is running"):
        until_it_ends(running([]))
