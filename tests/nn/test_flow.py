"""The coupling flow: invertible, its density right, and able to learn a distribution."""

import math

import pytest
import torch

from contrafact.nn.flow import CouplingFlow


def trained_like(dim: int = 4) -> CouplingFlow:
    torch.manual_seed(0)
    flow = CouplingFlow(dim, layers=4, hidden_dim=16).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    flow.standardise(torch.randn(100, dim, dtype=torch.float64) * 3 + 1)
    return flow


def test_density_matches_the_change_of_variables_with_an_explicit_jacobian():
    flow = trained_like()
    noise = torch.randn(5, 4, dtype=torch.float64)
    expected = []
    for z in noise:
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0], z)
        log_normal = -0.5 * float(z @ z) - 2 * math.log(2 * math.pi)
        expected.append(-(log_normal - float(torch.linalg.slogdet(jacobian)[1])))
    value = flow.negative_log_likelihood(flow(noise))
    assert float(value) == pytest.approx(sum(expected) / 5, rel=1e-9)


def test_a_new_flow_is_the_identity():
    flow = CouplingFlow(6)
    noise = torch.randn(3, 6)
    torch.testing.assert_close(flow(noise), noise)


def test_needs_two_dimensions():
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        CouplingFlow(1)
