"""A refused option leaves nothing behind: every option of every method, with values nobody can mean.

Ranges are checked when a method is made, so most of the walk makes methods only; some goes through the command line.
"""

from __future__ import annotations

import builtins
import dataclasses
import math
import re
import shlex
from contextlib import suppress
from typing import Any, get_args, get_type_hints

import pytest
import torch
from PIL import Image
from torch import nn

from contrafact.cli import COMMANDS, main
from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts, Method
from contrafact.core.run import Run
from contrafact.core.withdrawal import Withdrawal
from contrafact.data.load import load_dataset
from contrafact.generators.analytic import Analytic
from contrafact.methods import CATALOG

ABSURD: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 10**20, "abc", "", b"x", object())
"""No number is any of these."""
DOUBTFUL: tuple[Any, ...] = (0, -1, 0.0, -1.0, True)
"""Some options may be these."""


def base(hint: Any) -> set[Any]:
    """Plain types an annotation is made of."""
    return {part for arg in get_args(hint) for part in base(arg)} if get_args(hint) else {hint}


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """Annotations of a method's settings, those of its groups in the group's place."""
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        inner = field.default
        found |= hints_of(type(inner)) if dataclasses.is_dataclass(inner) else {field.name: hints[field.name]}
    return found


def numbers_of(name: str) -> list[str]:
    """Fields of a method that are numbers."""
    return [setting for setting, hint in hints_of(CATALOG.get(name)).items() if base(hint) & {int, float}]


def accepts(method: Method, field: str, value: Any) -> bool:
    """Whether the method can be made so; any error but a ValueError is a fault."""
    try:
        method.changed(**{field: value})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", list(CATALOG))
def test_no_number_is_absurd(name):
    method = CATALOG.get(name).preset("quick")
    taken = [
        (field, value)
        for field in numbers_of(name)
        for value in ABSURD
        # A plain number without bounds, such as a magnitude or a threshold, may be large.
        if accepts(method, field, value) and not (value == 10**20 and field in ("threshold", "lowest", "highest"))
    ]
    assert not taken


@pytest.mark.parametrize("name", list(CATALOG))
def test_no_count_or_rate_is_zero_or_negative_unless_that_means_something(name):
    method = CATALOG.get(name).preset("quick")
    hints = hints_of(type(method))
    for field in numbers_of(name):
        assert not accepts(method, field, True), f"{field} takes a truth value for a number"
        negative = {value for value in DOUBTFUL[:4] if value < 0 and accepts(method, field, value)}
        assert not negative or field in ("threshold", "lowest", "highest", "augment_target")
        if field in ("steps", "batch_size", "learning_rate", "width", "temperature", "num_directions"):
            zero = accepts(method, field, 0 if int in base(hints[field]) else 0.0)
            assert zero == ((name, field) == ("latent_discovery", "num_directions"))  # there 0 is the latent's size


@pytest.mark.parametrize("name", list(CATALOG))
def test_texts_and_choices_take_no_others(name):
    method = CATALOG.get(name).preset("quick")
    for setting in set(hints_of(type(method))) - set(numbers_of(name)):
        for value in ("", " ", 10**20, math.nan, object()):
            assert not accepts(method, setting, value), f"{setting}={value!r} was accepted"


@pytest.mark.parametrize("name", list(CATALOG))
def test_a_refused_fit_leaves_no_folder_and_no_traceback(name, tmp_path, capsys):
    source = ("--generator", "shapes3d") if CATALOG.get(name).source == "generator" else ("--data", "shapes3d")
    field = numbers_of(name)[0]
    out = tmp_path / "runs" / "refused"
    command = ["fit", name, *source, "--out", str(out), f"--{field.replace('_', '-')}=-1"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("contrafact: ")
    assert "must " in said
    assert said.count("\n") == 1
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "-1"], "seed must be a whole number of at least 0, got -1; give another --seed"),
        (["--seed", str(2**70)], "seed must be at most"),
        (["--save-every", "nan"], "save_every must be a finite number, got nan"),
        (["--save-every", "-1"], "save_every must be at least 0, got -1.0"),
        (["--device", "meta"], "unknown device 'meta'"),
        (["--device", "xpu"], "unknown device 'xpu'"),
        (["--device", "cuda:9"], "cuda:9"),
        (["--preset", "quikc"], "unknown preset of random 'quikc'; did you mean 'quick'"),
        (["--num-directions", "100000000000000000000"], "num_directions must be at most 65,536"),
        (["--constraint", "orthonormal", "--num-directions", "99"], "99 orthogonal directions do not fit in"),
        (["--generator", "shpaes3d"], "shpaes3d"),
        (["--generator="], "the value of --generator is empty"),
        (["--labels", "10"], "give --generator NAME-OR-FILE, and no --labels"),
    ],
)
def test_a_refused_command_leaves_no_folder(options, message, tmp_path, capsys):
    command = ["fit", "random", "--generator", "shapes3d", "--out", str(tmp_path / "run")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_corrected_command_works_in_the_same_folder(tmp_path):
    command = ["fit", "random", "--generator", "shapes3d", "--out", str(tmp_path / "run")]
    assert main([*command, "--constraint", "orthonormal", "--num-directions", "99"]) == 2
    assert main([*command, "--constraint", "orthonormal", "--num-directions", "9"]) == 0


def test_an_empty_out_is_not_the_present_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for empty in (["--out", ""], ["--out", " "], ["--out="]):
        assert main(["fit", "random", "--generator", "shapes3d", *empty]) == 2
        assert "the value of --out is empty; give it a value, or leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@dataclasses.dataclass(frozen=True)
class Fails(Method):
    """Fails in training, after so many steps."""

    source = "images"
    yields = ("encoder",)

    error: str | None = None
    after: int = 0

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        for step in run.steps(self.after + 1, {"layer": nn.Linear(2, 2)}):
            if step == self.after and self.error is not None:
                raise getattr(builtins, self.error)("no")
            run.log(loss=torch.zeros(()))
        return Artefacts()


@pytest.fixture(scope="module")
def images() -> ImageDataset:
    return load_dataset("shapes3d", size=16, labels=40, factors=["shape"])


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError", "MemoryError", "FloatingPointError", "OSError"])
def test_a_run_that_learned_nothing_gives_its_folder_back(error, images, tmp_path):
    folder = tmp_path / "runs" / "first"
    with pytest.raises(getattr(builtins, error), match="no"):
        Fails(error).fit(images, Run(folder, progress=False, log_every=1))
    assert not folder.parent.exists()


def test_what_lay_in_the_folder_stays(images, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="no"):
        Fails("ValueError").fit(images, Run(tmp_path, progress=False, log_every=1))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_that_learned_something_keeps_it(images, tmp_path):
    with pytest.raises(ValueError, match="no"):
        Fails("ValueError", after=3).fit(images, Run(tmp_path / "run", progress=False, log_every=1))
    assert (tmp_path / "run" / "config.json").exists()
    with pytest.raises(ValueError, match="already holds a run"):
        Fails("ValueError").fit(images, Run(tmp_path / "run", progress=False))
    assert (tmp_path / "run" / "config.json").exists()


def test_a_run_that_was_there_before_stays(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no"), Withdrawal(Run(tmp_path, progress=False)):
        raise ValueError("no")
    assert (tmp_path / "config.json").exists()


def test_images_too_small_for_the_network_leave_no_folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4)).save(pictures / f"{number}.png")
    method = CATALOG.get("simclr").preset("quick", encoder="conv", steps=1)
    with pytest.raises(ValueError, match="at least 8 pixels"):
        method.fit(load_dataset(pictures, size=4), Run(tmp_path / "run", device="cpu", progress=False))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("sefa", {"num_directions": 99}, "99 orthogonal directions do not fit"),
        ("sefa", {"num_directions": 3, "first_layer": 7}, "0 <= first < last"),
        ("disco", {"navigator": "orthonormal", "num_directions": 64}, "do not fit in"),
        ("disco", {"pretrained_encoder": "nowhere.safetensors"}, "nowhere.safetensors"),
        ("latentclr", {"layer": "nosuch"}, "unknown layer 'nosuch'"),
        ("interfacegan", {"attributes": ("nosuch",)}, "unknown attribute 'nosuch'"),
        ("cd_gan", {"num_classes": 7}, "num_classes is 7"),
        ("moco", {"queue_length": 3}, "queue_length"),
        ("cmc", {"augmentations": "nosuch"}, "unknown augmentation 'nosuch'"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_before_the_folder_is_claimed(
    name, settings, message, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(Run, "start", lambda *_: pytest.fail("the folder was claimed"))
    cls, folder = CATALOG.get(name), tmp_path / "run"
    source = Analytic.tiny() if cls.source == "generator" else images
    with pytest.raises((ValueError, OSError), match=message):
        cls.preset("quick", **settings).fit(source, Run(folder, device="cpu", progress=False))
    assert not (tmp_path / "run").exists()


OPTIONS = [
    ("evaluate", ["RUN", "--num-train", "0"], "num_train must be a whole number of at least 1, got 0"),
    ("evaluate", ["RUN", "--num-test=-5"], "num_test must be"),
    ("evaluate", ["RUN", "--seed", str(2**40)], "seed must be at most 2,147,483,647"),
    ("evaluate", ["RUN", "--out", "scores.txt"], "results are written as .json or .csv, got 'scores.txt'"),
    ("evaluate", ["RUN", "--resamples", "9", "--continuous"], "--continuous, --resamples has no meaning for a run"),
    ("evaluate", ["--codes", "c.npy", "--control"], "--control has no meaning for --codes"),
    ("evaluate", ["RUN", "--device", "meta"], "unknown device 'meta'"),
    ("bench", ["disco-quick", "--seeds", "0"], "seeds must be a whole number of at least 1, got 0"),
    ("bench", ["disco-quick", "--source", "shaeps3d"], "shaeps3d"),
    ("compare", ["A", "B", "--samples", "0"], "samples must be"),
    ("compare", ["A", "B", "--span", "nan"], "span must be a finite number, got nan"),
    ("traverse", ["RUN", "--frames", "100000000000000000000"], "frames must be at most 1,024"),
    ("traverse", ["RUN", "--truncation", "2"], r"truncation must lie in [0, 1], got 2.0"),
    ("traverse", ["RUN", "--out", ""], "the value of --out is empty"),
    ("plane", ["RUN", "0", "1", "--steps", "0"], "steps must be"),
    ("plane", ["RUN", "0", "1", "--span=-1"], "span must be above 0, got -1.0"),
    ("cube", ["RUN", "--values", "0"], "values must be"),
    ("edit", ["RUN", "--direction", "0", "--latent=-1"], "each of latent must be a whole number of at least 0, got -1"),
    (
        "edit",
        ["RUN", "--direction", "0", "--latent", "1", "--by", "inf"],
        "each of by must be a finite number, got inf",
    ),
    ("invert", ["x.png", "--generator", "shapes3d", "--steps", "0"], "steps must be"),
    ("invert", ["x.png", "--generator", "shapes3d", "--train-encoder=-3"], "train_encoder must be"),
    ("study", ["make", "A", "--participants", "0"], "participants must be"),
    ("study", ["make", "A", "--magnitude", "nan"], "magnitude must be a finite number, got nan"),
    ("report", ["RUN", "--samples=-1"], "samples must be"),
    ("report", ["RUN", "--data="], "the value of --data is empty"),
    ("show", ["data", "shapes3d", "--size", "1000000000"], "size must be at most 16,384, got 1000000000"),
    ("show", ["data", "shapes3d", "--seed=-1"], "seed must be"),
    ("encode", ["RUN", "--num-images", "0"], "num_images must be"),
    ("export", ["RUN", "--out="], "the value of --out is empty"),
    ("name", ["RUN", "0", ""], "an argument is empty"),
    ("fit", ["random", "--data", "shapes3d"], "random learns from a generator"),
    (
        "fit",
        ["semi_supervised_vae", "--data", "shapes3d", "--labels", "nan"],
        "labels: nan is neither a number, a share, nor a file",
    ),
    (
        "fit",
        ["semi_supervised_vae", "--data", "shapes3d", "--labels", "5.5"],
        "labels must be a number of images from 0 to 480000",
    ),
    (
        "fit",
        ["semi_supervised_vae", "--data", "shapes3d", "--labels=-1"],
        "labels must be a number of images from 0 to 480000",
    ),
    ("fit", ["semi_supervised_vae", "--data", "shapes3d", "--labels", "9" * 20], "labels must be a number of images"),
    ("fit", ["semi_supervised_vae", "--data", "shapes3d", "--factors", ""], "the value of --factors is empty"),
    (
        "fit",
        ["semi_supervised_vae", "--data", "shapes3d", "--labels", "9", "--factors", ","],
        "unknown factor of shapes3d ''",
    ),
    ("fit", ["beta_vae", "--data", "shapes3d", "--size", "0"], "size must be"),
]


@pytest.mark.parametrize(("command", "arguments", "message"), OPTIONS, ids=lambda part: " ".join(part)[:60])
def test_every_command_refuses_such_options_before_it_reads_or_writes(
    command, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([command, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("contrafact: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("traverse runs --samples abc", "--samples: expected a whole number, got 'abc' (contrafact traverse --help)"),
        ("fit vae --learning-rate fast", "--learning-rate: expected a number, got 'fast' (contrafact fit vae --help)"),
        (
            "fit vae --precision half",
            "--precision: expected one of auto, float32, bfloat16, got 'half' (contrafact fit vae --help)",
        ),
        ("fit vae --channels two", "--channels: expected one of 1, 3, 4, got 'two' (contrafact fit vae --help)"),
        ("fit disco --max-shift=q", "--max-shift: expected a number, got 'q' (contrafact fit disco --help)"),
        ("edit run --by 1 x", "--by: expected a number, got 'x' (contrafact edit --help)"),
        ("edit run --layers 1 b", "--layers: expected a whole number, got 'b' (contrafact edit --help)"),
        ("fit vae --stepz 3", "unknown option --stepz; did you mean --steps? (contrafact fit vae --help)"),
        ("encode run images --frob", "unknown option --frob (contrafact encode --help)"),
        ("show pictures x", "expected one of data, generator, got 'pictures' (contrafact show --help)"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_plain_line(arguments, message, capsys):
    assert main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("contrafact: ")
    assert said.endswith(f"{message}\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [("report", "FOLDER"), ("show data", "NAME"), ("edit run --layers 1", "--layers"), ("report a 'b c'", "b c")],
)
def test_what_is_missing_or_too_much_is_named(arguments, option, capsys):
    assert main(shlex.split(arguments)) == 2
    said = capsys.readouterr().err
    assert option in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [*COMMANDS, "fit disco", "fit simclr", "fit cd_gan"])
def test_help_speaks_of_names_numbers_files_and_folders(command, capsys):
    with suppress(SystemExit):
        main([*command.split(), "--help"])
    assert not re.search(r"\b(STR|INT|FLOAT)\b", capsys.readouterr().out)
