"""The path from noise to an image, against the loop that the paper's text describes; edits of its bottleneck."""

import pytest
import torch

import contrafact as cf
from contrafact.core.directions import GlobalDirections
from contrafact.core.great_circle import great_circle
from contrafact.generators import RectifiedFlow
from contrafact.generators._sampled import unit_of
from contrafact.nn.unet import UNet


@pytest.fixture
def flow():
    torch.manual_seed(0)
    return RectifiedFlow.tiny().freeze()


def by_hand(flow, noise, shifts=None, steps=3):
    """From t = 1 to 0 along the velocity: y2 = y1 + h (3/2 f1 − 1/2 f0), the first step Euler's."""
    x, seen, last = noise, [], None
    for k in range(steps):
        t = torch.full((len(x),), (steps - k) / steps)
        with_h = []
        handle = flow.unet.middle[1].register_forward_hook(
            lambda _m, _i, out, k=k, with_h=with_h: (with_h.append(out), out + (0 if shifts is None else shifts[k]))[1]
        )
        velocity = flow.unet(x, t)
        x = x + (-1 / steps) * (velocity if last is None else 3 / 2 * velocity - 1 / 2 * last)
        last = velocity
        handle.remove()
        seen.append(with_h[0])
    return (x + 1) / 2, torch.stack(seen)


def test_images_are_the_papers_path(flow):
    latent = flow.sample(3, seed=1)
    images, h = by_hand(flow, latent[:, :144].view(3, 1, 12, 12))
    assert torch.allclose(flow(latent), images, atol=1e-5)
    assert torch.allclose(flow.features(latent, "h"), h.mean(dim=0) / flow.unit, atol=1e-4)


def test_an_edit_shifts_the_bottleneck_of_every_step_or_of_some(flow):
    latent = flow.sample(2, seed=1)
    edit = torch.randn(2, flow.edit_dim)
    shift = edit.view(2, *flow.unet.h_shape) * flow.unit
    noise = latent[:, :144].view(2, 1, 12, 12)
    moved = latent + torch.nn.functional.pad(edit, (144, 0))
    assert torch.allclose(flow(moved), by_hand(flow, noise, [shift] * 3)[0], atol=1e-5)
    directions = GlobalDirections.of(edit[:1], layers=(1, 2), num_layers=3, columns=flow.edit_columns)
    unit = shift[:1] / edit[:1].norm()
    expected = by_hand(flow, noise, [0 * unit, 2 * unit, 0 * unit])[0]
    assert torch.allclose(flow(directions(latent, 0, 2.0)), expected, atol=1e-5)


def test_no_edit_is_the_identity(flow):
    latent = flow.sample(2, seed=3)
    bare = flow.walk(latent[:, :144].view(2, 1, 12, 12), [None] * 3)
    assert torch.equal(flow(latent), (bare + 1) / 2)


def test_the_noise_is_edited_where_it_is_the_space(flow):
    noise = RectifiedFlow(**{**flow.arguments(), "space": "noise"})
    noise.load_state_dict(flow.state_dict())
    latent = noise.freeze().sample(2, seed=1)
    assert (noise.edit_columns, noise.num_layers, latent.shape) == (None, 1, (2, 144))
    assert torch.equal(noise(latent), flow(flow.sample(2, seed=1)))


@pytest.mark.parametrize("changes", [{"checkpointed": True}, {"gradient_steps": 3}])
def test_gradients_are_the_same_however_they_are_kept(flow, changes):
    other = RectifiedFlow(**{**flow.arguments(), **changes})
    other.load_state_dict(flow.state_dict())
    latents = [flow.sample(2, seed=1).requires_grad_() for _ in range(2)]
    for generator, latent in zip((flow, other.freeze()), latents, strict=True):
        generator(latent).square().sum().backward()
    assert torch.allclose(latents[0].grad, latents[1].grad, rtol=1e-4, atol=1e-6)


def test_gradients_through_the_last_steps_alone_are_those_of_a_path_that_begins_there(flow):
    short = RectifiedFlow(**{**flow.arguments(), "gradient_steps": 1})
    short.load_state_dict(flow.state_dict())
    latent = flow.sample(2, seed=1).requires_grad_()
    short.freeze()(latent).square().sum().backward()
    edit = torch.zeros(2, flow.edit_dim, requires_grad=True)
    with torch.no_grad():
        noise = flow.split(latent)[0]
        x, before = flow.walk(noise, [None, None]), flow.ask(flow.walk(noise, [None]), 1, None)
    said = flow.ask(x, 2, edit)
    ((flow.go(said, x, 2, [before]) + 1) / 2).square().sum().backward()
    assert torch.allclose(latent.grad[:, 144:], edit.grad, atol=1e-6)
    assert not latent.grad[:, :144].any()


def test_the_unit_makes_a_unit_step_as_long_as_samples_differ():
    rng = torch.Generator().manual_seed(0)
    factors, frame = torch.randn(4000, 2, generator=rng), torch.linalg.qr(torch.randn(12, 2, generator=rng))[0].T
    h = (factors * torch.tensor([3.0, 3.0])) @ frame
    unit = unit_of(h.view(4000, 12, 1))
    scaled = h / unit[:, 0]
    values = torch.linalg.eigvalsh(torch.cov(scaled.T.double()))
    assert float(values.square().sum() / values.sum()) == pytest.approx(1.0, rel=0.05)


def test_walks_keep_the_length_of_noise(flow):
    first, last = flow.sample(2, seed=0).split(1)
    last = last + torch.nn.functional.pad(torch.ones(1, flow.edit_dim), (144, 0))
    middle = flow.latent_between(first, last, 0.5)
    ends = [float(end[:, :144].norm()) for end in (first, last)]
    assert 0.95 * min(ends) < float(middle[:, :144].norm()) < 1.05 * max(ends)  # a straight line's is 0.7 of them
    assert torch.allclose(middle[:, 144:], torch.full((1, flow.edit_dim), 0.5))
    for share, end in ((0.0, first), (1.0, last)):
        assert torch.allclose(flow.latent_between(first, last, share), end, atol=1e-5)
    assert torch.allclose(flow.latent_between(first, first, 0.3), first, atol=1e-5)
    layered = torch.stack([first, last], dim=1)  # of every step its own
    assert flow.latent_between(layered, layered, 0.5).shape == layered.shape


def test_figures_go_further_in_h_than_in_the_noise(flow):
    assert (flow.figure_span, RectifiedFlow((1, 12, 12), channels=(8, 16), space="noise").figure_span) == (8.0, 2.5)


def test_opposite_vectors_have_a_way_between_them():
    assert torch.isfinite(great_circle(torch.ones(4), -torch.ones(4), 0.5)).all()


def test_truncation_is_refused(flow):
    with pytest.raises(
        ValueError, match=r"no truncation: its noise must be as long as noise is.*use truncation 1, got"
    ):
        flow.truncated(0.7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "w"}, "unknown space 'w'.*known: h, noise"),
        ({"channels": (12,)}, r"multiples of 8, got \(12,\)"),
        ({"steps": 0}, "steps"),
        ({"gradient_steps": 0}, "gradient_steps"),
    ],
)
def test_settings_that_cannot_be(changes, message, flow):
    with pytest.raises(ValueError, match=message):
        RectifiedFlow(**{**flow.arguments(), **changes})


@pytest.mark.parametrize(("shape", "patch"), [((1, 28, 28), 2), ((3, 20, 12), 1), ((3, 64, 64), 4)])
def test_a_unet_takes_any_size(shape, patch):
    unet = UNet(shape, (8, 16), patch)
    images = torch.randn(2, *shape)
    assert unet(images, torch.rand(2)).shape == images.shape
    assert unet.reach(images, torch.rand(2)).h.shape[1:] == unet.h_shape


def test_more_steps_by_a_setting(flow, tmp_path):
    from contrafact.core.artefact import save_artefact

    save_artefact(flow, tmp_path / "flow.safetensors")
    again = cf.load_generator(tmp_path / "flow.safetensors", {"steps": 5, "space": "h"})
    assert again.num_layers == 5
    latent = again.sample(2, seed=1)
    assert torch.allclose(again(latent), by_hand(flow, latent[:, :144].view(2, 1, 12, 12), steps=5)[0], atol=1e-5)


def test_the_noise_of_images_is_found(flow):
    with torch.no_grad():
        for weights in flow.unet.last.parameters():
            weights *= 0.3  # a network that changes slowly, as a trained one does
    images = flow(flow.sample(3, seed=5))
    errors = []
    for descents in (0, 20, 80):
        latent = flow.image_latents(images, descents)
        assert not latent[:, 144:].any()
        errors.append(float((flow(latent) - images).square().mean()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2], errors
    alone = flow.image_latents(images[1:2], 20)
    assert torch.allclose(flow.image_latents(images, 20)[1:2], alone, atol=1e-3)


def test_images_are_inverted_and_edited_by_the_usual_commands(flow, tmp_path):
    from contrafact.core.artefact import save_artefact
    from contrafact.editing.inversion import InversionSettings, invert, invert_photographs
    from contrafact.editing.latents import edit, load_latents
    from contrafact.report.edits import save_images

    with torch.no_grad():
        for weights in flow.unet.last.parameters():
            weights *= 0.1
    save_artefact(flow, tmp_path / "flow.safetensors")
    generator = cf.load_generator(tmp_path / "flow.safetensors")
    images = generator(generator.sample(2, seed=2)).clamp(0, 1)
    found = invert(generator, images, progress=False)
    assert found.latents.shape == (2, generator.latent_dim)
    assert not found.latents[:, 144:].any()
    assert float(found.psnr.min()) > 25
    assert "gone back" in found.note
    save_images(images, tmp_path / "pictures", ["first", "second"], "photo")
    stored, _ = invert_photographs(generator, [tmp_path / "pictures"])
    stored.save(tmp_path / "latents.safetensors")
    run = cf.methods.Random(num_directions=2).fit(generator, tmp_path / "run")
    start = load_latents(tmp_path / "latents.safetensors").latents
    moved = edit(run.generator, run.directions, start, [(1, 3.0)])
    assert torch.equal(moved[:, :144], start[:, :144])
    with pytest.raises(ValueError, match=r"images of a RectifiedFlow are gone back.*leave out per_layer"):
        invert(generator, images, settings=InversionSettings(per_layer=True), progress=False)
