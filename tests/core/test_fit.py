import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import contrafact as cf
from contrafact.core.run import Run

VAE = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}


def test_fit_takes_the_next_free_folder_and_returns_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = cf.load_generator("analytic")
    runs = [cf.methods.SeFa(num_directions=3).fit(generator, seed=seed) for seed in (0, 1)]
    assert [str(run.folder) for run in runs] == ["runs/sefa-analytic-1", "runs/sefa-analytic-2"]
    assert runs[1].config["seed"] == 1
    again = cf.load_run(runs[0].folder)
    latent = generator.sample(2, seed=0)
    torch.testing.assert_close(again.directions(latent, 1), runs[0].directions(latent, 1))
    assert repr(runs[0]) == "FinishedRun('runs/sefa-analytic-1': sefa on analytic, yields directions, generator)"
    with pytest.raises(ValueError, match="yields directions, generator, but no encoder"):
        _ = runs[0].encoder


def test_a_refused_fit_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"SeFa learns from a generator .* got Tensor"):
        cf.methods.SeFa().fit(torch.rand(4, 3, 8, 8))
    with pytest.raises(ValueError, match=r"VAE learns from a dataset \(load_dataset\), got Analytic"):
        cf.methods.VAE().fit(cf.load_generator("analytic"))
    with pytest.raises(ValueError, match=r"a Run has a seed and a device of its own; give them to it"):
        cf.methods.SeFa().fit(cf.load_generator("analytic"), Run(tmp_path / "run"), seed=3)
    assert list(tmp_path.iterdir()) == []


def test_images_as_people_have_them_are_learned_from(tmp_path):
    images = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    forms = {
        "tensor": images,
        "array": images.numpy(),
        "torch": TensorDataset(images),
        "loader": DataLoader(TensorDataset(images), 5),
    }
    runs = [cf.methods.VAE(**VAE).fit(form, tmp_path / name, device="cpu") for name, form in forms.items()]
    for run in runs[1:]:
        torch.testing.assert_close(run.encoder(images), runs[0].encoder(images))
    assert runs[0].config["source"]["name"] == "yours"


def test_a_run_scores_and_reports_itself(tmp_path):
    mpl.use("agg")
    data = cf.load_dataset("shapes3d", size=16)
    run = cf.methods.VAE(**VAE).fit(data, tmp_path / "run", device="cpu")
    evaluation = run.evaluate("mig,sap", num_train=200, num_test=100)
    assert list(evaluation.results) == ["mig", "sap"]
    assert np.isfinite(evaluation.results["mig"].score)
    page = run.report()
    assert page == tmp_path / "run" / "report.html"
    assert page.stat().st_size > 10_000


def test_a_run_shows_its_directions_in_a_notebook(tmp_path):
    generator = cf.load_generator("analytic", {"size": 32})
    run = cf.methods.Random(num_directions=3).fit(generator, tmp_path / "<run>")
    html = run._repr_html_()
    assert "data:image/png;base64," in html
    assert "direction 0, direction 1, direction 2" in html
    assert "<run>" not in html
    data = cf.load_dataset("shapes3d", size=16)
    assert "<img" not in cf.methods.VAE(**VAE).fit(data, tmp_path / "vae", device="cpu")._repr_html_()
