"""Generators of somebody's own by FILE.py:NAME, wherever a name is taken."""

from importlib.metadata import EntryPoint

import pytest
import torch

import contrafact as cf
from contrafact.core.artefact import fingerprint
from contrafact.generators import _own

FILE = '''"""Own generators."""

import contrafact as cf
import torch
from contrafact.core.generator import Generator
from torch import nn

SHAPE = (3, 8, 8)


def layers():
    return nn.Sequential(nn.Linear(4, 192), nn.Tanh(), nn.Unflatten(1, SHAPE))


def gan():
    return cf.wrap(layers(), 4)


def plain():
    return layers()


def needy(side):
    return cf.wrap(layers(), side)


class Net(nn.Module):
    latent_dim = 4

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain, self.layers = gain, layers()

    def forward(self, latent):
        return self.gain * self.layers(latent)


class Painter(Generator):
    def __init__(self, latent_dim=4):
        super().__init__()
        self.latent_dim = self.prior_dim = latent_dim
        self.image_shape, self.layer_names = SHAPE, ("layer",)
        self.layer = nn.Linear(latent_dim, 192)

    def forward(self, latent):
        return torch.sigmoid(self.layer(self.check_latent(latent))).unflatten(1, SHAPE)


READY = Net()
NUMBER = 3
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    return "mine.py"


@pytest.mark.parametrize("name", ["gan", "Net", "Painter", "READY"])
def test_what_a_file_makes_is_a_generator_the_same_each_time(file, name):
    torch.manual_seed(5)
    generator = cf.load_generator(f"{file}:{name}")
    torch.manual_seed(6)
    again = cf.load_generator(f"{file}:{name}")
    assert generator.name == f"mine.py:{name}"
    assert fingerprint(generator) == fingerprint(again)
    assert generator(generator.sample(2, torch.Generator().manual_seed(0))).shape == (2, 3, 8, 8)
    assert not any(weight.requires_grad for weight in generator.parameters())


def test_making_it_leaves_the_random_state_alone(file):
    torch.manual_seed(5)
    cf.load_generator(f"{file}:Net")
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)


def test_arguments_are_given_as_changes(file):
    latent = torch.ones(1, 4)
    plain, twice = cf.load_generator(f"{file}:Net"), cf.load_generator(f"{file}:Net", {"gain": 0.5})
    torch.testing.assert_close(twice(latent) - 0.5, 0.5 * (plain(latent) - 0.5))
    assert cf.load_generator(f"{file}:needy", {"side": 4}).latent_dim == 4


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("plain", {}, r"mine.py:plain makes a Sequential without latent_dim; expected a .*wrap\(module, latent_dim\)"),
        ("NUMBER", {}, r"mine.py:NUMBER is a int; expected a class or a function that makes a generator"),
        (
            "needy",
            {},
            r"mine.py:needy needs side=...: give a default, .* \(on a command line --set side=...\)",
        ),
        ("Net", {"gian": 2}, r"unknown argument of mine.py:Net 'gian'; did you mean 'gain'\?"),
        ("SHAPE", {}, r"mine.py:SHAPE is a tuple"),
        ("Gone", {}, r"mine.py defines no 'Gone'; it defines .*Painter"),
    ],
)
def test_what_makes_none_is_said(file, name, changes, message):
    with pytest.raises(ValueError, match=message):
        cf.load_generator(f"{file}:{name}", changes)


def test_an_installed_package_offers_one(file, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    offered = {"their_gan": EntryPoint("their_gan", "mine:Painter", "contrafact.generators")}
    monkeypatch.setattr(_own, "plugins", lambda group: offered)
    assert cf.load_generator("their-gan").latent_dim == 4


def test_a_run_on_it_says_how_to_name_it_again(file, tmp_path):
    cf.methods.Random(num_directions=2).fit(cf.load_generator(f"{file}:gan"), tmp_path / "run")
    with pytest.raises(
        ValueError,
        match=r"on a command line --generator mine.py:gan, in Python "
        r'load_run\(folder, generator=load_generator\("mine.py:gan"\)\)$',
    ):
        cf.load_run(tmp_path / "run").generator  # noqa: B018
    again = cf.load_run(tmp_path / "run", generator=cf.load_generator(f"{file}:gan"))
    assert again.directions(again.generator.sample(1, torch.Generator()), 0, 1.0).shape == (1, 4)


def test_a_module_in_memory_is_pointed_to_wrap():
    with pytest.raises(ValueError, match=r"got Linear; .* becomes a generator by .*wrap\(module, latent_dim\)"):
        cf.load_generator(torch.nn.Linear(3, 3))
