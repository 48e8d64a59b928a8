"""What every generator promises."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.contract.promise import Broken, expect, expect_refusal
from contrafact.core.artefact import fingerprint, load_artefact, save_artefact, unbuildable
from contrafact.core.generator import Generator
from contrafact.core.outside import is_outside


def _label(generator: Generator, n: int) -> Tensor | None:
    return torch.arange(n) % generator.num_classes if generator.num_classes else None


def _sample(generator: Generator, n: int, seed: int = 0, truncation: float | None = None) -> Tensor:
    return generator.sample(n, torch.Generator().manual_seed(seed), _label(generator, n), truncation)


def makes_images_of_its_shape(generator: Generator) -> None:
    """Samples are float32 images of the shape it states, black 0 and white 1."""
    expect(
        isinstance(generator, Generator), "derive it from contrafact.core.generator.Generator, or contrafact.wrap it"
    )
    latent = _sample(generator, 3)
    images = generator(latent)
    expect(latent.shape == (3, generator.latent_dim), f"sample(3) has shape {tuple(latent.shape)}; see latent_dim")
    expected = (3, *generator.image_shape)
    expect(images.shape == expected, f"images have shape {tuple(images.shape)}; expected {expected}, see image_shape")
    expect(images.dtype == torch.float32, f"images are {images.dtype}; expected float32")
    expect(torch.isfinite(images).all(), "images are not finite")
    # Random weights need not stay in range, but they must be centred in 0..1, not in −1..1 or 0..255.
    mean = float(images.mean())
    expect(-3 < mean < 4, f"images have the mean {mean:.1f}; rescale them to black 0 and white 1")
    prior = generator.prior(2, torch.Generator().manual_seed(0))
    expect(prior.shape == (2, generator.prior_dim), f"prior(2) has shape {tuple(prior.shape)}; see prior_dim")


def makes_each_image_by_itself(generator: Generator) -> None:
    """Images do not depend on their neighbours in the batch."""
    latent = _sample(generator, 3)
    same = torch.allclose(generator(latent)[1:2], generator(latent[1:2]), atol=1e-5)
    expect(same, "an image alone is another than in a batch; batch statistics must be those of training")


def lets_gradients_reach_the_latent(generator: Generator) -> None:
    """Gradients reach every latent and no weight."""
    latent = _sample(generator, 2).requires_grad_()
    generator(latent).square().sum().backward()
    gradient = latent.grad
    expect(gradient is not None, "no gradient reaches the latent; remove no_grad, detach or rounding")
    assert gradient is not None
    reached = torch.isfinite(gradient).all() and (gradient.norm(dim=1) > 0).all()
    expect(reached, "a latent's gradient is 0 or not finite")
    expect(all(p.grad is None and not p.requires_grad for p in generator.parameters()), "weights get gradients")


def takes_a_latent_per_layer(generator: Generator) -> None:
    """With several layers it takes a latent for each, and each has influence; else it refuses such latents."""
    latent = _sample(generator, 2)
    if generator.num_layers == 1:
        _expect_refused(generator, latent[:, None], "expects latents of shape")
        return
    layered = latent[:, None].repeat(1, generator.num_layers, 1)
    expect(torch.allclose(generator(layered), generator(latent), atol=1e-6), "equal latents per layer change the image")
    layered = layered.requires_grad_()
    generator(layered).square().sum().backward()
    gradient = layered.grad
    influence = gradient is not None and (gradient.abs().sum(dim=(0, 2)) > 0).all()
    expect(influence, "a layer has no influence; see num_layers")


def refuses_latents_of_another_shape(generator: Generator) -> None:
    """Latents of another shape are refused."""
    width = generator.latent_dim
    for wrong in (torch.zeros(2, width + 1), torch.zeros(width), torch.zeros(2, 99, width)):
        _expect_refused(generator, wrong, rf"expects latents of shape \(N, {width}\)")


def _expect_refused(generator: Generator, wrong: Tensor, pattern: str) -> None:
    expect_refusal(lambda: generator(wrong), pattern, "begin forward() with latent = self.check_latent(latent)")


def draws_by_seed(generator: Generator) -> None:
    """The same seed draws the same latents, another seed others."""
    same = torch.equal(_sample(generator, 4, seed=7), _sample(generator, 4, seed=7))
    expect(same, "the same seed draws other latents: draw from the rng given")
    expect(not torch.equal(_sample(generator, 4, seed=7), _sample(generator, 4, seed=8)), "two seeds draw the same")


def makes_the_same_image_again(generator: Generator) -> None:
    """The same latent gives the same image."""
    latent = _sample(generator, 2)
    expect(torch.equal(generator(latent), generator(latent)), "the same latent gives another image: fix its noise")


def truncates_or_refuses_to(generator: Generator) -> None:
    """Truncation brings images together, or is refused where only the latent's direction counts."""
    if generator.truncated_in == "nowhere":
        asks: tuple[Callable[[], object], ...] = (
            lambda: generator.truncated(0.5),
            lambda: _sample(generator, 2, truncation=0.5),
        )
        for ask in asks:
            pattern = r"has no truncation: .*got 0\.5"
            expect_refusal(ask, pattern, "leave truncated() and map() to contrafact.core.generator.Generator")
        return
    spread = []
    for truncation in (0.0, 0.5, 1.0):
        shrunk = generator.truncated(truncation)
        spread.append(float(shrunk(_sample(shrunk, 32)).double().var(dim=0).sum().sqrt()))
    # A class knob's class is not truncated.
    closer = spread[0] < 0.95 * spread[1] < 0.9 * spread[2]
    expect(closer, f"images spread by {spread} at truncations 0, 0.5 and 1; map() must pull latents to their mean")
    if generator.class_range[0] == generator.class_range[1] and generator.num_classes == 0:
        expect(spread[0] < 1e-3 * spread[2], "truncation 0 gives more than one image")


def truncates_more_than_edits(generator: Generator) -> None:
    """Truncation is no rescaled edit: a latent is not only shortened before it is normalised."""
    if generator.truncated_in == "nowhere":
        if type(generator).__name__ == "ProgGAN":
            latent = _sample(generator, 4)
            expect(torch.allclose(generator(0.5 * latent), generator(latent), atol=1e-5), "a latent's length counts")
        return
    half = generator.truncated(0.5)
    whole_latent, half_latent = _sample(generator, 4), _sample(half, 4)
    edit = torch.randn(1, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    edit *= generator.latent_scale() / edit.norm() if generator.num_classes == 0 else 1 / edit.norm()
    whole = generator(whole_latent)
    span = float(whole.max() - whole.min())
    advice = "truncation changes no image, only how long an edit is: set truncated_in = 'nowhere'"
    expect((half(half_latent) - whole).abs().max() > 1e-3 * span, advice)
    edited = half(half_latent + 3 * edit) - generator(whole_latent + 6 * edit)
    expect(edited.abs().max() > 1e-3 * span, advice)


def truncates_by_one_decision(generator: Generator) -> None:
    """Truncation is one decision for latents and images."""
    if generator.truncated_in == "nowhere":
        return
    half = generator.truncated(0.5)
    expect((half.truncation, generator.truncation) == (0.5, 1.0), "truncated() changes the generator it is called on")
    unchanged = generator.truncated(1.0) is generator.truncated(None) is generator
    expect(unchanged, "truncated() by what it has already gives another generator")
    back, latent = half.truncated(1.0), _sample(generator, 2)
    expect(torch.equal(_sample(back, 4), _sample(generator, 4)), "truncated back to 1, latents are others")
    expect(torch.equal(back(latent), generator(latent)), "truncated back to 1, images are others")
    if generator.num_classes == 0:
        expect(half.latent_scale() == generator.latent_scale(), "an edit's length changes with truncation")
    if generator.truncated_in != "images":
        same = torch.equal(_sample(generator, 4, truncation=0.5), _sample(half, 4))
        expect(same, "map(truncation=0.5) and truncated(0.5) give other latents")
        return
    pattern = r"is set to 1; for 0\.5 take generator\.truncated\(0\.5\), or load it with"
    advice = "call self.check_condition(label, truncation) in map()"
    expect_refusal(lambda: _sample(generator, 2, truncation=0.5), pattern, advice)
    expect_refusal(lambda: _sample(half, 2, truncation=1.0), r"is set to 0\.5; for 1 take", advice)
    cls: Any = type(half)
    again = cls(**half.arguments())
    again.load_state_dict(half.state_dict())
    expect(torch.equal(again.freeze()(_sample(again, 2)), half(_sample(half, 2))), "arguments() forgets truncation")


def refuses_truncation_out_of_range(generator: Generator) -> None:
    """Truncation outside of 0 to 1 is refused."""
    for wrong in (-0.1, 1.1, float("nan")):
        asks: tuple[Callable[[], object], ...] = (
            partial(generator.truncated, wrong),
            partial(_sample, generator, 2, truncation=wrong),
        )
        for ask in asks:
            expect_refusal(ask, r"truncation must lie in \[0, 1\]", "call self.check_condition(label, truncation)")


def takes_labels_where_it_has_classes(generator: Generator) -> None:
    """Labels fit its classes, or are refused."""
    rng, advice = torch.Generator().manual_seed(0), "call self.check_condition(label, truncation) in map()"
    if generator.num_classes == 0:
        labels = torch.zeros(2, dtype=torch.long)
        expect_refusal(lambda: generator.sample(2, rng, labels), "unconditional", advice)
        return
    expect_refusal(lambda: generator.sample(2, rng), "conditional: pass a class label", advice)
    high = torch.full((2,), generator.num_classes)
    expect_refusal(lambda: generator.sample(2, rng, high), "label", advice)


def goes_to_another_class(generator: Generator) -> None:
    """Fixed to one class, it can be had of another, with the same noise; itself it stays as it is."""
    if generator.label is not None:
        return
    if generator.num_classes == 0:
        advice = "leave of_class() as it is where there are no classes"
        expect_refusal(lambda: generator.of_class(0), "fixed to no class", advice)
        return
    first, second = copy.deepcopy(generator), copy.deepcopy(generator)
    first.fix_label(0)
    second.fix_label(1)
    latent = _sample(first, 2)
    before, other = first(latent), first.of_class(1)
    advice = "fix_label() must set plain attributes, and forward() must read self.label"
    expect(torch.equal(_sample(other, 2), _sample(second, 2)), f"of_class(1) draws other latents: {advice}")
    expect(torch.equal(other(latent), second(latent)), f"of_class(1) makes other images than fix_label(1): {advice}")
    expect(torch.equal(first(latent), before), f"of_class(1) changes the generator itself: {advice}")
    expect(other.label == 1 and first.label == 0, f"of_class(1) has the label {other.label}: {advice}")


def stops_at_a_layer(generator: Generator) -> None:
    """Its layers have names, ``features`` stops at each, and gradients come back from it."""
    latent = _sample(generator, 2).requires_grad_()
    expect(generator.layer_names, "name its layers in layer_names, and give their activations in features()")
    for layer in generator.layer_names:
        features = generator.features(latent, layer)
        expect(features.shape[0] == 2, f"features(latent, {layer!r}) has {features.shape[0]} rows for 2 latents")
        gradient = torch.autograd.grad(features.sum(), latent, allow_unused=True)[0]
        expect(gradient is not None, f"no gradient comes back from the layer {layer!r}")
    pattern = rf"unknown layer.*{generator.layer_names[0]}"
    advice = "call self.check_layer(layer), or super().features(latent, layer) for a name that is none"
    expect_refusal(lambda: generator.features(latent, "no such layer"), pattern, advice)


def is_kept_whole_by_a_file(generator: Generator) -> None:
    """A file holds everything: class, arguments, weights, note; random numbers have no part in reading it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "generator.safetensors")
        why = unbuildable(generator)
        if why is not None:
            if is_outside(type(generator)):
                raise Broken(why)
            expect_refusal(lambda: save_artefact(generator, path), "cannot be written to a file", why)
            return
        generator.note = {"active": [1, 2]}
        save_artefact(generator, path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(99)
            again = load_artefact(path, Generator).freeze()
        expect(type(again) is type(generator), f"a {type(again).__name__} is read back")
        expect(fingerprint(again) == fingerprint(generator), "other weights are read back: register them as parameters")
        expect(again.note == {"active": [1, 2]}, "another note is read back")
        expect(again.arguments() == generator.arguments(), "other arguments are read back")
        latent = _sample(generator, 2)
        expect(torch.equal(_sample(again, 2), latent), "what is read back draws other latents")
        expect(torch.equal(again(latent), generator(latent)), "what is read back makes other images")


def knows_its_latents_spread(generator: Generator) -> None:
    """``latent_scale`` is the spread of its samples, or of what edits are added to along the ways that it varies."""
    if generator.num_classes:
        return
    if generator.edit_layer is None:
        columns = slice(*(generator.edit_columns or (None, None)))
        latents = torch.cat([_sample(generator, 2048, seed=s) for s in range(2)])[:, columns]
        spread = float(latents.var(dim=0).mean().sqrt())
    else:
        covariance = torch.cov(generator.edit_coordinates(_sample(generator, 512)).double().T)
        spread = float((covariance.square().sum() / covariance.trace()).sqrt())
    near = abs(generator.latent_scale() - spread) <= (0.05 if generator.edit_layer is None else 0.5) * spread
    expect(near, f"latent_scale() is {generator.latent_scale():.3f}, samples spread by {spread:.3f}")


TRUNCATION = (
    truncates_or_refuses_to,
    truncates_more_than_edits,
    truncates_by_one_decision,
    refuses_truncation_out_of_range,
)
"""What is checked of truncation."""
CHECKS = (
    makes_images_of_its_shape,
    makes_each_image_by_itself,
    lets_gradients_reach_the_latent,
    takes_a_latent_per_layer,
    refuses_latents_of_another_shape,
    draws_by_seed,
    makes_the_same_image_again,
    takes_labels_where_it_has_classes,
    goes_to_another_class,
    stops_at_a_layer,
    is_kept_whole_by_a_file,
    knows_its_latents_spread,
    *TRUNCATION,
)
"""What is checked."""
