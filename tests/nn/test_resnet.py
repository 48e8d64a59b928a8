"""Residual encoders against the published parameter counts."""

import pytest
import torch

from contrafact.nn.resnet import ResNetEncoder


@pytest.mark.parametrize(("depth", "published"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_parameter_counts_are_the_published_ones(depth, published):
    with torch.device("meta"):
        encoder = ResNetEncoder((3, 224, 224), 1000, depth, "imagenet")
    assert sum(p.numel() for p in encoder.parameters()) == published


def test_auto_stem_follows_the_image_size():
    assert ResNetEncoder((3, 32, 32), 2, 18).stem_name == "small"
    assert ResNetEncoder((3, 128, 128), 2, 18).stem_name == "imagenet"


def test_small_stem_keeps_resolution():
    encoder = ResNetEncoder((1, 16, 16), 5, 18)
    assert encoder.stem(torch.rand(2, 1, 16, 16)).shape == (2, 64, 16, 16)
    assert encoder(torch.rand(2, 1, 16, 16)).shape == (2, 5)


def test_bad_depth_and_stem():
    with pytest.raises(ValueError, match=r"depth must be one of \[18, 34, 50\], got 19"):
        ResNetEncoder((3, 32, 32), 2, 19)
    with pytest.raises(ValueError, match="unknown stem 'smal'; did you mean 'small'"):
        ResNetEncoder((3, 32, 32), 2, 18, "smal")
