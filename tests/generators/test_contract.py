"""What every generator of the catalogue keeps to."""

import pytest
import torch
from torch import nn

from contrafact.core.artefact import fingerprint, load_artefact, save_artefact, unbuildable
from contrafact.core.generator import Generator, architecture
from contrafact.generators import CATALOG, ClassKnob, StyleGAN2, wrap


class _Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 4 * 4 * 4)
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.up(self.stem(z).relu().view(-1, 4, 4, 4)).tanh()


def _tiny(name: str) -> Generator:
    torch.manual_seed(0)
    item = CATALOG.get(name)
    generator = item.tiny() if isinstance(item, type) else wrap(_Toy(), 5)
    return generator.freeze()


@pytest.fixture(params=CATALOG.names())
def generator(request):
    return _tiny(request.param)


def _label(generator: Generator, n: int) -> torch.Tensor | None:
    return torch.arange(n) % generator.num_classes if generator.num_classes else None


def _sample(generator: Generator, n: int, seed: int = 0, truncation: float | None = None) -> torch.Tensor:
    return generator.sample(n, torch.Generator().manual_seed(seed), _label(generator, n), truncation)


def test_samples_are_images_of_the_stated_shape(generator):
    latent = _sample(generator, 3)
    images = generator(latent)
    assert latent.shape == (3, generator.latent_dim)
    assert images.shape == (3, *generator.image_shape)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()
    # Random weights need not stay in range, but they must be centred in 0..1, not in −1..1 or 0..255.
    assert -3 < float(images.mean()) < 4
    assert generator.prior(2, torch.Generator().manual_seed(0)).shape == (2, generator.prior_dim)


def test_images_do_not_depend_on_their_neighbours_in_the_batch(generator):
    latent = _sample(generator, 3)
    assert torch.allclose(generator(latent)[1:2], generator(latent[1:2]), atol=1e-5)


def test_gradients_reach_every_latent_and_no_weight(generator):
    latent = _sample(generator, 2).requires_grad_()
    generator(latent).square().sum().backward()
    assert torch.isfinite(latent.grad).all()
    assert (latent.grad.norm(dim=1) > 0).all()
    assert all(p.grad is None and not p.requires_grad for p in generator.parameters())


def test_layered_latents_agree_with_flat_ones(generator):
    latent = _sample(generator, 2)
    if generator.num_layers == 1:
        with pytest.raises(ValueError, match="expects latents of shape"):
            generator(latent[:, None])
        return
    layered = latent[:, None].repeat(1, generator.num_layers, 1)
    assert torch.allclose(generator(layered), generator(latent), atol=1e-6)
    layered = layered.requires_grad_()
    generator(layered).square().sum().backward()
    assert (layered.grad.abs().sum(dim=(0, 2)) > 0).all(), "a layer has no influence"


def test_latents_of_another_shape_are_refused(generator):
    width = generator.latent_dim
    for wrong in (torch.zeros(2, width + 1), torch.zeros(width), torch.zeros(2, 99, width)):
        with pytest.raises(ValueError, match=rf"expects latents of shape \(N, {width}\)"):
            generator(wrong)


def test_the_same_seed_draws_the_same_latents(generator):
    assert torch.equal(_sample(generator, 4, seed=7), _sample(generator, 4, seed=7))
    assert not torch.equal(_sample(generator, 4, seed=7), _sample(generator, 4, seed=8))


def test_forward_is_repeatable(generator):
    latent = _sample(generator, 2)
    assert torch.equal(generator(latent), generator(latent))


def _style_in_z() -> Generator:
    tiny = StyleGAN2.tiny()
    generator = StyleGAN2(**{**tiny.arguments(), "space": "z", "label": 1})
    generator.load_state_dict(tiny.state_dict())
    with torch.no_grad():
        generator.w_avg.copy_(generator.to_w(torch.randn(256, 8)).mean(dim=0))
    return generator


def _normalised_body() -> Generator:
    return ClassKnob("prog_gan", {"channels": [6, 4]}, noise_dim=3, num_codes=1, class_count=2)


@pytest.fixture(params=[*CATALOG.names(), _style_in_z, _normalised_body], ids=lambda p: getattr(p, "__name__", p))
def truncatable(request):
    if isinstance(request.param, str):
        return _tiny(request.param)
    torch.manual_seed(0)
    return request.param().freeze()


def test_truncation_brings_images_together_or_is_refused(truncatable):
    if truncatable.truncated_in == "nowhere":
        for ask in (truncatable.truncated, lambda t: _sample(truncatable, 2, truncation=t)):
            with pytest.raises(ValueError, match=r"has no truncation: it normalises its latent.*got 0\.5"):
                ask(0.5)
        return
    spread = []
    for truncation in (0.0, 0.5, 1.0):
        shrunk = truncatable.truncated(truncation)
        spread.append(shrunk(_sample(shrunk, 32)).double().var(dim=0).sum().sqrt())
    # A class knob's class is not truncated.
    assert spread[0] < 0.95 * spread[1] < 0.9 * spread[2]
    if truncatable.class_range[0] == truncatable.class_range[1] and truncatable.num_classes == 0:
        assert spread[0] < 1e-3 * spread[2]


def test_truncation_is_not_a_rescaled_edit(truncatable):
    """A latent that is only shortened before it is normalised gives the same image, and an edit of it counts double."""
    if truncatable.truncated_in == "nowhere":
        latent = _sample(truncatable, 4)
        if type(truncatable).__name__ == "ProgGAN":
            assert torch.allclose(truncatable(0.5 * latent), truncatable(latent), atol=1e-5)
        return
    half = truncatable.truncated(0.5)
    whole_latent, half_latent = _sample(truncatable, 4), _sample(half, 4)
    edit = torch.randn(1, truncatable.latent_dim, generator=torch.Generator().manual_seed(1))
    edit *= truncatable.latent_scale() / edit.norm() if truncatable.num_classes == 0 else 1 / edit.norm()
    whole = truncatable(whole_latent)
    span = whole.max() - whole.min()
    assert (half(half_latent) - whole).abs().max() > 1e-3 * span
    assert (half(half_latent + 3 * edit) - truncatable(whole_latent + 6 * edit)).abs().max() > 1e-3 * span


def test_truncation_is_one_decision(truncatable):
    if truncatable.truncated_in == "nowhere":
        return
    half = truncatable.truncated(0.5)
    assert (half.truncation, truncatable.truncation) == (0.5, 1.0)
    assert truncatable.truncated(1.0) is truncatable.truncated(None) is truncatable
    assert torch.equal(_sample(half.truncated(1.0), 4), _sample(truncatable, 4))
    assert torch.equal(half.truncated(1.0)(_sample(truncatable, 2)), truncatable(_sample(truncatable, 2)))
    if truncatable.num_classes == 0:
        assert half.latent_scale() == truncatable.latent_scale()
    if truncatable.truncated_in == "images":
        with pytest.raises(
            ValueError, match=r"is set to 1; for 0\.5 take generator\.truncated\(0\.5\), or load it with"
        ):
            _sample(truncatable, 2, truncation=0.5)
        with pytest.raises(ValueError, match=r"is set to 0\.5; for 1 take"):
            _sample(half, 2, truncation=1.0)
        again = type(half)(**half.arguments())
        again.load_state_dict(half.state_dict())
        assert torch.equal(again.freeze()(_sample(again, 2)), half(_sample(half, 2)))
    else:
        assert torch.equal(_sample(truncatable, 4, truncation=0.5), _sample(half, 4))


def test_truncation_outside_its_range(truncatable):
    for wrong in (-0.1, 1.1, float("nan")):
        for ask in (truncatable.truncated, lambda t: _sample(truncatable, 2, truncation=t)):
            with pytest.raises(ValueError, match=r"truncation must lie in \[0, 1\]"):
                ask(wrong)


def test_class_labels_fit(generator):
    rng = torch.Generator().manual_seed(0)
    if generator.num_classes == 0:
        with pytest.raises(ValueError, match="unconditional"):
            generator.sample(2, rng, torch.zeros(2, dtype=torch.long))
        return
    with pytest.raises(ValueError, match="conditional: pass a class label"):
        generator.sample(2, rng)
    with pytest.raises(ValueError, match="label"):
        generator.sample(2, rng, torch.full((2,), generator.num_classes))


def test_features_stop_at_their_layer(generator):
    latent = _sample(generator, 2).requires_grad_()
    assert generator.layer_names
    for layer in generator.layer_names:
        features = generator.features(latent, layer)
        assert features.shape[0] == 2
        assert torch.autograd.grad(features.sum(), latent, allow_unused=True)[0] is not None
    with pytest.raises(ValueError, match=rf"unknown layer.*{generator.layer_names[0]}"):
        generator.features(latent, "no such layer")


def test_files_hold_everything(generator, tmp_path):
    path = tmp_path / "generator.safetensors"
    if unbuildable(generator) is not None:
        with pytest.raises(ValueError, match="cannot be written to a file"):
            save_artefact(generator, path)
        return
    generator.note = {"active": [1, 2]}
    save_artefact(generator, path)
    torch.manual_seed(99)  # what is read back must not depend on the random state
    again = load_artefact(path, Generator).freeze()
    assert type(again) is type(generator)
    assert fingerprint(again) == fingerprint(generator)
    assert again.note == {"active": [1, 2]}
    assert again.arguments() == generator.arguments()
    latent = _sample(generator, 2)
    assert torch.equal(_sample(again, 2), latent)
    assert torch.equal(again(latent), generator(latent))


def test_latent_scale_is_the_spread_of_samples(generator):
    if generator.num_classes:
        pytest.skip("conditional generators need a label")
    latents = torch.cat([_sample(generator, 2048, seed=s) for s in range(2)])
    assert generator.latent_scale() == pytest.approx(float(latents.var(dim=0).mean().sqrt()), rel=0.05)


def test_architectures_are_found_by_name():
    assert architecture("VAE").__name__ == "VAE"
    with pytest.raises(ValueError, match="no generator architecture"):
        architecture("wrap")
    with pytest.raises(ValueError, match="unknown generator architecture 'vea'; did you mean 'vae'"):
        architecture("vea")


@pytest.mark.parametrize("name", CATALOG.names())
def test_summaries_fit_a_line_of_the_list(name):
    assert 20 < len(CATALOG.summary(name)) <= 90
