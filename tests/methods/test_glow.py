import math

import numpy as np
import pytest
import torch

from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.generators.glow import Glow as GlowGenerator
from contrafact.methods.glow import Glow, bits_per_number
from contrafact.nn.glow import GlowFlow, Mixing

SMALL = {"num_blocks": 2, "num_steps": 2, "filters": 8}


def stirred(affine=True, channels=1):
    """A small flow none of whose weights is what it began with."""
    torch.manual_seed(0)
    flow = GlowFlow(channels, 2, 2, 8, affine)
    flow(torch.rand(32, channels, 8, 8) - 0.5, first=True)
    for parameter in flow.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return flow.double()


@pytest.mark.parametrize("affine", [False, True])
def test_the_generator_undoes_the_flow(affine):
    """The generator's outputs equal the original program's (tests/generators); so this holds the flow to them."""
    flow = stirred(affine, channels=3).float()
    generator = GlowGenerator(8, 2, 2, 8, affine, 3)
    generator.load_state_dict(flow.generating_weights())
    images = torch.rand(5, 3, 8, 8)
    latents, _ = flow(images - 0.5)
    assert torch.allclose(generator(latents), images, atol=1e-4)
    assert latents.std() > 0.1


@pytest.mark.parametrize("affine", [False, True])
def test_volume_is_the_determinant_of_the_derivatives(affine):
    flow = stirred(affine)
    image = torch.rand(1, 1, 8, 8, dtype=torch.double) - 0.5
    matrix = torch.autograd.functional.jacobian(lambda x: flow(x)[0], image).reshape(64, 64)
    expected = torch.linalg.slogdet(matrix)[1]
    assert flow(image)[1].item() == pytest.approx(expected.item(), abs=1e-10)


def test_bits_are_those_of_an_image_whose_density_is_known():
    """x uniform on 4 levels behind a scaling: noise n = a·x, so p(x) = N(a·x)·a in each number."""
    a, x = 1.7, torch.tensor([[0.1, -0.3, 0.4]], dtype=torch.double)
    density = torch.exp(-0.5 * (a * x) ** 2) / math.sqrt(2 * math.pi) * a
    expected = -torch.log2(density * 0.25).mean()  # a level is a quarter wide
    found = bits_per_number(a * x, torch.tensor([3 * math.log(a)], dtype=torch.double), 2)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_mixing_begins_as_a_rotation_and_knows_its_determinant():
    torch.manual_seed(1)
    mixing = Mixing(6)
    weight = mixing.weight()
    assert torch.allclose(weight @ weight.T, torch.eye(6), atol=1e-5)
    mixing.log_diagonal.data += torch.randn(6)
    x = torch.randn(1, 6, 2, 2)
    assert mixing(x)[1].item() == pytest.approx(torch.linalg.slogdet(mixing.weight())[1].item(), abs=1e-4)


def test_the_first_images_come_out_with_mean_0_and_variance_1():
    flow = GlowFlow(3, 1, 1, 8, True)
    norm, x = flow.blocks[0].steps[0].norm, 3 * torch.randn(16, 12, 4, 4) + 2
    norm.fit(x)
    out = norm(x)[0]
    assert torch.allclose(out.mean(dim=(0, 2, 3)), torch.zeros(12), atol=1e-4)
    assert torch.allclose(out.std(dim=(0, 2, 3)), torch.ones(12), atol=1e-3)


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_quantised_images_are_the_level_they_lie_in(bits):
    values = torch.arange(256).float() / 255
    method = Glow(bits=bits)
    for noise in (0.0, 0.999):
        x = method.quantised(values, torch.full_like(values, noise)) + 0.5
        level = np.arange(256) // 2 ** (8 - bits)
        assert np.allclose(x.numpy(), (level + noise) / 2**bits, atol=1e-5)


def test_it_learns_what_its_samples_are_judged_by(tmp_path):
    images = load_dataset("shapes3d", size=16)
    run = Glow.preset("tiny", steps=60, batch_size=32, learning_rate=5e-3).fit(images, Run(tmp_path / "r", log_every=1))
    first, last = run.log[0]["loss"], run.log[-1]["loss"]
    assert last < first - 0.3, "bits per number"
    assert run.generator.note["bits_per_number"] == pytest.approx(last, abs=1e-4)
    real = images.random_batch(256, np.random.default_rng(0))
    made = run.generator(run.generator.sample(256, seed=0))
    noise = torch.rand(256, 3, 16, 16)
    distance = [(x.mean(0) - real.mean(0)).square().mean().sqrt() for x in (made, noise)]
    assert distance[0] < distance[1]


def test_an_image_that_does_not_halve_is_refused():
    with pytest.raises(ValueError, match="with 4 blocks the image side must be a multiple of 16, got 28"):
        Glow().fit(torch.rand(4, 1, 28, 28), "unused")
    with pytest.raises(ValueError, match="a Glow makes square images, got 16×32"):
        Glow().fit(torch.rand(4, 1, 16, 32), "unused")
