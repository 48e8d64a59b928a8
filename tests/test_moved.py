import importlib
import subprocess
import sys

import pytest

from contrafact._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_module_at_its_new_place(old):
    home = importlib.import_module(f"contrafact.{MOVED[old]}")
    sys.modules.pop(f"contrafact.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"contrafact.{old} is contrafact.{MOVED[old]} now"):
        module = importlib.import_module(f"contrafact.{old}")
    assert module is home
    assert module.__spec__.name == f"contrafact.{MOVED[old]}"


def test_both_ways_of_writing_an_import_work():
    old = "contrafact.nn"
    code = f"from {old}.contrastive import pair_losses; from contrafact.bench import scores; print(scores.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert f"DeprecationWarning: {old}.contrastive is contrafact.losses.contrastive now" in done.stderr
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "contrafact.evaluation.scores", done.stderr


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"contrafact\.nn\.nothing"):
        importlib.import_module("contrafact.nn.nothing")
