from pathlib import Path

import pytest

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.methods.disco import DisCo
from contrafact.methods.vae import VAE


def quiet(folder: Path, seed: int = 0) -> Run:
    return Run(folder, seed=seed, device="cpu", precision="float32", progress=False)


@pytest.fixture(scope="session")
def vae_folder(tmp_path_factory) -> Path:
    """A VAE run on Shapes3D at 16 pixels, barely trained."""
    folder = tmp_path_factory.mktemp("vae") / "run"
    VAE(latent_dim=6, width=0.1, steps=30, batch_size=32, learning_rate=1e-3).fit(
        load_dataset("shapes3d", size=16), quiet(folder)
    )
    return folder


TINY_DISCO = {
    "num_directions": 4,
    "code_dim": 5,
    "encoder_width": 0.1,
    "steps": 6,
    "batching": "all_pairs",
    "directions_per_step": 3,
    "samples_per_direction": 2,
}


@pytest.fixture
def disco_folder(vae_folder, tmp_path) -> Path:
    """A DisCo run on the VAE's generator, a fresh one for every test."""
    folder = tmp_path / "disco"
    DisCo.of(**TINY_DISCO).fit(load_run(vae_folder).generator, quiet(folder))
    return folder
