import sys
import types

import numpy as np
import pytest
import torch

from contrafact.editing.similarity import gradient_distance, perception, psnr, squared_error

CPU = torch.device("cpu")


def pair(n=2, c=3, h=16, w=20):
    rng = torch.Generator().manual_seed(0)
    return torch.rand(n, c, h, w, generator=rng), torch.rand(n, c, h, w, generator=rng)


def test_gradient_distance_is_a_loop_over_scales_and_pixels():
    a, b = pair()
    expected = []
    for image, target in zip(a.double().numpy(), b.double().numpy(), strict=True):
        scales = []
        while image.shape[1] >= 8:
            across, down = [], []
            for c, y, x in np.ndindex(image.shape):
                if x + 1 < image.shape[2]:
                    step = (image[c, y, x + 1] - image[c, y, x]) - (target[c, y, x + 1] - target[c, y, x])
                    across.append(abs(step))
                if y + 1 < image.shape[1]:
                    step = (image[c, y + 1, x] - image[c, y, x]) - (target[c, y + 1, x] - target[c, y, x])
                    down.append(abs(step))
            scales.append((np.mean(across) + np.mean(down)) / 2)
            image, target = (
                v.reshape(v.shape[0], v.shape[1] // 2, 2, v.shape[2] // 2, 2).mean(axis=(2, 4)) for v in (image, target)
            )
        assert len(scales) == 2
        expected.append(np.mean(scales))
    np.testing.assert_allclose(gradient_distance(a, b).numpy(), expected, rtol=1e-5)


def test_gradients_do_not_see_brightness_but_edges():
    flat = torch.full((1, 3, 8, 8), 0.2)
    assert float(gradient_distance(flat, flat + 0.3)) == pytest.approx(0.0, abs=1e-7)
    assert float(gradient_distance(flat, flat.index_fill(3, torch.tensor([4]), 1.0))) > 0.01


def test_psnr_of_clamped_images():
    black, grey = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1)
    assert float(psnr(black, grey)) == pytest.approx(20.0, abs=1e-4)
    assert float(psnr(grey, grey)) == 100.0
    assert float(psnr(torch.full_like(grey, 1.7), torch.ones_like(grey))) == 100.0
    assert squared_error(black, grey).tolist() == pytest.approx([0.01])


def test_auto_says_what_stands_in(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = perception("auto", CPU)
    assert (found.name, found.note.startswith("LPIPS is not at hand, so image gradients")) == ("gradients", True)
    with pytest.raises(ValueError, match="LPIPS with 'vgg' needs"):
        perception("vgg", CPU)
    with pytest.raises(ValueError, match="unknown perceptual network 'alexx'; did you mean 'alex'"):
        perception("alexx", CPU)
    assert perception("none", CPU).distance is None
    assert perception("gradients", CPU).note == ""


def test_published_networks_are_used_where_they_are(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    seen = []

    class Network(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, a, b):
            seen.append((a.shape, float(a.detach().min()), float(a.detach().max()), self.weight.requires_grad))
            return self.weight * (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)

    package = types.ModuleType("lpips")
    package.LPIPS = Network
    package.__spec__ = types.SimpleNamespace(name="lpips")
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = perception("auto", CPU)
    assert (found.name, found.note) == ("lpips alex", "")
    grey = torch.linspace(0, 1, 16).view(1, 1, 4, 4).requires_grad_()
    distance = found.distance(grey, torch.zeros(1, 1, 4, 4))
    distance.sum().backward()
    assert grey.grad.abs().min() > 0
    assert seen[0][0] == (1, 3, 64, 64)  # in colour, and large enough for the network
    assert (seen[0][1], seen[0][2], seen[0][3]) == (-1.0, 1.0, False)


def test_features_of_ones_own():
    def halves(images):
        return [images[:, :2], images[:, 2:] ** 2]

    a, b = pair()
    found = perception(halves, CPU)
    expected = []
    for image, target in zip(a.numpy(), b.numpy(), strict=True):
        total = 0.0
        for part in (lambda v: v[:2], lambda v: v[2:] ** 2):
            u, v = (part(x) / np.sqrt((part(x) ** 2).sum(axis=0, keepdims=True)) for x in (image, target))
            total += ((u - v) ** 2).sum(axis=0).mean()
        expected.append(total)
    np.testing.assert_allclose(found.distance(a, b).numpy(), expected, rtol=1e-5)
    a.requires_grad_()
    found.distance(a, b).sum().backward()
    assert torch.isfinite(a.grad).all()
    assert a.grad.abs().sum() > 0
