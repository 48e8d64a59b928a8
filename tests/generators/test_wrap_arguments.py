"""Modules that take more than a latent: a class, a latent for each layer, a map of one pixel."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import contrafact as cf
from contrafact.contract.generator import CHECKS
from contrafact.generators import wrap
from tests.generators.kinds import dcgan

NOISE, CLASSES, LAYERS = 4, 3, 2


class Conditional(nn.Module):
    """Takes the class in one of the usual forms."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.embed = nn.Embedding(CLASSES, CLASSES)
        self.to_map = nn.ConvTranspose2d(NOISE + CLASSES, 3, 4)
        self.dense = nn.Linear(NOISE + CLASSES, 48)

    def forward(self, z, c):
        if self.form == "one-hot map":
            return self.to_map(torch.cat([z, c], dim=1)).tanh()
        c = self.embed(c) if self.form == "indices" else c
        return self.dense(torch.cat([z, c], dim=1)).view(-1, 3, 4, 4).tanh()


class Layered(nn.Module):
    """Takes a latent for each of its layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(NOISE, 48) for _ in range(LAYERS)])

    def forward(self, w):
        parts = [layer(w[:, n]) for n, layer in enumerate(self.layers)]
        return (0.5 * sum(parts)).view(-1, 3, 4, 4).tanh()


def called(module, form, latent, classes):
    c = classes if form == "indices" else F.one_hot(classes, CLASSES).float()
    if form == "one-hot map":
        return (module(latent[:, :, None, None], c[:, :, None, None]) + 1) / 2
    return (module(latent, c) + 1) / 2


FORMS = ["indices", "one-hot", "one-hot map"]


@pytest.mark.parametrize("form", FORMS)
def test_a_fixed_class_is_given_in_the_form_that_the_module_takes(form):
    module = Conditional(form)
    generator = wrap(module, NOISE, num_classes=CLASSES, label=2)
    latent = generator.sample(5, seed=0)
    assert latent.shape == (5, NOISE)
    assert (generator.label, generator.num_classes) == (2, 0)
    torch.testing.assert_close(generator(latent), called(module, form, latent, torch.full((5,), 2)))


@pytest.mark.parametrize("form", FORMS)
def test_an_open_class_is_a_knob(form):
    module = Conditional(form)
    generator = wrap(module, NOISE, num_classes=CLASSES)
    classes = torch.tensor([0, 2, 1])
    latent = generator.latents_of_class(classes, torch.Generator().manual_seed(0))
    assert latent.shape == (3, NOISE + CLASSES)
    assert generator.classes_of(latent).tolist() == classes.tolist()
    torch.testing.assert_close(generator(latent), called(module, form, latent[:, :NOISE], classes))
    assert set(generator.classes_of(generator.sample(60, seed=0)).tolist()) == {0, 1, 2}


def test_noise_of_ones_own_keeps_the_knob():
    module = Conditional("one-hot")
    generator = wrap(
        module,
        NOISE,
        num_classes=CLASSES,
        sample=lambda n, rng: torch.rand(n, 2, generator=rng),
        map=lambda z: torch.cat([z, z], dim=1),
    )
    latent = generator.sample(200, seed=0)
    assert torch.equal(latent[:, :2], latent[:, 2:4])
    assert (latent[:, 4:].sum(dim=1) == 1).all()
    mean = generator.sample(200, seed=0, truncation=0.0)
    torch.testing.assert_close(mean[:, :NOISE], torch.full((200, NOISE), 0.5), atol=0.02, rtol=0)
    assert torch.equal(mean[:, 4:], latent[:, 4:])


def test_a_latent_per_layer():
    module = Layered()
    generator = wrap(module, NOISE, num_layers=LAYERS)
    latent = torch.randn(3, NOISE)
    layered = torch.randn(3, LAYERS, NOISE)
    torch.testing.assert_close(generator(latent), (module(latent[:, None].expand(-1, LAYERS, -1)) + 1) / 2)
    torch.testing.assert_close(generator(layered), (module(layered) + 1) / 2)
    assert generator.features(layered, "layers.1").shape == (3, 48)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "made",
    [
        lambda: wrap(Conditional("one-hot"), NOISE, num_classes=CLASSES),
        lambda: wrap(Conditional("one-hot map"), NOISE, num_classes=CLASSES, label=1),
        lambda: wrap(Layered(), NOISE, num_layers=LAYERS),
    ],
    ids=["knob", "label", "layers"],
)
def test_they_keep_the_generators_promise(made, check):
    check(made())


def test_directions_may_act_on_some_layers(tmp_path):
    generator = wrap(Layered(), NOISE, num_layers=LAYERS)
    run = cf.methods.LatentCLR.of(
        model="global", num_directions=2, steps=1, batch_size=2, first_layer=1, last_layer=2, layer="layers.1"
    ).fit(generator, tmp_path / "run")
    moved = run.directions(torch.zeros(1, NOISE), 0, 1.0)
    assert moved.shape == (1, LAYERS, NOISE)
    assert not moved[:, 0].any()
    assert cf.load_run(tmp_path / "run", generator=generator).generator(moved).shape == (1, 3, 4, 4)


def test_a_dcgan_is_given_the_shape_it_takes():
    network = dcgan.trained(dcgan.tutorial)
    generator = wrap(network, dcgan.NOISE)
    latent = generator.sample(2, seed=0)
    torch.testing.assert_close(generator(latent), (network(latent[:, :, None, None]) + 1) / 2)


def test_the_first_layers_weights_are_found_beside_a_class():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.of_class = nn.Linear(NOISE, 48), nn.Embedding(CLASSES, 48)

        def forward(self, z, c):
            return (self.first(z) + self.of_class(c)).view(-1, 3, 4, 4).tanh()

    generator = wrap(Sum(), NOISE, num_classes=CLASSES)
    weights = generator.latent_weights()
    assert torch.equal(weights[:, :NOISE], generator.module.first.weight)
    assert not weights[:, NOISE:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes must be 0 or at least 2, got 1"),
        ({"num_classes": 3, "label": 3}, "label must be a class from 0 to 2, got 3"),
        ({"label": 1}, "label must be left out of a module without num_classes, got 1"),
        ({"num_layers": 2, "num_classes": 3}, "2 layers does not go together with an open class: give label="),
        ({"num_layers": 2, "latent_shape": (2, 2)}, "2 layers does not go together with latent_shape"),
        ({}, "it takes 2 arguments: if the second is a class say num_classes="),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        wrap(Conditional("indices"), NOISE, **options)
