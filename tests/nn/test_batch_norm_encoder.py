"""The encoder of DisDiff and EncDiff: its shape at the sizes of the paper and below."""

import pytest
import torch
from torch import nn

from contrafact.nn.batch_norm_encoder import BatchNormEncoder


@pytest.mark.parametrize(("side", "convolutions"), [(64, 4), (32, 3), (16, 2)])
def test_it_halves_images_down_to_four_pixels(side, convolutions):
    encoder = BatchNormEncoder((3, side, side), 20)
    strided = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == convolutions
    assert encoder.head.in_features == 128 * 4 * 4
    assert encoder.eval()(torch.rand(2, 3, side, side)).shape == (2, 20)


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        BatchNormEncoder((3, 16, 16), 4, 0)
