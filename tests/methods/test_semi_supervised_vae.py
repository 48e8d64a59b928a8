"""The semi-supervised VAE: its term against a loop, that it reads the few labels and no others, that they count."""

import math

import numpy as np
import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.data import Shapes3D
from contrafact.data.load import load_dataset
from contrafact.methods.semi_supervised_vae import SemiSupervisedVAE, supervised_loss
from tests.methods.blobs import Blobs

TINY = SemiSupervisedVAE(latent_dim=4, width=0.1, batch_size=8, num_labelled=8, steps=6, learning_rate=1e-3)


def quiet(folder) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False)


@pytest.mark.parametrize("supervision", ["cross_entropy", "squared"])
def test_the_supervised_term_matches_a_loop(supervision):
    mean, sizes = torch.randn(5, 4), (3, 10)
    values = torch.tensor([[0, 9], [2, 0], [1, 4], [0, 5], [2, 2]])
    expected = 0.0
    for n in range(5):
        for k, size in enumerate(sizes):
            target, guess = (float(values[n, k]) + 0.5) / size, 1 / (1 + math.exp(-float(mean[n, k])))
            if supervision == "squared":
                expected += (guess - target) ** 2 / 5
            else:
                expected -= (target * math.log(guess) + (1 - target) * math.log(1 - guess)) / 5
    assert float(supervised_loss(mean, values, sizes, supervision)) == pytest.approx(expected, rel=1e-5)


def test_codes_beyond_the_labelled_factors_are_free():
    mean = torch.randn(5, 4, requires_grad=True)
    supervised_loss(mean, torch.zeros(5, 2, dtype=torch.long), (3, 3), "cross_entropy").backward()
    assert (mean.grad[:, :2] != 0).all()
    assert (mean.grad[:, 2:] == 0).all()


@pytest.mark.filterwarnings("ignore:.* have no label among the 20")
def test_other_labels_are_never_read(tmp_path):
    """All annotations but the few are poisoned; nothing changes."""
    clean = load_dataset("shapes3d", size=16, labels=20)

    class Poisoned(Shapes3D):
        def factors_of(self, indices):
            raise AssertionError("an annotation was read")

        @property
        def labels(self):
            raise AssertionError("a label was read")

        def fingerprint(self):  # hashes the labels, so that a resumed run finds the same
            return "poisoned"

    poisoned = Poisoned(size=16)
    poisoned.few_labels = clean.few_labels
    expected, found = TINY.fit(clean, quiet(tmp_path / "clean")), TINY.fit(poisoned, quiet(tmp_path / "poisoned"))
    for name in ("encoder", "generator"):
        assert fingerprint(getattr(found, name)) == fingerprint(getattr(expected, name))
    assert found.encoder.note == {"supervised_codes": ["floor hue", "wall hue", "object hue"]}
    other = load_dataset("shapes3d", size=16, labels=20, label_seed=1)
    assert fingerprint(TINY.fit(other, quiet(tmp_path / "other")).encoder) != fingerprint(expected.encoder)


@pytest.mark.parametrize("labelled", [None, ()])
def test_without_labels_it_says_so(labelled, tmp_path):
    source = Blobs() if labelled is None else Blobs().annotated(*labelled)
    with pytest.warns(UserWarning, match="no labels, so this is a plain β-VAE; give some, such as --labels 100"):
        TINY.fit(source, quiet(tmp_path))


def test_the_first_codes_learn_the_labelled_factors(tmp_path):
    """Half the images are annotated; the codes of the other half follow row and column too."""
    labelled = [0, 2, 5, 7, 8, 10, 13, 15]
    method = SemiSupervisedVAE(
        latent_dim=3, width=0.2, batch_size=16, num_labelled=8, steps=150, learning_rate=3e-3, beta=1.0
    )
    learned = method.fit(Blobs().annotated(*labelled), quiet(tmp_path))
    unseen = np.setdiff1d(np.arange(16), labelled)
    with torch.no_grad():
        codes = learned.encoder(Blobs().batch(unseen)).numpy()
    for k, factor in enumerate(np.divmod(unseen, 4)):
        assert np.corrcoef(codes[:, k], factor)[0, 1] > 0.7
        assert abs(np.corrcoef(codes[:, k], np.divmod(unseen, 4)[1 - k])[0, 1]) < 0.5
