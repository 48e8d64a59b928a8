"""A method that does what it is told to, to its process too."""

from pathlib import Path

import pytest

from contrafact.bench.recipe import Row
from contrafact.evaluation.regression import RegressionSettings

OWN = '''
import errno, os, signal, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import torch
from contrafact.core.directions import GlobalDirections
from contrafact.core.method import Artefacts, Method

@dataclass(frozen=True)
class Obedient(Method):
    """Does what it is told to."""
    source: ClassVar[str] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    steps: int = 40
    does: str = "work"

    def train(self, source, run):
        begun = Path("begun-" + self.does)
        before = begun.exists()
        begun.touch()
        if self.does == "raise":
            raise RuntimeError("it broke")
        if self.does == "die" or (self.does == "die once" and not before):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "fill the disk" and Path("full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.pt")
        layer = torch.nn.Linear(1, 1)
        for step in run.steps(self.steps, {"layer": layer}):
            if self.does.startswith("take long"):
                time.sleep(0.1)
            run.log(loss=torch.tensor(float(step)))
        return Artefacts(directions=GlobalDirections.of(torch.eye(source.latent_dim)[:2]), generator=source)
'''


def told(does, steps=40):
    """A row of it, which is named as what it does."""
    light = RegressionSettings(steps=2, batch_size=4, width=0.1)
    return Row(does, "obedient.py:Obedient", settings={"does": does, "steps": steps}, regression=light)


@pytest.fixture
def own_row(tmp_path, monkeypatch):
    """Makes rows of it, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("obedient.py").write_text(OWN)
    return told
