"""The momentum copy and the queue against loops, and what they refuse."""

import numpy as np
import pytest
import torch
from torch import nn

from contrafact.training.momentum import FeatureQueue, check_queue, follow, momentum_copy


def small_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_following_is_the_papers_average_one_number_at_a_time():
    fast, slow = small_network(0), momentum_copy(small_network(1))
    before = {name: p.clone() for name, p in slow.named_parameters()}
    follow(slow, fast, 0.9)
    for name, p in slow.named_parameters():
        old, target = before[name].flatten().tolist(), fast.get_parameter(name).flatten().tolist()
        expected = [0.9 * a + (1 - 0.9) * b for a, b in zip(old, target, strict=True)]
        np.testing.assert_allclose(p.flatten().tolist(), expected, rtol=1e-6)


def test_the_copy_takes_no_gradient_and_the_original_keeps_its_own():
    fast = small_network(0)
    slow = momentum_copy(fast)
    assert not any(p.requires_grad for p in slow.parameters())
    assert all(p.requires_grad for p in fast.parameters())
    follow(slow, fast, 0.0)
    (fast(torch.rand(5, 3)) * slow(torch.rand(5, 3))).sum().backward()
    assert all(p.grad is None for p in slow.parameters())
    assert slow[0].weight.data_ptr() != fast[0].weight.data_ptr()


def test_running_statistics_stay_the_copys_own():
    fast = small_network(0)
    slow = momentum_copy(fast)
    fast(torch.rand(50, 3) + 3)
    follow(slow, fast, 0.5)
    assert torch.equal(slow[1].running_mean, torch.zeros(4))
    assert fast[1].running_mean.abs().sum() > 0


def test_bad_momentum_and_another_network_are_refused():
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\], got 1.5"):
        follow(small_network(0), small_network(1), 1.5)
    with pytest.raises(ValueError, match="must have the same parameters"):
        follow(nn.Linear(2, 2), nn.Linear(2, 3), 0.5)


@pytest.mark.parametrize(("length", "batch"), [(7, 3), (8, 4), (5, 5), (10, 1)])
def test_the_queue_is_a_ring_whatever_its_length(length, batch):
    """Against a list that drops its oldest entries, in the order of their places."""
    queue, ring, place = FeatureQueue(length, 2), [None] * length, 0
    for push in range(9):
        new = torch.arange(batch * 2, dtype=torch.float32).view(batch, 2) + 100 * push
        queue.push(new)
        for row in new:
            ring[place] = row
            place = (place + 1) % length
    if 9 * batch >= length:
        assert torch.equal(queue.features, torch.stack(ring))
    assert int(queue.place) == place


def test_the_queue_writes_in_place_and_detached():
    queue = FeatureQueue(6, 2)
    address = queue.features.data_ptr()
    queue.push(torch.ones(4, 2, requires_grad=True) * 2)
    assert queue.features.data_ptr() == address
    assert not queue.features.requires_grad


def test_the_queue_starts_as_unit_directions_of_its_stream_and_travels_in_a_state():
    first, again = (FeatureQueue(5, 3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.features, again.features)
    torch.testing.assert_close(first.features.norm(dim=1), torch.ones(5))
    first.push(torch.ones(3, 3))
    again.load_state_dict(first.state_dict())
    assert torch.equal(first.features, again.features)
    assert int(again.place) == 3


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match=r"a queue of 3 features of 2 dimensions cannot take a batch of shape \(4, 2\)"
    ):
        FeatureQueue(3, 2).push(torch.ones(4, 2))
    with pytest.raises(ValueError, match="make the queue at least as long as the batch"):
        FeatureQueue(3, 2).push(torch.ones(2, 5))
    with pytest.raises(ValueError, match="queue length must be a whole number of at least 1, got 0"):
        FeatureQueue(0, 2)
    with pytest.raises(ValueError, match=r"queue_length must be at least the batch.*got 3 for a batch of 4"):
        check_queue(3, 4)
    assert check_queue(13, 4) == 13
