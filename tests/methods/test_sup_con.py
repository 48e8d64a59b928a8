"""SupCon learns from the few labels, from nothing else, and asks for them when there are none."""

import dataclasses

import numpy as np
import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.methods.sup_con import SupCon

from .labelled import Stripes

SMALL = SupCon(width=0.1, steps=3, class_dim=4, anchors_per_class=2)


def fit(method, folder, source):
    return method.fit(source, Run(folder, device="cpu", precision="float32", progress=False))


def test_unlabelled_images_change_nothing(tmp_path):
    source, other = Stripes(labels=12), Stripes(labels=12, poisoned=True)
    rest = np.setdiff1d(np.arange(240), other.few_labels.indices)
    other._images[rest] = 1 - other._images[rest]
    first, second = fit(SMALL, tmp_path / "a", source), fit(SMALL, tmp_path / "b", other)
    assert fingerprint(first.encoder) == fingerprint(second.encoder)


def test_it_tells_classes_apart(tmp_path):
    source = Stripes(labels=24)
    method = dataclasses.replace(SMALL, width=0.25, steps=80, augmentation="none", anchors_per_class=6)
    encoder = fit(method, tmp_path, source).encoder
    codes = encoder(source.batch(np.arange(240)).clamp(0, 1))
    centres = torch.stack([codes[torch.from_numpy(source.labels == k)].mean(dim=0) for k in range(3)])
    assert ((codes @ centres.T).argmax(dim=1).numpy() == source.labels).mean() > 0.9
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(240))


def test_it_asks_for_labels(tmp_path):
    with pytest.raises(ValueError, match=r"no image of stripes is labelled; load it with labels=0.024"):
        fit(SMALL, tmp_path / "none", Stripes())
    with pytest.raises(ValueError, match="anchors_per_class must be a whole number of at least 1, got 0"):
        fit(dataclasses.replace(SMALL, anchors_per_class=0), tmp_path / "zero", Stripes(labels=12))
