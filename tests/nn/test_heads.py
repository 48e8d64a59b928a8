"""Projection heads: their layers, and what they refuse."""

import pytest
import torch
from torch import nn

from contrafact.nn.heads import ProjectionHead


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_are_counted_linear_layers(layers):
    head = ProjectionHead(6, 3, layers)
    assert sum(isinstance(m, nn.Linear) for m in head.modules()) == layers
    assert sum(isinstance(m, nn.ReLU) for m in head.modules()) == layers - 1
    assert head(torch.rand(4, 6)).shape == (4, 3)


def test_two_layers_are_the_equation():
    head = ProjectionHead(5, 2, 2, hidden=7)
    first, _, second = head.layers
    codes = torch.rand(3, 5)
    torch.testing.assert_close(
        head(codes), (codes @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    )


def test_norms_come_after_all_layers_but_the_last():
    head = ProjectionHead(5, 2, 3, norm=True)
    assert sum(isinstance(m, nn.BatchNorm1d) for m in head.modules()) == 2
    assert isinstance(head.layers[-1], nn.Linear)


@pytest.mark.parametrize(("arguments", "named"), [((0, 2), "inputs"), ((2, 0), "outputs"), ((2, 2, 0), "layers")])
def test_sizes_below_one_are_refused(arguments, named):
    with pytest.raises(ValueError, match=f"{named} must be a whole number of at least 1, got 0"):
        ProjectionHead(*arguments)
