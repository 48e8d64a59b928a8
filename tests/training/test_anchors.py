"""Anchors are drawn balanced, centres are class means, and an average follows its network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contrafact.core.dataset import FewLabels
from contrafact.nn.critics import ClassEncoder
from contrafact.training import anchors as module
from contrafact.training.anchors import Anchors, MovingAverage
from tests.methods.labelled import Stripes

CPU = torch.device("cpu")


def encoder():
    torch.manual_seed(0)
    return ClassEncoder((1, 16, 16), 4, width=0.1)


def test_draws_are_balanced_and_labelled_rightly():
    source = Stripes(labels=31)
    images, labels = Anchors(source, CPU).draw(7, torch.Generator().manual_seed(0))
    assert labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    known = {source.batch([i]).numpy().tobytes(): int(source.labels[i]) for i in source.few_labels.indices}
    assert [known[image[None].numpy().tobytes()] for image in images] == labels.tolist()
    assert len(torch.unique(images, dim=0)) > 12


@pytest.mark.parametrize("limit", [1024, 6])
def test_centres_are_mean_codes_of_unit_length(limit, monkeypatch):
    monkeypatch.setattr(module, "CENTRE_IMAGES", limit)
    source, network = Stripes(labels=12), encoder()
    found = Anchors(source, CPU).centres(network)
    for k in range(3):
        rows = source.few_labels.indices[source.few_labels.classes == k][:: 12 // min(12, limit)]
        codes = network.heads(source.batch(rows))[0].detach()
        torch.testing.assert_close(found[k], F.normalize(codes.mean(dim=0), dim=0))
    assert network.training


def test_labels_of_several_factors_are_refused():
    source = Stripes()
    source.few_labels = FewLabels(np.arange(4), np.zeros((4, 2), dtype=np.int64), ("shape", "size"), (2, 2))
    with pytest.raises(
        ValueError, match="expected labels of one factor, got shape, size; choose one, such as --factors"
    ):
        Anchors(source, CPU)


def test_an_average_follows_quickly_at_first_then_slowly():
    network = encoder()
    average, expected = MovingAverage(network, 0.9), network.body[1].weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            network.body[1].weight.add_(0.1)
        average.follow()
        keep = min(0.9, step / (step + 10))
        expected = keep * expected + (1 - keep) * network.body[1].weight.detach()
    torch.testing.assert_close(average.module.body[1].weight, expected)
    assert len(average.state_dict()) == 1 + len(network.state_dict()), "the followed network is not stored with it"


def test_without_decay_it_is_the_network_itself():
    network = encoder()
    average = MovingAverage(network, 0.0)
    average.follow()
    assert average.module is network
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\), got 1.0"):
        MovingAverage(network, 1.0)
