import sys
import types

import numpy as np
import pytest
import torch

from contrafact.metrics import lpips


def layers(images):
    return [images, images[:, :1, ::2, ::2] + 1.0]


def test_equals_equation_one_place_by_place():
    rng = torch.Generator().manual_seed(0)
    first, second = torch.rand(5, 3, 4, 4, generator=rng), torch.rand(5, 3, 4, 4, generator=rng)
    expected = np.zeros(5)
    for a_map, b_map in zip(layers(first), layers(second), strict=True):
        a_map, b_map = a_map.double().numpy(), b_map.double().numpy()
        for n in range(5):
            places = []
            for y, x in np.ndindex(*a_map.shape[2:]):
                a, b = a_map[n, :, y, x], b_map[n, :, y, x]
                places.append(((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum())
            expected[n] += np.mean(places)
    result = lpips(first, second, extractor=layers, batch_size=2)
    assert result.score == pytest.approx(expected.mean())
    assert result.protocol == "lpips_layers_n5"


def test_published_networks_are_never_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"LPIPS with 'alex' needs .*alexnet-owt-\*\.pth; or pass extractor="):
        lpips(images, images)
    with pytest.raises(ValueError, match="extractor must be one of alex, vgg or a function of images, got 'squeeze'"):
        lpips(images, images, extractor="squeeze")


def test_published_network_gets_images_in_its_own_range(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").touch()

    class Network(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            assert (net, verbose) == ("vgg", False)

        def forward(self, a, b):
            return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)

    package = types.ModuleType("lpips")
    package.LPIPS = Network
    package.__spec__ = types.SimpleNamespace(name="lpips")
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    result = lpips(torch.zeros(3, 3, 8, 8), torch.ones(3, 3, 8, 8), extractor="vgg")
    assert result.score == pytest.approx(2.0)  # from -1 to 1
    assert result.protocol == "lpips_vgg_n3"


def test_refusals():
    images = torch.rand(4, 3, 4, 4)
    with pytest.raises(ValueError, match="images are compared in pairs, but first and second came in batches of"):
        lpips(images, images[:3], extractor=layers)
    with pytest.raises(ValueError, match=r"batches of .* and none"):
        lpips([images, images], [images], extractor=layers)
    with pytest.raises(ValueError, match="the extractor must return a list of feature maps"):
        lpips(images, images, extractor=lambda x: [x.flatten(1)])
    with pytest.raises(ValueError, match="first holds no images"):
        lpips([], [], extractor=layers)
    with pytest.raises(ValueError, match="the features of pair 0 are not finite"):
        lpips(images, images * torch.nan, extractor=layers)
