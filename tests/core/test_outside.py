"""Classes of somebody's own: they are kept, and come back where somebody passes or loads them; never by being named."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import contrafact as cf
from contrafact.core import plugins
from contrafact.core.artefact import load_artefact, save_artefact, unbuildable
from contrafact.core.direction_files import choose, name_direction
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.outside import PREFIX, find_outside, is_ready, read, spelled, written
from contrafact.core.run import Run
from contrafact.generators import wrap

SHAPE = (3, 8, 8)
IMAGES = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))


class Plain(Encoder):
    """Says nothing of its arguments."""

    def __init__(self, image_shape=SHAPE, code_dim=4, *, widths=(6, 5), scale=1.0):
        super().__init__()
        assert isinstance(image_shape, tuple)
        assert isinstance(widths, tuple)
        self.image_shape, self.code_dim, self.scale = image_shape, code_dim, scale
        sizes = [int(np.prod(image_shape)), *widths, code_dim]
        self.body = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sizes)))

    def encode(self, images):
        return self.scale * self.body(images.flatten(1))


class Around(Encoder):
    """Built around a module, which no file can say."""

    def __init__(self, net, code_dim):
        super().__init__()
        self.net, self.image_shape, self.code_dim = net, SHAPE, code_dim

    def encode(self, images):
        return self.net(images.flatten(1))


class Broken(Plain):
    def arguments(self):
        return {"image_shape": self.no_such_attribute}


class Odd(Plain):
    def arguments(self):
        return {"code_dim": torch.tensor(4)}


class Stateful(Plain):
    """With a state that is no tensor."""

    def get_extra_state(self):
        return {"seen": 3}

    def set_extra_state(self, state):
        self.seen = state


class NeedsNumbers(Plain):
    """Reads tensors while it is built, which torch's meta device does not let it."""

    def __init__(self, code_dim=4):
        super().__init__(SHAPE, code_dim)
        self.first = float(torch.linspace(1, 2, 3)[0])


class Axes(Directions):
    def __init__(self, latent_dim, num_directions, scale=1.0):
        super().__init__(latent_dim, num_directions, scale)

    def shift(self, latent, index, magnitude):
        return magnitude[:, None] * torch.eye(self.latent_dim)[index]


class Painter(Generator):
    def __init__(self, latent_dim=5, classes=0):
        super().__init__()
        self.latent_dim, self.prior_dim, self.image_shape, self.num_classes = latent_dim, latent_dim, SHAPE, classes
        self.layer = nn.Linear(latent_dim, 3 * 8 * 8)

    def forward(self, latent):
        return torch.sigmoid(self.layer(latent)).unflatten(1, SHAPE)


@dataclass(frozen=True)
class Own(Method):
    """Returns what it is told to."""

    source: ClassVar = "generator"
    yields: ClassVar = ("encoder",)
    made: ClassVar = None

    steps: int = 1
    """Steps."""

    def train(self, source, run):
        returned = type(self).made()
        state = {"encoder": returned.encoder} if isinstance(returned, Artefacts) else {}
        for _ in run.steps(self.steps, {k: v for k, v in state.items() if isinstance(v, nn.Module)}):
            run.log(loss=1.0)
        return returned


def fit(tmp_path, made, yields=("encoder",)):
    method = type("Own", (Own,), {"made": staticmethod(made), "yields": yields})
    return method().fit(cf.load_generator("analytic"), Run(tmp_path / "run"))


# -- what a constructor was given -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda: Plain(), {}),
        (lambda: Plain(SHAPE, 3), {"image_shape": SHAPE, "code_dim": 3}),
        (lambda: Plain(code_dim=np.int64(3), widths=(7,)), {"code_dim": 3, "widths": (7,)}),
        (lambda: Axes(5, num_directions=2), {"latent_dim": 5, "num_directions": 2}),
    ],
)
def test_arguments_are_noted(make, arguments):
    assert make().arguments() == arguments
    assert json.loads(json.dumps(written(arguments))) == written(arguments)


@pytest.mark.parametrize("cls", [Plain, NeedsNumbers])
def test_a_class_that_says_nothing_comes_back(cls, tmp_path):
    encoder = cls(code_dim=3).eval()
    assert save_artefact(encoder, tmp_path / "e.safetensors") is None
    for own in (None, cls, cls(code_dim=3)):
        again = load_artefact(tmp_path / "e.safetensors", Encoder, own)
        assert type(again) is cls
        assert torch.equal(again(IMAGES), encoder(IMAGES))
        assert not again.training


def test_an_instance_is_copied_not_filled(tmp_path):
    save_artefact(Plain(), tmp_path / "e.safetensors")
    mine = Plain()
    before = mine.body[0].weight.clone()
    load_artefact(tmp_path / "e.safetensors", Encoder, mine)
    assert torch.equal(mine.body[0].weight, before)


def test_a_state_that_is_no_tensor_stays_as_it_was_built(tmp_path):
    encoder = Stateful().eval()
    save_artefact(encoder, tmp_path / "e.safetensors")
    assert torch.equal(load_artefact(tmp_path / "e.safetensors", Encoder)(IMAGES), encoder(IMAGES))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Around(nn.Linear(192, 4), 4), r"a Around cannot be rebuilt .* argument net \(a Linear\): give its"),
        (Broken, r"Broken.arguments\(\) failed \(AttributeError: .*no_such_attribute"),
        (Odd, r"Odd.arguments\(\) must return the constructor's arguments by name, .* it returned {'code_dim': tensor"),
    ],
)
def test_weights_of_what_cannot_be_rebuilt_are_kept(make, why, tmp_path, capsys):
    """Whatever is wrong with how a class describes itself, what it learned is in the folder, and is read back."""
    encoder = make()
    learned = fit(tmp_path, lambda: Artefacts(encoder=encoder)).encoder
    said = capsys.readouterr().err
    assert "its weights will be written all the same" in said, "before training"
    assert "holds the weights of the encoder and not how to build it" in said
    run = cf.load_run(tmp_path / "run")
    assert not run.has("encoder")
    with pytest.raises(ValueError, match=r"not how to build it: pass one that you build, load_run\(folder, encoder="):
        run.encoder  # noqa: B018 - reading it is the test
    with pytest.raises(ValueError, match=why):
        load_artefact(tmp_path / "run" / "encoder.safetensors", Encoder)
    again = cf.load_run(tmp_path / "run", encoder=make())
    assert torch.equal(again.encoder(IMAGES), learned(IMAGES))


def test_what_can_be_rebuilt_is_not_warned_of(tmp_path, capsys):
    fit(tmp_path, lambda: Artefacts(encoder=Plain()))
    assert "weights" not in capsys.readouterr().err
    Around(nn.Linear(2, 2), 2)
    assert capsys.readouterr().err == "", "outside of training nothing is lost"


def test_an_instance_of_another_shape_is_refused(tmp_path):
    fit(tmp_path, lambda: Artefacts(encoder=Around(nn.Linear(192, 4), 4)))
    with pytest.raises(ValueError, match=r"(?s)the weights do not fit the Around.*size mismatch"):
        cf.load_run(tmp_path / "run", encoder=Around(nn.Linear(192, 3), 3)).encoder  # noqa: B018


# -- what a method returns by mistake ---------------------------------------------------------------------------------


def test_a_module_that_is_no_encoder_is_kept_and_refused(tmp_path):
    net = nn.Linear(192, 4)
    with pytest.raises(ValueError, match=r"returned a Linear as its encoder, expected a .*Encoder; its weights"):
        fit(tmp_path, lambda: Artefacts(encoder=net))
    assert torch.equal(load_file(tmp_path / "run" / "encoder.safetensors")["weight"], net.weight)


def test_an_artefact_that_is_missing_is_said_after_the_others_are_kept(tmp_path):
    with pytest.raises(ValueError, match="says in 'yields' that it makes a directions, and returned none"):
        fit(tmp_path, lambda: Artefacts(encoder=Plain()), ("encoder", "directions"))
    assert cf.load_run(tmp_path / "run").encoder.code_dim == 4


@pytest.mark.parametrize("wrapped", [lambda net: net, lambda net: {"trained": net, "loss": 3}])
def test_something_else_than_artefacts(tmp_path, wrapped):
    net = nn.Linear(3, 4)
    with pytest.raises(ValueError, match=r"must return Artefacts\(encoder=.*; the weights .*trained.safetensors"):
        fit(tmp_path, lambda: wrapped(net))
    assert torch.equal(load_file(tmp_path / "run" / "trained.safetensors")["weight"], net.weight)


def test_nothing_returned(tmp_path):
    with pytest.raises(ValueError, match=r"must return Artefacts\(.*got NoneType$"):
        fit(tmp_path, lambda: None)


def test_a_note_that_no_file_can_hold_is_left_out(tmp_path, capsys):
    encoder = Plain()
    encoder.note = {"good": 1, "bad": object()}
    fit(tmp_path, lambda: Artefacts(encoder=encoder))
    assert "the note 'bad' is left out: no file can hold a object" in capsys.readouterr().err
    assert cf.load_run(tmp_path / "run").encoder.note == {"good": 1}


# -- directions and generators ----------------------------------------------------------------------------------------


def test_own_directions_keep_their_names(tmp_path):
    fit(tmp_path, lambda: Artefacts(encoder=Plain(), directions=Axes(8, 3)), ("encoder", "directions"))
    name_direction(tmp_path / "run", 1, "smile")
    directions = cf.load_run(tmp_path / "run", directions=Axes).directions
    assert directions.names == ["direction 0", "smile", "direction 2"]
    few = choose(directions, ["smile", 0])
    save_artefact(few, tmp_path / "few.safetensors")
    again = cf.load_directions(tmp_path / "few.safetensors")
    latent = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(latent, 0, 1.5), directions(latent, 1, 1.5))


@pytest.mark.parametrize("names", [["a"], ["a", "a", "b"], [1, 2, 3], 3, "abc "])
def test_names_that_do_not_fit_are_damage(tmp_path, names):
    save_artefact(Axes(8, 3), tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", framework="pt") as file:
        header = {key: text for key, text in file.metadata().items() if "sha256" not in key}
    save_file({}, tmp_path / "d.safetensors", {**header, "kept": json.dumps({"names": names})})
    with pytest.raises(ValueError, match=r"damaged header \('kept' does not fit: .*\); make the file again"):
        load_artefact(tmp_path / "d.safetensors", Directions)


def test_own_generators_keep_class_and_truncation(tmp_path):
    painter = Painter(classes=3).truncated(0.5).freeze()
    painter.fix_label(2)
    save_artefact(painter, tmp_path / "g.safetensors")
    again = cf.load_generator(tmp_path / "g.safetensors")
    assert (again.label, again.num_classes, again.truncation) == (2, 0, 0.5)
    latent = again.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(again(latent), painter(latent))


def test_a_method_finds_directions_in_an_own_generator(tmp_path):
    painter = Painter()
    cf.methods.Random(num_directions=3).fit(painter, tmp_path / "run")
    for own in (None, Painter, Painter()):
        run = cf.load_run(tmp_path / "run", generator=own)
        assert torch.equal(run.generator(torch.ones(1, 5)), painter(torch.ones(1, 5)))


def test_a_wrapped_generator_that_was_trained_is_kept(tmp_path):
    """The source is the user's to keep; what a method made is not."""

    def module(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4)))

    trained = wrap(module(0), 4)
    fit(tmp_path, lambda: Artefacts(encoder=Plain(), generator=trained), ("encoder", "generator"))
    with pytest.raises(ValueError, match=r"pass one that you build, load_run\(folder, generator=...\)"):
        cf.load_run(tmp_path / "run").generator  # noqa: B018
    again = cf.load_run(tmp_path / "run", generator=wrap(module(1), 4)).generator
    assert torch.equal(again(torch.ones(1, 4)), trained(torch.ones(1, 4)))
    cf.methods.Random(num_directions=3).fit(trained, tmp_path / "other")
    assert not (tmp_path / "other" / "generator.safetensors").exists()


# -- found, never imported --------------------------------------------------------------------------------------------

MODULE = """
from torch import nn
from contrafact.core.encoder import Encoder

print("this ran")

class Mine(Encoder):
    def __init__(self, code_dim=2):
        super().__init__()
        self.image_shape, self.code_dim, self.layer = (3, 8, 8), code_dim, nn.Linear(192, code_dim)

    def encode(self, images):
        return self.layer(images.flatten(1))
"""
READ = "from contrafact.core.artefact import load_artefact; from contrafact.core.encoder import Encoder; "


def python(code, folder, *options):
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{folder}"}
    command = [sys.executable, *options, *(["-c", code] if code else [])]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_class_of_a_script_is_loaded_only_by_who_loads_it(tmp_path):
    """Written by one program; another that does not load the class never runs its code, though it could."""
    (tmp_path / "stranger.py").write_text(MODULE)
    script = f"{MODULE}\nfrom contrafact.core.artefact import save_artefact\nsave_artefact(Mine(3), 'e.safetensors')\n"
    (tmp_path / "script.py").write_text(script.replace("class Mine", "class Mine", 1))
    assert python(None, tmp_path, "script.py").returncode == 0
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        assert file.metadata()["class"] == "outside:script:Mine"
    done = python(f"{READ}load_artefact('e.safetensors', Encoder)", tmp_path)
    assert "this ran" not in done.stdout
    assert "holds a script:Mine, somebody's own class, which is not imported because a file names it" in done.stderr
    assert "--plugin FILE.py" in done.stderr
    # The witness: the class can be imported from here by that name.
    found = python(f"import script; {READ}print(load_artefact('e.safetensors', Encoder).code_dim)", tmp_path)
    assert found.stdout.split()[-1] == "3"
    passed = python(f"import stranger; {READ}print(load_artefact('e.safetensors', Encoder, stranger.Mine))", tmp_path)
    assert "Mine(" in passed.stdout, "a class that moved is passed"


def test_an_installed_package_brings_its_classes(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(MODULE)
    done = python(
        "import their_package; from contrafact.core.artefact import save_artefact; "
        "save_artefact(their_package.Mine(3), 'e.safetensors')",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="holds a their_package:Mine, somebody's own class"):
        load_artefact(tmp_path / "e.safetensors", Encoder)
    offered = {
        "broken": EntryPoint("broken", "their_package.no_such_module:Thing", "contrafact.metrics"),
        "mine": EntryPoint("mine", "their_package:Mine", "contrafact.methods"),
    }
    monkeypatch.setattr(plugins, "plugins", lambda group: offered if group == "methods" else {})
    assert load_artefact(tmp_path / "e.safetensors", Encoder).code_dim == 3


@pytest.mark.parametrize("name", ["os:system", "torch.nn:Linear", "contrafact.generators.vae:VAE", "", "a:b:c"])
def test_only_artefacts_of_the_kind_are_found(name):
    assert find_outside(PREFIX + name, Encoder) is None
    assert find_outside(spelled(Plain), Directions) is None
    assert find_outside(spelled(Plain), Encoder) is Plain


def test_the_last_class_of_a_name_counts():
    """A notebook's cell that is run again makes the class again."""

    def cell():
        class Cell(Plain):
            pass

        return Cell

    old, new = cell(), cell()
    assert spelled(old) == spelled(new)
    assert find_outside(spelled(old), Encoder) is new


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (Axes, r"expected that class, below Encoder, got <class .*Axes"),
        (Axes(4, 2), r"expected one, an instance of Encoder, got <class .*Axes"),
    ],
)
def test_something_else_passed(tmp_path, own, message):
    save_artefact(Plain(), tmp_path / "e.safetensors")
    with pytest.raises(ValueError, match=message):
        load_artefact(tmp_path / "e.safetensors", Encoder, own)


def test_a_hostile_header_for_a_loaded_class(tmp_path):
    """Who loads a class does not let a file build one of any size."""
    header = {"format": "contrafact", "version": "1", "class": spelled(Plain), "note": "{}", "kept": "{}"}
    arguments = {"image_shape": {"tuple": [3, 4000, 4000]}, "code_dim": 4}
    save_file({"w": torch.zeros(2)}, tmp_path / "e.safetensors", {**header, "arguments": json.dumps(arguments)})
    with pytest.raises(ValueError, match=r"describes \d+ numbers, more than the file holds"):
        load_artefact(tmp_path / "e.safetensors", Encoder)


def test_values_that_files_can_hold():
    assert is_ready({"a": [1, (2.5, None)], "b": np.float32(1)})
    for value in (float("nan"), {1: 2}, object(), torch.zeros(1), nn.ReLU, [nn.ReLU()]):
        assert not is_ready(value)
    assert read(json.loads(json.dumps(written({"a": [(1, [2])], "tuple": 3})))) == {"a": [(1, [2])], "tuple": 3}
    assert unbuildable(GlobalDirections(3, 2)) is None
