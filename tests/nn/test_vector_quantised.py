"""The codebook against a loop over positions; its gradients as Eq. 3 of van den Oord et al. has them."""

import pytest
import torch

from contrafact.nn.vector_quantised import VectorQuantised


def made():
    torch.manual_seed(0)
    return VectorQuantised((1, 8, 8), entries=7, entry_dim=3, shrink=2, channels=8, blocks=1)


def test_every_position_gets_its_nearest_entry():
    net = made()
    torch.nn.init.normal_(net.codebook)
    maps = torch.randn(2, 3, 4, 4)
    quantised, total = net.quantise(maps), 0.0
    for n, row, column in [(n, row, column) for n in range(2) for row in range(4) for column in range(4)]:
        point = maps[n, :, row, column]
        distances = [float((point - entry).square().sum()) for entry in net.codebook]
        nearest = min(range(7), key=distances.__getitem__)
        assert quantised.numbers[n, row, column] == nearest
        torch.testing.assert_close(quantised.map[n, :, row, column], net.codebook[nearest].detach())
        total += distances[nearest]
    # ‖sg z − e‖² + 0.25 ‖z − sg e‖²: alike in value, mean over all numbers
    assert quantised.distance.item() == pytest.approx(1.25 * total / maps.numel(), rel=1e-4)


def test_gradients_pass_the_codebook_by_and_each_part_moves_its_own_side():
    net = made()
    torch.nn.init.normal_(net.codebook)
    maps = torch.randn(1, 3, 4, 4, requires_grad=True)
    quantised = net.quantise(maps)
    weights = torch.randn(1, 3, 4, 4)
    (straight,) = torch.autograd.grad((quantised.map * weights).sum(), maps, retain_graph=True)
    torch.testing.assert_close(straight, weights)
    to_maps, to_codebook = torch.autograd.grad(quantised.distance, (maps, net.codebook))
    near = net.codebook[quantised.numbers].movedim(3, 1).detach()
    torch.testing.assert_close(to_maps, 2 * 0.25 * (maps.detach() - near) / maps.numel())
    chosen = quantised.numbers.flatten() == 0
    points = maps.detach().movedim(1, 3).flatten(0, 2)[chosen]
    torch.testing.assert_close(to_codebook[0], 2 * (net.codebook[0].detach() - points).sum(dim=0) / maps.numel())


def test_it_learns_to_rebuild_what_it_sees():
    net = made()
    pictures = torch.randn(4, 1, 2, 2).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3).tanh()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        error, distance = net.loss(pictures)
        optimizer.zero_grad()
        (error + distance).backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_a_shrink_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="shrink must be a power of 2, got 3"):
        VectorQuantised((1, 9, 9), shrink=3)
