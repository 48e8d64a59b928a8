"""The example that trains a small StyleGAN2 by regression: it keeps a method's promises, its parts do what they say."""

import runpy
from pathlib import Path

import pytest
import torch

from contrafact.cli import main

FILE = Path(__file__).parents[1] / "docs" / "examples" / "sharp_generator.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(FILE))


def test_it_keeps_what_every_method_promises(capsys):
    assert main(["check", f"{FILE}:SharpGenerator"]) == 0, capsys.readouterr()


def test_noise_is_carried_along_the_field(example):
    """dx/dt = x A has the solution x exp(A); Heun's method in 24 steps errs by less than |A|³ / (6 · 24²)."""
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    velocity = example["Velocity"](2)
    velocity.forward = lambda point, time: point @ turn
    start = torch.tensor([[1.0, 0.0], [0.5, -2.0]])
    error = velocity.transport(start) - start @ torch.linalg.matrix_exp(turn)
    assert error.norm(dim=1).max() < start.norm(dim=1).max() / (6 * 24**2) * 1.1


def test_codes_lie_on_a_sphere_whatever_the_images_side(example):
    for side in (8, 32):
        codes = example["Encoder"](3, side, 5)(torch.rand(4, 3, side, side))
        assert torch.allclose(codes.square().mean(dim=1), torch.ones(4), atol=1e-4)


def test_edges_are_what_neighbours_differ_by(example):
    error = torch.zeros(1, 1, 4, 4)
    error[..., 2:] = 0.5  # one edge down the middle: 4 of the 12 pairs across
    assert float(example["_edges"](error)) == pytest.approx(0.5 * 4 / 12)
