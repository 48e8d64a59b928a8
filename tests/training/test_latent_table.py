"""Latent tables against torch's Adam, in memory and in a file; the order of images."""

import numpy as np
import pytest
import torch

from contrafact.training import latent_table
from contrafact.training.latent_table import EpochOrder, LatentTable, cosine_rate


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("in_a_file", [False, True])
def test_rows_move_as_adam_moves_them(in_a_file, tmp_path):
    """Every row is in every batch, so torch's dense Adam is the same algorithm."""
    table = LatentTable(6, 3, rng(), file=tmp_path / "table" if in_a_file else None)
    reference = torch.nn.Parameter(table.read(np.arange(6)).clone())
    optimizer = torch.optim.Adam([reference], lr=0.1, betas=(0.5, 0.999))
    target = torch.randn(6, 3, generator=rng(1))
    for step in range(7):
        order = np.random.default_rng(step).permutation(6)
        taken = table.take(order)
        (taken.values_ND - target[order]).square().sum().backward()
        table.update(taken, 0.1)
        optimizer.zero_grad()
        (reference - target).square().sum().backward()
        optimizer.step()
    # A step is a tenth: seven of another Adam would differ in the second digit, roundings in the sixth.
    torch.testing.assert_close(table.read(np.arange(6)), reference.detach(), atol=1e-4, rtol=0)


def test_a_row_taken_twice_gets_both_gradients_and_the_others_stand_still():
    table = LatentTable(4, 2, rng())
    before = table.read(np.arange(4)).clone()
    taken = table.take(np.array([2, 0, 2]))
    taken.values_ND.sum().backward()
    assert taken.leaf.grad.tolist() == [[1.0, 1.0], [2.0, 2.0]]
    table.update(taken, 0.01)
    after = table.read(np.arange(4))
    # Adam's first step has the length of the learning rate, whatever the gradient's.
    torch.testing.assert_close(before - after, torch.tensor([[0.01] * 2, [0.0] * 2, [0.01] * 2, [0.0] * 2]))


def test_rows_start_small_and_a_state_goes_back_in(tmp_path):
    table = LatentTable(50, 4, rng(3))
    assert table.read(np.arange(50)).abs().max() <= 0.05
    taken = table.take(np.arange(10))
    taken.values_ND.square().sum().backward()
    table.update(taken, 0.1)
    other = LatentTable(50, 4, rng(4), file=tmp_path / "rows")
    other.load_state_dict(table.state_dict())
    torch.testing.assert_close(other.read(np.arange(50)), table.read(np.arange(50)), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"expected \(49, 4\) rows, got \(50, 4\)"):
        LatentTable(49, 4, rng()).load_state_dict(table.state_dict())


def test_a_table_of_no_dimensions_is_a_table():
    table = LatentTable(5, 0, rng())
    taken = table.take(np.arange(5))
    assert taken.values_ND.shape == (5, 0)
    table.update(taken, 0.1)


def resident_kb(file):
    """How much of a mapped file is in this process's memory."""
    with open("/proc/self/smaps", encoding="utf-8") as maps:
        lines = maps.read().splitlines()
    start = next(i for i, line in enumerate(lines) if str(file) in line)
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


def test_a_table_in_a_file_does_not_stay_in_memory(tmp_path, monkeypatch):
    """120 MB of rows and moments: what stays resident is far less, whether rows are made, trained or only read."""
    rows = 100_000
    table = LatentTable(rows, 100, rng(), file=tmp_path / "rows")
    assert resident_kb(tmp_path / "rows") < 10_000
    assert (tmp_path / "rows").stat().st_size == 3 * rows * 100 * 4
    assert table.read(np.arange(0, rows, 100)).abs().max() <= 0.05
    order = EpochOrder(rows, 64, np.random.default_rng(0))
    monkeypatch.setattr(latent_table, "_MOST_RESIDENT", 2**22)
    for step in range(50):
        taken = table.take(order.batch(step))
        taken.values_ND.sum().backward()
        table.update(taken, 0.5)
        table.read(order.batch(step + 50))
    assert resident_kb(tmp_path / "rows") < 20_000
    assert (table.read(taken.rows) < -0.4).all(), "what was handed back is still there"


@pytest.mark.parametrize(("images", "batch"), [(10, 3), (4, 10), (7, 7)])
def test_every_image_is_visited_once_an_epoch(images, batch):
    order = EpochOrder(images, batch, np.random.default_rng(0))
    visited = np.concatenate([order.batch(step) for step in range(20)])
    for epoch in range(len(visited) // images):
        assert sorted(visited[epoch * images : (epoch + 1) * images]) == list(range(images))
    again = EpochOrder(images, batch, np.random.default_rng(0))
    assert (again.batch(13) == visited[13 * batch : 14 * batch]).all(), "a step's batch does not depend on the past"
    assert (visited[:images] != visited[images : 2 * images]).any()


def test_the_rate_falls_along_half_a_cosine():
    assert cosine_rate(0, 10, 1.0, 0.2) == pytest.approx(1.0)
    assert cosine_rate(5, 10, 1.0, 0.2) == pytest.approx(0.6)
    assert cosine_rate(10, 10, 1.0, 0.2) == pytest.approx(0.2)
