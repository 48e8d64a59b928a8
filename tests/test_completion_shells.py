"""The completion scripts in zsh and fish themselves, as if keys were pressed there; bash is in test_cli_help.py."""

import os
import shutil
import subprocess
import sys

import pytest

ZSH = """
zmodload zsh/zpty
zpty shell 'zsh -f -i'
wait_for() { local got='' part; repeat 300 { if zpty -r -t shell part; then got+=$part; else sleep 0.1; fi
    [[ $got == *$1* ]] && break }; print -r -- "$got" }
zpty -w shell "PS1= PROMPT_EOL_MARK= ; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D"
zpty -w shell 'source <(contrafact completion zsh); bindkey "^X" kill-whole-line'
zpty -w shell 'show() { print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N show; bindkey "^G" show; print SET"UP"'
wait_for SETUP >/dev/null
for line in "$@"; do
    zpty -n -w shell "$line"$'\\t'$'\\a'
    wait_for '>>' | grep -o '<<.*>>'
done
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder with a file in it, where ``contrafact`` is this one."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "contrafact"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m contrafact "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "alpha.h5").touch()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("contrafact eva", {"evaluate"}, {"fit"}),
        ("contrafact fit zero", {"zerodim"}, {"vae"}),
        ("contrafact fit vae --data ", {"shapes3d", "alpha.h5"}, {"zerodim"}),
        ("contrafact fit vae --preset=q", {"--preset=quick"}, {"quick"}),
        ("contrafact report al", {"alpha.h5"}, {"shapes3d"}),
    ],
)
def test_fish_completes(program, line, some, none):
    script = f"contrafact completion fish | source; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    found = set(done.stdout.splitlines())
    assert some <= found
    assert not none & found


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(program):
    pressed = {
        "contrafact eva": "contrafact evaluate ",
        "contrafact fit zero": "contrafact fit zerodim ",
        "contrafact fit vae --preset q": "contrafact fit vae --preset quick ",
        "contrafact fit vae --preset=q": "contrafact fit vae --preset=quick ",
        "contrafact report al": "contrafact report alpha.h5 ",
    }
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", *pressed], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split("\n")[:-1] == [f"<<{line}>>" for line in pressed.values()], done.stderr
