import re
import sys

import pytest

from contrafact.core import progress
from contrafact.core.progress import Progress


def test_a_log_file_gets_a_line_now_and_then(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with Progress("training", 100, first=10) as bar:
        for _ in range(30):
            now += 1.0
            bar.show({"loss": 0.12345})
            bar.advance()
    assert capsys.readouterr().err == "training: 30/100, 70 s left loss 0.123\n"


def test_quiet_means_quiet(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    with Progress("training", 3, enabled=False) as bar:
        bar.advance(3)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress("training", 4) as bar:
        bar.show({"loss": 0.5})
        bar.advance(4)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "training" in shown
    assert "4/4" in shown
    assert "left" in shown


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_pass_through(error):
    with pytest.raises(error), Progress("training", 2):
        raise error
