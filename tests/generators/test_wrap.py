import numpy as np
import pytest
import torch
from torch import nn

from contrafact.core.artefact import save_artefact, unbuildable
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
    assert "built around a module of your own" in unbuildable(generator)


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
        return {"images": z.sigmoid().view(-1, 1, 2, 2)}


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("a path", {}, "takes a torch.nn.Module, got str"),
        (nn.Linear(4, 3), {}, r"must return images \(N, C, H, W\); for 3 latents it returned \(3, 3\)"),
        (_Detached(), {}, "no gradient flows from the module's images to its latent"),
        (_Dictionary(), {}, "returned a dict, not a tensor of images; pass output="),
        (_module(), {"image_range": (1, 1)}, "two different numbers"),
        (_module(), {"sample": lambda n, rng: torch.zeros(n)}, r"must return noise of shape \(2, Z\), got \(2,\)"),
        (_module(), {"map": lambda z: z[:, :2]}, r"must return latents of shape \(3, 4\), got \(3, 2\)"),
    ],
)
def test_bad_modules(module, options, message):
    with pytest.raises(ValueError, match=message):
        wrap(module, 4, **options)


def test_output_takes_the_images_out():
    generator = wrap(_Dictionary(), 4, image_range=(0, 1), output=lambda returned: returned["images"])
    latent = torch.randn(2, 4)
    assert torch.equal(generator(latent), latent.sigmoid().view(-1, 1, 2, 2))


def test_weights_of_half_precision_get_half_precision_latents():
    generator = wrap(_module().to(torch.bfloat16), 4)
    assert generator(torch.randn(2, 4)).dtype == torch.float32


class _Of(nn.Module):
    """A module of one function, after a linear layer to ``(N, 3, 8, 8)``."""

    def __init__(self, function, dim=6):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function = nn.Linear(dim, 192), function

    def forward(self, z):
        return self.function(self.first(z).view(-1, 3, 8, 8))


def _noisy(maps):
    return (maps + 0.2 * torch.randn_like(maps)).tanh()


def test_noise_inside_is_refused():
    with pytest.raises(
        ValueError, match=r"draws noise: the same latents gave images that differ by 0\.\d+ of .*noise_seed=0"
    ):
        wrap(_Of(_noisy), 6)
    with pytest.raises(ValueError, match="draws noise"):  # dropout that does not know of evaluation
        wrap(_Of(lambda maps: nn.functional.dropout(maps.tanh())), 6)
    wrap(nn.Sequential(_Of(torch.tanh), nn.Dropout(0.5)), 6)  # this one does


def test_noise_from_a_seed_is_the_same_for_every_latent():
    generator = wrap(_Of(_noisy), 6, noise_seed=5)
    latent = generator.sample(1, torch.Generator().manual_seed(0)).repeat(3, 1).requires_grad_()
    before = torch.get_rng_state()
    images = generator(latent)
    assert torch.equal(torch.get_rng_state(), before)
    # The same noise; that the rest of the sums comes out alike to the last bit, wherever in a batch, no processor says.
    torch.testing.assert_close(images[0], images[2], atol=1e-5, rtol=0)
    torch.testing.assert_close(generator(latent[:1]), images[:1], atol=1e-5, rtol=0)
    assert not torch.allclose(wrap(_Of(_noisy), 6, noise_seed=6)(latent), images, atol=1e-2)
    images.square().sum().backward()
    assert (latent.grad.norm(dim=1) > 0).all()
    assert generator.layer_names == ("first",)
    assert torch.allclose(generator.features(latent, "first"), generator.module.first(latent), atol=1e-6)
    assert torch.equal(generator.latent_weights(), generator.module.first.weight)
    with pytest.raises(ValueError, match="noise_seed is a whole number, got 'one'"):
        wrap(_Of(_noisy), 6, noise_seed="one")


def test_noise_that_no_seed_reaches():
    rng = np.random.default_rng(0)
    noise = lambda maps: (maps + float(rng.normal())).tanh()  # noqa: E731
    with pytest.raises(ValueError, match="does not come from torch's random numbers, so noise_seed= cannot fix it"):
        wrap(_Of(noise), 6, noise_seed=0)


def test_batch_statistics_are_refused():
    with pytest.raises(ValueError, match=r"depends on the other latents of its batch: alone it differs by"):
        wrap(nn.Sequential(_Of(torch.tanh), nn.BatchNorm2d(3, track_running_stats=False), nn.Tanh()), 6)
    training = nn.Sequential(_Of(torch.tanh), nn.BatchNorm2d(3), nn.Tanh()).train()
    generator = wrap(training, 6)  # wrapping ends the training
    assert not training.training
    latent = torch.randn(4, 6)
    assert torch.allclose(generator(latent)[:1], generator(latent[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            lambda m: m.tanh().permute(0, 2, 3, 1),
            {},
            r"\(3, 8, 8, 3\), which looks like \(N, H, W, C\).*permute\(0, 3, 1, 2\)",
        ),
        (
            lambda m: 255 * m.sigmoid(),
            {},
            r"image_range is \(-1, 1\); they look like 0 to 255: pass image_range=\(0, 255",
        ),
        (lambda m: 255 * m.sigmoid(), {"image_range": (0, 1)}, r"look like 0 to 255"),
        (
            lambda m: m.sigmoid(),
            {},
            r"look like 0 to 1: pass image_range=\(0, 1\), or image_range=\(-1, 1\) if they do",
        ),
        (lambda m: (5 * m).tanh(), {"image_range": (0, 1)}, r"look like −1 to 1: pass image_range=\(-1, 1\)"),
        (lambda m: 40 * m, {}, r"look like another range: pass image_range=\(BLACK, WHITE\)"),
        (lambda m: m / 0, {}, "returned NaN or infinity in 3 of 3 images"),
        (lambda m: m.tanh()[:2], {}, r"for 3 latents it returned \(2, 3, 8, 8\)"),
        (lambda m: m.tanh(), {"image_range": (0, float("inf"))}, "two different numbers"),
        (lambda m: m.tanh(), {"image_range": 255}, r"image_range must be \(black, white\), two numbers, got 255"),
        (lambda m: (255 * m.sigmoid()).to(torch.uint8), {}, "no gradient flows"),
    ],
)
def test_images_that_are_something_else(function, options, message):
    with pytest.raises(ValueError, match=message):
        wrap(_Of(function), 6, **options)


def test_ranges_that_are_said_are_believed():
    assert wrap(_Of(lambda m: 40 * m), 6, image_range=(0, 1)).white == 1
    assert wrap(_Of(torch.sigmoid), 6, image_range=(-1, 1)).black == -1
    byte = wrap(_Of(lambda m: 255 * m.sigmoid()), 6, image_range=(0, 255))
    assert 0 <= byte(torch.randn(2, 6)).min() < byte(torch.randn(2, 6)).max() <= 1
    inverted = wrap(_Of(torch.sigmoid), 6, image_range=(1, 0))
    assert torch.allclose(inverted(torch.zeros(1, 6)), 1 - inverted.module(torch.zeros(1, 6)))
    assert (
        wrap(_Of(lambda m: m.tanh().permute(0, 2, 3, 1)), 6, output=lambda x: x.permute(0, 3, 1, 2)).image_shape[0] == 3
    )


def test_a_module_of_two_arguments_is_told_apart():
    class Two(nn.Module):
        def forward(self, noise, label):
            return noise.view(-1, 1, 2, 2)

    with pytest.raises(
        ValueError, match=r"latents of shape \(3, 4\) \(TypeError: .*it takes 2 arguments: .* write a small mod"
    ):
        wrap(Two(), 4)
    with pytest.raises(ValueError, match=r"latents of shape \(3, 4\) \(RuntimeError: mat1 .*say with latent_shape="):
        wrap(_Of(torch.tanh), 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    generator = wrap(_Of(torch.tanh).to(dtype), 6)
    latent = torch.randn(2, 6, requires_grad=True)
    images = generator(latent)
    assert images.dtype == torch.float32
    images.sum().backward()
    assert latent.grad.dtype == torch.float32


def test_a_module_that_normalises_its_latent_is_not_truncated():
    """Half as long a latent gives the same image: truncation would only double edits."""
    normal = nn.Sequential(nn.LayerNorm(6, eps=0.0, elementwise_affine=False, bias=False), _Of(torch.tanh))
    generator = wrap(normal, 6)
    with pytest.raises(ValueError, match="has no truncation: it normalises its latent"):
        generator.sample(2, torch.Generator().manual_seed(0), truncation=0.5)
    assert wrap(_Of(torch.tanh), 6).truncated_in == "latents"


def test_truncation_pulls_a_prior_of_ones_own_to_its_mean():
    def sample(n, rng):
        return torch.cat((torch.randn(n, 4, generator=rng), torch.eye(2)[torch.randint(2, (n,), generator=rng)]), 1)

    generator = wrap(_Of(torch.tanh), 6, sample=sample)
    none, half = (generator.sample(64, torch.Generator().manual_seed(0), truncation=t) for t in (0.0, 0.5))
    assert torch.allclose(none[:, 4:], torch.full((64, 2), 0.5), atol=0.05)
    whole = generator.sample(64, torch.Generator().manual_seed(0))
    assert torch.allclose(half, 0.5 * (whole + none), atol=1e-6)


def test_writing_one_says_what_to_keep(tmp_path):
    with pytest.raises(
        ValueError, match="cannot be written to a file, because it is built around a module of your own"
    ):
        save_artefact(wrap(_module(), 4), tmp_path / "wrapped.safetensors")
