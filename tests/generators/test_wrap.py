import pytest
import torch
from torch import nn

from contrafact.generators import wrap


def _module(*, ends: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3 * 4 * 4), ends or nn.Identity(), nn.Unflatten(1, (3, 4, 4)))


def test_images_are_rescaled_and_not_clamped():
    module = _module()
    generator = wrap(module, 4, image_range=(-2, 6))
    latent = 5 * torch.randn(3, 4)
    assert torch.allclose(generator(latent), (module(latent) + 2) / 8)
    assert generator(latent).min() < 0
    assert generator.image_shape == (3, 4, 4)
    assert not generator.is_writable()


def test_latents_take_the_shape_the_module_wants():
    module = nn.ConvTranspose2d(6, 1, 4)
    generator = wrap(module, 6, latent_shape=(6, 1, 1), name="dcgan")
    latent = torch.randn(2, 6)
    assert torch.allclose(generator(latent), (module(latent[:, :, None, None]) + 1) / 2)
    assert generator.name == "dcgan"
    with pytest.raises(ValueError, match=r"latent_shape \(5, 1, 1\) holds 5 numbers, latent_dim is 6"):
        wrap(module, 6, latent_shape=(5, 1, 1))


def test_own_prior_and_mapping():
    projection = torch.randn(2, 4)
    generator = wrap(
        _module(),
        4,
        sample=lambda n, rng: torch.rand(n, 2, generator=rng),
        map=lambda z: z @ projection,
    )
    rng = torch.Generator().manual_seed(3)
    expected = torch.rand(5, 2, generator=torch.Generator().manual_seed(3)) @ projection
    assert generator.prior_dim == 2
    assert torch.allclose(generator.sample(5, rng), expected)
    half = generator.map(torch.rand(5, 2, generator=torch.Generator().manual_seed(3)), truncation=0.5)
    mean = torch.full((2,), 0.5) @ projection
    assert torch.allclose(half, mean + 0.5 * (expected - mean), atol=0.05)


def test_features_run_no_further_than_their_layer():
    late_calls = []
    module = _module()
    generator = wrap(module, 4)
    module[2].register_forward_hook(lambda *_: late_calls.append(1))
    latent = torch.randn(2, 4)
    assert torch.allclose(generator.features(latent, "0"), module[0](latent))
    assert not late_calls


def test_layers_that_run_twice_are_left_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.out = nn.Linear(4, 4), nn.Linear(4, 12)

        def forward(self, z):
            return self.out(self.shared(self.shared(z))).view(-1, 3, 2, 2)

    assert wrap(Twice(), 4).layer_names == ("out",)
    with pytest.raises(ValueError, match=r"unknown layer .*'shared'.*known: out"):
        wrap(Twice(), 4, layers=["shared"])


def test_a_layer_that_is_skipped_later_is_reported():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.extra, self.out, self.use_extra = nn.Linear(4, 4), nn.Linear(4, 12), True

        def forward(self, z):
            return self.out(self.extra(z) if self.use_extra else z).view(-1, 3, 2, 2)

    module = Sometimes()
    generator = wrap(module, 4)
    module.use_extra = False
    with pytest.raises(ValueError, match="'extra' did not run this time"):
        generator.features(torch.zeros(1, 4), "extra")


class _Detached(nn.Module):
    def forward(self, z):
        return z.detach().view(-1, 1, 2, 2)


class _Dictionary(nn.Module):
    def forward(self, z):
        return {"images": z.view(-1, 1, 2, 2)}


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("a path", {}, "takes a torch.nn.Module, got str"),
        (nn.Linear(4, 3), {}, r"must return images \(N, C, H, W\); for 2 latents it returned \(2, 3\)"),
        (_Detached(), {}, "no gradient flows from the module's images to its latent"),
        (_Dictionary(), {}, "returned a dict, not a tensor of images; pass output="),
        (_module(), {"image_range": (1, 1)}, "two different numbers"),
        (_module(), {"sample": lambda n, rng: torch.zeros(n)}, r"must return noise of shape \(2, Z\), got \(2,\)"),
        (_module(), {"map": lambda z: z[:, :2]}, r"must return latents of shape \(2, 4\), got \(2, 2\)"),
    ],
)
def test_bad_modules(module, options, message):
    with pytest.raises(ValueError, match=message):
        wrap(module, 4, **options)


def test_output_takes_the_images_out():
    generator = wrap(_Dictionary(), 4, image_range=(0, 1), output=lambda returned: returned["images"])
    latent = torch.randn(2, 4)
    assert torch.equal(generator(latent), latent.view(-1, 1, 2, 2))


def test_weights_of_half_precision_get_half_precision_latents():
    generator = wrap(_module().to(torch.bfloat16), 4)
    assert generator(torch.randn(2, 4)).dtype == torch.float32
