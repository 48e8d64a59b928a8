"""LARS against the update written out, one number after another."""

import copy

import pytest
import torch

from contrafact.training.lars import LARS


def test_three_steps_are_the_papers_one_number_after_another():
    torch.manual_seed(0)
    weights = [
        torch.nn.Parameter(torch.randn(3, 2)),
        torch.nn.Parameter(torch.randn(4)),
        torch.nn.Parameter(torch.zeros(2, 2)),
    ]
    plain = [[float(x) for x in w.detach().flatten()] for w in weights]
    speeds = [[0.0] * len(w) for w in plain]
    optimizer = LARS(weights, lr=0.7, momentum=0.9, weight_decay=0.01)
    for step in range(3):
        rate = 0.7 / (step + 1)
        optimizer.param_groups[0]["lr"] = rate
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        for weight, numbers, speed in zip(weights, plain, speeds, strict=True):
            change, trust = [float(g) for g in weight.grad.flatten()], 1.0
            if weight.ndim > 1:
                change = [g + 0.01 * w for g, w in zip(change, numbers, strict=True)]
                size, pull = (sum(x * x for x in xs) ** 0.5 for xs in (numbers, change))
                trust = 0.001 * size / pull if size and pull else 1.0
            for i, c in enumerate(change):
                speed[i] = 0.9 * speed[i] + rate * trust * c
                numbers[i] -= speed[i]
        optimizer.step()
    for weight, numbers in zip(weights, plain, strict=True):
        assert weight.detach().flatten().tolist() == pytest.approx(numbers, rel=1e-5, abs=1e-7)


def test_what_has_no_gradient_stays_and_the_state_goes_on_in_another():
    torch.manual_seed(0)
    first, second = (torch.nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    still = torch.nn.Parameter(torch.ones(2))
    one, two = LARS([first, still], lr=0.5), LARS([second], lr=0.5)
    gradients = torch.randn(2, 2, 3)
    first.grad = gradients[0]
    one.step()
    assert torch.equal(still, torch.ones(2))
    second.data.copy_(first.data)
    saved = copy.deepcopy(one.state_dict())
    saved["param_groups"][0]["params"] = [0]
    two.load_state_dict({"state": {0: saved["state"][0]}, "param_groups": saved["param_groups"]})
    first.grad, second.grad = gradients[1], gradients[1].clone()
    assert one.step(lambda: 3.0) == 3.0
    two.step()
    assert torch.equal(first, second)
