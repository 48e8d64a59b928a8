"""Methods around a user's own network: trained, saved without its code, read back with it."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from contrafact.cli import COMMANDS, main
from contrafact.cli._complete import completions
from contrafact.contract.method import Subject
from contrafact.core.method import load_run
from contrafact.core.own_module import find_module, load_module
from contrafact.core.run import Run
from contrafact.evaluation.control import budget_of
from contrafact.methods import CATALOG
from contrafact.methods.cmc import CMC
from contrafact.methods.moco import MoCo
from contrafact.methods.sefa import SeFa
from contrafact.methods.vae import VAE
from contrafact.nn.own_encoder import OwnEncoder


class Mine(nn.Module):
    """Six features, some of them through batch statistics, as users' networks have."""

    def __init__(self, codes=6):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, codes, 3, stride=2), nn.BatchNorm2d(codes), nn.ReLU())

    def forward(self, images):
        return self.body(images).mean(dim=(2, 3))


def mine(codes=6):
    torch.manual_seed(0)
    return Mine(codes)


def run_in(folder, **given):
    return Run(folder, device="cpu", precision="float32", progress=False, log_every=1, **given)


def is_a_refusal(cls):
    return "encoder" in cls.without or cls is CMC


TRAINING = [name for name in CATALOG if "encoder" in CATALOG.get(name).yields and not is_a_refusal(CATALOG.get(name))]
REFUSING = [name for name in CATALOG if "encoder" in CATALOG.get(name).yields and is_a_refusal(CATALOG.get(name))]


def around(name, module, folder):
    """The method made tiny, with a module for an encoder, and what it learns from."""
    subject = Subject(CATALOG.get(name), folder)
    code_dim = {"code_dim": None} if "code_dim" in subject.tiny().hyperparameters() else {}
    return subject.tiny().changed(encoder=module, **code_dim), subject.source()


def weights_of(module, path="body.0.weight"):
    """Every copy of the user's first convolution in what was learned."""
    return [tensor for key, tensor in module.state_dict().items() if key.endswith(f"module.{path}")]


def test_every_method_with_an_encoder_trains_one_of_your_own_or_says_why_not():
    assert len(TRAINING) > 15
    assert sorted(REFUSING) == [
        *("attention_decoder", "cmc", "disdiff", "encdiff"),
        *("gan_features", "gan_inversion", "infogan", "infogan_cr", "joint_diagonal"),
    ]


@pytest.mark.filterwarnings("ignore:.*have no label among", "ignore:mode collapse", "ignore:DisCo has collapsed")
@pytest.mark.parametrize("name", TRAINING)
def test_a_module_is_trained_in_a_copy_and_read_back(name, tmp_path):
    module = mine()
    before = copy.deepcopy(module.state_dict())
    method, source = around(name, module, tmp_path)
    run = method.fit(source, run_in(tmp_path / "run"))
    learned = run.encoder
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[key]), "the user's module must stay as it was"
    trained = weights_of(learned)
    assert trained
    for copied in trained:
        assert not torch.equal(copied, before["body.0.weight"])
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    again = load_run(tmp_path / "run", encoder=Mine())  # other weights: the file's replace them
    torch.testing.assert_close(again.encoder(images), learned(images), rtol=0, atol=0)
    assert again.encoder.state_dict().keys() == learned.state_dict().keys()
    if run.has("generator") and method.source == "images":
        assert again.has("generator")
    assert again.config["hyperparameters"]["encoder"] == {"module of your own": "tests.methods.test_own_encoder.Mine"}
    with pytest.raises(ValueError, match=r"test_own_encoder\.Mine\), not its code: pass the module.*encoder=\.\.\."):
        _ = load_run(tmp_path / "run").encoder
    with pytest.raises(ValueError, match=r"the weights do not fit|encoder given returns 8 codes"):
        _ = load_run(tmp_path / "run", encoder=Mine(8)).encoder
    kept = method.fit(source, run_in(tmp_path / "run", resume=True)).encoder
    torch.testing.assert_close(kept(images), learned(images), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["simclr", "beta_vae", "zerodim", "disco"])
def test_an_interrupted_run_goes_on_with_the_module(name, tmp_path):
    """Stopped in the middle and gone on with, a run learns what an uninterrupted one does."""
    method, source = around(name, mine(), tmp_path)
    whole = method.fit(source, run_in(tmp_path / "whole")).encoder
    stopped = run_in(tmp_path / "stopped", save_every=0.0)
    log, lines = stopped.log, []

    def log_and_stop(**values):
        log(**values)
        lines.append(values)
        if len(lines) == 3:
            raise KeyboardInterrupt

    stopped.log = log_and_stop
    with pytest.raises(KeyboardInterrupt):
        method.fit(source, stopped)
    torch.manual_seed(5)
    other, _ = around(name, Mine(), tmp_path)  # the checkpoint's weights replace these
    gone_on = other.fit(source, run_in(tmp_path / "stopped", resume=True)).encoder
    for key, tensor in whole.state_dict().items():
        assert torch.equal(gone_on.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", REFUSING)
def test_a_method_that_cannot_says_why(name):
    cls = CATALOG.get(name)
    with pytest.raises(ValueError, match=rf"^{name} takes no encoder( of your own)?: .+(simclr|cd_gan|disco)"):
        cls(encoder=mine())
    with pytest.raises(ValueError, match=f"^{name} takes no encoder"):
        cls.preset("quick", encoder=mine())


def test_the_methods_own_names_still_work_and_others_are_still_refused():
    with pytest.raises(ValueError, match="unknown encoder 'resnet19'; did you mean 'resnet18'"):
        MoCo(encoder="resnet19")
    with pytest.raises(ValueError, match="unknown schedule"):
        MoCo(schedule=mine())
    with pytest.raises(ValueError, match="encoder must be a Module or None, got 'resnet18'; give another --encoder"):
        VAE(encoder="resnet18")
    with pytest.raises(TypeError, match="unexpected keyword argument 'encoder'"):
        SeFa(encoder=mine())


def test_an_encoder_to_start_from_may_be_built_around_a_module(tmp_path):
    method, source = around("disco", mine(), tmp_path)
    run = method.fit(source, run_in(tmp_path / "first"))
    start = str(tmp_path / "first" / "encoder.safetensors")
    kept = method.changed(pretrained_encoder=start, train_encoder=False).fit(source, run_in(tmp_path / "second"))
    assert torch.equal(weights_of(kept.encoder)[0], weights_of(run.encoder)[0])
    with pytest.raises(ValueError, match="not its code: pass the module"):
        method.changed(pretrained_encoder=start, encoder="conv").fit(source, run_in(tmp_path / "third"))


def test_a_discos_control_needs_no_such_module(tmp_path):
    method, source = around("disco", mine(), tmp_path)
    run = method.fit(source, run_in(tmp_path / "run"))
    assert budget_of(load_run(run.folder)).steps == 4


OWN_FILE = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Needy(Net):
    def __init__(self, codes):
        super().__init__()


def small():
    print("small was called")
    return Net()


ready = nn.Sequential(*Net())
nothing = 3
"""


def encoder_of(folder):
    return load_file(folder / "encoder.safetensors")


@pytest.mark.parametrize("named", ["Net", "ready"])
def test_the_command_line_names_a_file_of_ones_own(named, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN_FILE)
    data = ["--data", "shapes3d", "--size", "16"]
    fit = ["fit", "beta_vae", *data, "--steps", "2", "--batch-size", "4", "--encoder", f"{tmp_path}/mine.py:{named}"]
    assert main([*fit, "--out", str(tmp_path / "a"), "--device", "cpu"]) == 0
    said = json.loads((tmp_path / "a" / "config.json").read_text())["hyperparameters"]["encoder"]
    assert said == {"module of your own": f"mine.py:{named}"}
    assert main([*fit, "--out", str(tmp_path / "a"), "--device", "cpu", "--resume"]) == 0
    assert main([*fit, "--out", str(tmp_path / "c"), "--device", "cpu", "--seed", "1"]) == 0
    first, other = encoder_of(tmp_path / "a"), encoder_of(tmp_path / "c")
    if named != "ready":  # made when the file is run, which was before
        assert main([*fit, "--out", str(tmp_path / "b"), "--device", "cpu"]) == 0
        again = encoder_of(tmp_path / "b")
        assert first.keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in first.items()), "a seed is a seed"
        assert not all(torch.equal(tensor, other[key]) for key, tensor in first.items())
    # This process has run the file; another is told to.
    encode = [sys.executable, "-m", "contrafact", "encode", str(tmp_path / "a"), "shapes3d", "--num-images", "5"]
    out = ["--out", str(tmp_path / "codes.npz")]
    done = subprocess.run([*encode, *out], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"(mine.py:{named}), not its code" in done.stderr
    assert "--plugin FILE.py" in done.stderr
    done = subprocess.run(
        [*encode, *out, "--plugin", str(tmp_path / "mine.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "codes.npz")["codes"].shape == (5, 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "FILE:nothing",
            "mine.py:nothing is a int; expected a torch module, or a class of one",
        ),
        ("FILE:small", "mine.py:small is a function; expected a torch module, or a class of one"),
        ("FILE:Needy", r"mine.py:Needy failed \(TypeError: .*; it is built without arguments: give them defaults"),
        ("FILE:Nett", "defines no 'Nett'; it defines Net, Needy, small"),
        ("elsewhere.py:Net", "elsewhere.py does not exist"),
        ("resnet19", "encoder must be a Module or None, got 'resnet19'; give another --encoder"),
    ],
)
def test_what_names_no_module_is_refused_before_anything_is_written(given, message, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN_FILE)
    given = given.replace("FILE", f"{tmp_path}/mine.py")
    out = tmp_path / "run"
    fit = ["fit", "beta_vae", "--data", "shapes3d", "--encoder", given, "--out", str(out)]
    assert main(fit) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists()


def test_the_command_line_says_why_a_method_takes_none_and_what_others_take(capsys):
    assert main(["fit", "infogan", "--data", "shapes3d", "--encoder", "mine.py:Net"]) == 2
    assert "infogan takes no encoder: its encoder is Q" in capsys.readouterr().err
    assert main(["fit", "moco", "--data", "shapes3d", "--encoder", "resnet19"]) == 2
    assert "unknown encoder 'resnet19'; did you mean 'resnet18'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", "moco", "--help"])
    assert re.search(
        r"--encoder\s+\{conv,locatello,mlp,resnet18,resnet34,resnet50\}\|FILE\.py:NAME", capsys.readouterr().out
    )
    assert completions(["fit", "moco", "--encoder", "res"], COMMANDS) == ["resnet18", "resnet34", "resnet50"]


def test_a_mark_runs_no_file(tmp_path, monkeypatch, capsys):
    """Neither a run's configuration nor a file's header gets code to run."""
    monkeypatch.chdir(tmp_path)
    Path("stranger.py").write_text("raise SystemExit('this ran')")
    assert find_module("stranger.py:Net") is None
    Path("own.py").write_text(OWN_FILE)
    assert isinstance(load_module("own.py:Net"), nn.Sequential)
    assert isinstance(find_module("own.py:Net"), nn.Sequential)
    with pytest.raises(ValueError, match=r"own\.py:small is a function"):  # no mark chooses what is called
        find_module("own.py:small")
    assert "small was called" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="encoder must be a Module or None"):
        VAE.of(encoder="stranger.py:Net")
    with pytest.raises(ValueError, match="unknown encoder"):
        MoCo.of(encoder="stranger.py:Net")
    with pytest.raises(SystemExit):  # the witness: what a reader that loads it would have done
        load_module("stranger.py:Net")


class Pair(nn.Module):
    def forward(self, images):
        return images.mean(dim=(2, 3)), images


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"must take images \(N, 3, 16, 16\) and return codes \(N, D\).*shape \(2, 4, 14, 14\)"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(1536, 4)), r"it returned shape \(4,\)"),
        (Pair(), "it returned a tuple"),
        (nn.Conv2d(1, 4, 3), r"must take images \(N, 3, 16, 16\); given two of them it failed: "),
    ],
)
@pytest.mark.parametrize("name", ["simclr", "vae", "lord", "disco", "sup_con"])
def test_a_module_that_is_no_encoder_is_refused_before_training(name, module, message, tmp_path):
    method, source = around(name, module, tmp_path)
    with pytest.raises(ValueError, match=message):
        method.fit(source, run_in(tmp_path / "run"))
    assert not (tmp_path / "run").exists(), "a run that learned nothing gives its folder back"


def test_a_probe_changes_nothing_and_the_number_of_codes_is_checked():
    module = mine()
    encoder = OwnEncoder(module, (3, 16, 16))
    assert encoder.code_dim == 6
    assert encoder.module.training
    assert torch.equal(encoder.module.body[1].running_mean, torch.zeros(6)), "probing must not move running statistics"
    with pytest.raises(ValueError, match="code_dim is 5, but the encoder given returns 6 codes an image"):
        OwnEncoder(module, (3, 16, 16), 5)
