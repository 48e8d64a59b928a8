import pytest
import torch
from torch import Tensor, nn

from contrafact.core.generator import Generator
from contrafact.generators.analytic import Analytic


class Layered(Generator):
    def __init__(self, num_layers: int = 1, num_classes: int = 0) -> None:
        super().__init__()
        self.latent_dim = self.prior_dim = 4
        self.num_layers, self.num_classes = num_layers, num_classes
        self.image_shape = (1, 2, 2)
        self.layer_names = ("only",)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, latent: Tensor) -> Tensor:
        return (self.scale * self.check_latent(latent)).view(-1, 1, 2, 2)


def test_prior_is_standard_normal_and_follows_the_seed():
    generator = Layered()
    drawn = generator.prior(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)))
    assert drawn.shape == (20_000, 4)


def test_truncation_scales_z():
    z = torch.randn(3, 4)
    assert torch.equal(Layered().map(z, truncation=0.25), 0.25 * z)


def test_latent_scale_of_a_standard_normal_is_one():
    assert Layered().latent_scale() == pytest.approx(1.0, abs=0.03)


def test_freezing_stops_gradients_to_the_weights_only():
    generator = Layered().train().freeze()
    assert not generator.training
    latent = torch.randn(2, 4, requires_grad=True)
    generator(latent).sum().backward()
    assert generator.scale.grad is None
    assert torch.equal(latent.grad, torch.full((2, 4), 2.0))


def test_device_is_where_the_weights_are():
    assert Layered().device == torch.device("cpu")
    assert Layered().to("meta").device == torch.device("meta")


def test_latent_shapes():
    plain, layered = Layered(), Layered(num_layers=3)
    assert plain.check_latent(torch.zeros(2, 4)).shape == (2, 4)
    assert layered.check_latent(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"Layered expects latents of shape \(N, 4\), got \(2, 3, 4\)"):
        plain.check_latent(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"expects latents of shape \(N, 4\) or \(N, 3, 4\), got \(2, 2, 4\)"):
        layered.check_latent(torch.zeros(2, 2, 4))


@pytest.mark.parametrize(
    ("generator", "label", "truncation", "message"),
    [
        (Layered(), None, 1.5, r"truncation must lie in \[0, 1\], got 1.5"),
        (Layered(), None, -0.5, r"truncation must lie in \[0, 1\], got -0.5"),
        (Layered(), torch.zeros(1, dtype=torch.long), 1.0, "this Layered is unconditional: pass no class label"),
        (Layered(num_classes=5), None, 1.0, "this Layered is conditional: pass a class label from 0 to 4"),
    ],
)
def test_conditions_that_do_not_fit(generator, label, truncation, message):
    with pytest.raises(ValueError, match=message):
        generator.sample(1, torch.Generator(), label, truncation)


def test_a_class_can_be_fixed():
    generator = Layered(num_classes=5)
    generator.fix_label(4)
    assert (generator.label, generator.num_classes) == (4, 0)
    assert generator.sample(2, torch.Generator()).shape == (2, 4)
    with pytest.raises(ValueError, match="has no classes to choose from"):
        generator.fix_label(0)
    with pytest.raises(ValueError, match="label must be a class from 0 to 4, got 5"):
        Layered(num_classes=5).fix_label(5)


@pytest.mark.parametrize("label", [torch.tensor([5]), torch.tensor([-1]), torch.tensor([1.0]), torch.tensor([[1]])])
def test_labels_must_be_class_indices(label):
    with pytest.raises(ValueError, match=r"labels must be class indices \(N,\) from 0 to 4"):
        Layered(num_classes=5).map(torch.zeros(1, 4), label)


def test_unknown_layers_are_listed():
    with pytest.raises(ValueError, match="unknown layer 'other'; known: only"):
        Layered().features(torch.zeros(1, 4), "other")


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match="n must be"):
        Layered().prior(0, torch.Generator())


def test_activations_are_a_layers_or_the_images_flattened():
    generator = Analytic("sprite", size=8)
    latent = generator.sample(3, torch.Generator().manual_seed(0))
    assert torch.equal(generator.activations(latent, "factors"), generator.features(latent, "factors"))
    assert torch.equal(generator.activations(latent, "image"), generator(latent).flatten(1))
    with pytest.raises(ValueError, match=r"unknown layer 'imag'; did you mean 'image'\? known: factors, image"):
        generator.activations(latent, "imag")
