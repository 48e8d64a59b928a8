"""What an editor, a type checker and ``help()`` see of the package, from a user's side."""

import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import contrafact as cf
from contrafact.data import CATALOG as DATA
from contrafact.generators import CATALOG as GENERATORS
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS
from tests.stubs import stubs

PACKAGE = Path(cf.__file__).parent
ROOT = Path(__file__).parents[1]  # its mypy cache is warm after `make lint`
USER = """\
import contrafact as cf
import contrafact.metrics as m
from contrafact import Run, load_dataset, load_directions, load_run, wrap
from contrafact.methods import CDGAN, DisCo
from contrafact.metrics import Codes, compare, evaluate, mig

generator = cf.load_generator("shapes3d")
latent = generator.sample(4, cf.Run("runs/x").rng("latents"))
method: DisCo = cf.methods.DisCo.preset("quick")
score: float = m.dci(latent, latent).disentanglement
run = load_run("runs/x")
codes = run.encoder(run.generator(run.directions(latent, 3, 2.0)))

number: int = cf.load_generator("shapes3d")  # mistake
cf.load_generater("shapes3d")  # mistake
cf.methods.DisCoo()  # mistake
DisCo(stepz=3)  # mistake
mig(1, 2, bad=3)  # mistake
"""
MISTAKES = [number for number, line in enumerate(USER.splitlines(), 1) if line.endswith("# mistake")]


@pytest.mark.parametrize("path", stubs(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_stub_says_where_every_name_is(path):
    assert path.read_text(encoding="utf-8") == stubs()[path], "write them anew: python -m tests.stubs"


def checked(tmp_path, *command):
    """Lines of a user's file that a type checker complains about."""
    file = tmp_path / "user.py"
    file.write_text(USER)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([*command, str(file)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [int(found) for found in re.findall(r"user\.py:(\d+)(?::\d+)?(?: -)?:? error", done.stdout)]
    assert lines, done.stdout + done.stderr
    return lines


def test_mypy_finds_a_users_mistakes_and_nothing_else(tmp_path):
    assert checked(tmp_path, sys.executable, "-m", "mypy", "--strict") == MISTAKES


def test_pyright_finds_a_users_mistakes_and_nothing_else(tmp_path):
    assert checked(tmp_path, sys.executable, "-m", "pyright", "--pythonpath", sys.executable) == MISTAKES


def test_help_is_written():
    assert "load_generator" in pydoc.render_doc(cf)


def test_every_public_name_is_there():
    for name in cf.__all__:
        assert getattr(cf, name) is not None
        assert name in dir(cf)
    assert not hasattr(cf, "apps")
    with pytest.raises(AttributeError, match="module 'contrafact' has no attribute 'load_generater'"):
        _ = cf.load_generater


@pytest.mark.parametrize("catalog", [METHODS, METRICS, DATA, GENERATORS], ids=lambda catalog: catalog.folder)
def test_a_stub_names_every_entry(catalog):
    text = (PACKAGE / catalog.folder / "__init__.pyi").read_text()
    for name in catalog.own_names():
        assert f"import {catalog.get(name).__name__} as " in text
