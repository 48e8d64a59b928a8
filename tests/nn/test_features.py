import sys
import types

import numpy as np
import pytest
import torch

from contrafact.metrics import fid
from contrafact.nn import features as _features
from contrafact.nn.features import INCEPTION_WEIGHTS, batches_of, extractor_name, features_of


def means(images):
    return images.mean(dim=(2, 3))


def test_images_come_as_tensors_arrays_or_batches():
    images = torch.rand(10, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = means(images).numpy()
    for given in (images, images.numpy(), [images[:4], images[4:]], iter(images.split(3))):
        np.testing.assert_allclose(features_of(given, means, "real", 4), expected, rtol=1e-6)
    np.testing.assert_array_equal(features_of(expected, None, "real", 4), expected)


def test_modules_run_in_evaluation_mode():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5))
    module.train()
    images = torch.ones(2, 1, 2, 2)
    np.testing.assert_array_equal(features_of(images, module, "real", 2), np.ones((2, 4)))
    assert module.training


def test_names_of_extractors():
    assert extractor_name(means) == "means"
    assert extractor_name(torch.nn.Flatten()) == "Flatten"
    named = torch.nn.Flatten()
    named.name = "shapes3d-classifier"
    assert extractor_name(named) == "shapes3d-classifier"


@pytest.mark.parametrize(
    ("images", "extractor", "message"),
    [
        (torch.zeros(4, 3, 2, 2, dtype=torch.uint8), means, "real must be float images"),
        (torch.zeros(4, 3, 2), means, r"got torch.float32 of shape \(2, 3, 2\)"),
        (torch.zeros(4, 3, 2, 2), None, "real holds images; pass extractor=, or their features"),
        (torch.zeros(4, 3, 2, 2), lambda x: x, r"returned an array of shape \(2, 3, 2, 2\)"),
        (torch.zeros(4, 3, 2, 2), lambda x: x.mean((2, 3)) / 0, "features of real must be finite: row 0"),
        ([], means, "real holds no images"),
    ],
)
def test_refusals(images, extractor, message):
    with pytest.raises(ValueError, match=message):
        features_of(images, extractor, "real", 2)


def test_inception_is_never_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    images = torch.rand(4, 3, 8, 8)
    with pytest.raises(ValueError, match=rf"Inception features need .*{INCEPTION_WEIGHTS}; or pass extractor="):
        fid(images, images)
    with pytest.raises(
        ValueError, match="extractor must be 'inception', 'dinov2:PATH' or a function of images, got 'resnet'"
    ):
        fid(images, images, extractor="resnet")


def test_a_package_that_does_not_import_is_named(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / INCEPTION_WEIGHTS).touch()
    (tmp_path / "torch_fidelity").mkdir()
    (tmp_path / "torch_fidelity" / "__init__.py").write_text("import a_package_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_fidelity", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        ValueError, match=r"torch_fidelity is installed but does not import \(No module named 'a_package"
    ):
        fid(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8))


def test_inception_gets_bytes_of_three_channels_when_it_is_at_hand(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / INCEPTION_WEIGHTS).touch()
    seen = []

    class Network(torch.nn.Module):
        def __init__(self, name, outputs, weights):
            super().__init__()
            seen.append((name, outputs, weights))

        def forward(self, images):
            seen.append((images.dtype, tuple(images.shape), int(images.max())))
            return (images.float().mean(dim=(2, 3)),)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Network
    package = types.ModuleType("torch_fidelity")
    package.__spec__ = types.SimpleNamespace(name="torch_fidelity")
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    grey = torch.rand(4, 1, 8, 8).clamp(max=0.5)
    grey[0, 0, 0, 0] = 1.2
    result = fid(grey, grey)
    assert result.protocol == "fid_inception_real4_generated4"
    assert seen[0][:2] == ("inception-v3-compat", ["2048"])
    assert seen[1] == (torch.uint8, (4, 3, 8, 8), 255)


def test_batches_split_whole_tensors_only():
    assert [len(b) for b in batches_of(torch.zeros(5, 1, 2, 2), "x", 2)] == [2, 2, 1]
    assert [len(b) for b in batches_of([torch.zeros(5, 1, 2, 2)], "x", 2)] == [5]
    assert _features.checkpoint_folder().name == "checkpoints"
