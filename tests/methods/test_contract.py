"""What every method promises, checked for every file in ``methods/`` and each of its presets.

A method is made tiny by the names of its fields (steps, batch_size, width, num_...); ``presets["tiny"]`` wins.
"""

import ast
import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch

from contrafact.cli import main
from contrafact.cli.fit import RunOptions
from contrafact.core.artefact import fingerprint
from contrafact.core.method import Method, load_run
from contrafact.core.run import Run
from contrafact.core.settings import Group, flat_fields
from contrafact.data.load import load_dataset
from contrafact.generators.analytic import Analytic
from contrafact.methods import CATALOG

CASES = [(name, preset) for name in CATALOG for preset in (None, *CATALOG.get(name).presets) if preset != "tiny"]
SEED = 3


def tiny(name: str, preset: str | None) -> Method:
    """The method with everything that costs time small."""
    cls = CATALOG.get(name)
    method = cls() if preset is None else cls.preset(preset)
    small = {}
    for setting, value in method.hyperparameters().items():
        if setting == "steps" or setting.endswith("_steps"):
            small[setting] = 4
        elif setting == "batch_size" or setting.startswith(("num_", "directions_per", "samples_per")):
            small[setting] = min(value, 4)
        elif setting == "width" or setting.endswith("_width"):
            small[setting] = 0.1
    return method.changed(**(small | dict(cls.presets.get("tiny", {}))))


@pytest.fixture(scope="session")
def sources():
    return {"generator": Analytic.tiny(), "images": load_dataset("shapes3d", size=16, labels=40, factors=["shape"])}


def fit(method, sources, folder, seed=SEED, precision="float32"):
    run = Run(folder, seed=seed, device="cpu", precision=precision, progress=False, log_every=2)
    return method.fit(sources[method.source], run)


@pytest.mark.parametrize(("name", "preset"), CASES)
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_it_fits_tiny_input_and_its_artefacts_survive(name, preset, sources, tmp_path):
    method = tiny(name, preset)
    learned = fit(method, sources, tmp_path / "first")
    run = load_run(tmp_path / "first")
    assert all(math.isfinite(value) for line in run.log for value in line.values())
    for artefact in method.yields:
        module, read = getattr(learned, artefact), getattr(run, artefact)
        assert fingerprint(read) == fingerprint(module)
        assert all(torch.isfinite(p).all() for p in module.state_dict().values() if p.is_floating_point())
    again = fit(method, sources, tmp_path / "again")
    for artefact in method.yields:
        assert fingerprint(getattr(again, artefact)) == fingerprint(getattr(learned, artefact))


@pytest.mark.parametrize("name", list(CATALOG))
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_it_fits_in_bfloat16_and_its_artefacts_are_float32(name, sources, tmp_path):
    """Any processor can compute so, if slowly; ``auto`` does where the hardware is made for it."""
    method = tiny(name, None)
    learned = fit(method, sources, tmp_path, precision="bfloat16")
    for artefact in method.yields:
        floating = [p for p in getattr(learned, artefact).state_dict().values() if p.is_floating_point()]
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in floating)


@pytest.mark.parametrize("name", list(CATALOG))
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_what_it_yields_works_together(name, sources, tmp_path):
    method = tiny(name, None)
    learned = fit(method, sources, tmp_path)
    shape = sources[method.source].image_shape
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    if "encoder" in method.yields:
        assert learned.encoder(images).shape == (2, learned.encoder.code_dim)
    if "generator" in method.yields:
        latent = learned.generator.sample(2, torch.Generator().manual_seed(0))
        assert learned.generator(latent).shape == (2, *shape)
        if "directions" in method.yields:
            moved = learned.directions(latent, 0, 1.0)
            assert learned.generator(moved).shape == (2, *shape)
            torch.testing.assert_close(learned.directions(latent, 0, 0.0), latent)


@pytest.mark.parametrize("name", list(CATALOG))
@pytest.mark.filterwarnings("ignore:DisCo has collapsed", "ignore:mode collapse")
def test_another_seed_gives_something_else(name, sources, tmp_path):
    method = tiny(name, None)
    first, other = fit(method, sources, tmp_path / "a"), fit(method, sources, tmp_path / "b", SEED + 1)
    trained = [artefact for artefact in method.yields if getattr(first, artefact) is not sources["generator"]]
    for artefact in trained:
        same = fingerprint(getattr(first, artefact)) == fingerprint(getattr(other, artefact))
        assert same != method.draws


@pytest.mark.parametrize("name", list(CATALOG))
def test_its_fields_are_documented_options(name):
    cls = CATALOG.get(name)
    assert issubclass(cls, Method)
    assert cls.__dataclass_params__.frozen
    assert cls.yields
    assert cls.source in ("generator", "images")
    assert "quick" in cls.presets, "a laptop's settings are asked of every method"
    fields = set(flat_fields(cls))  # it refuses a name that stands in two groups
    assert not fields & {field.name for field in dataclasses.fields(cls) if isinstance(field.default, Group)}
    assert not fields & {field.name for field in dataclasses.fields(RunOptions)}
    for preset in cls.presets.values():
        assert set(preset) <= fields


@pytest.mark.parametrize("name", [name for name in CATALOG if "steps" in CATALOG.get(name).__dataclass_fields__])
def test_no_steps_are_refused(name):
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0; give another --steps"):
        tiny(name, None).changed(steps=0)


@pytest.mark.parametrize("name", list(CATALOG))
def test_help_shows_every_field(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for setting in flat_fields(CATALOG.get(name)):
        assert f"--{setting.replace('_', '-')} " in shown.replace(",", " ")
    assert "None" not in shown


@pytest.mark.parametrize("name", list(CATALOG))
def test_every_field_has_a_text_below_it(name):
    """That text is the field's ``--help``."""
    cls = CATALOG.get(name)
    tree = ast.parse(Path(CATALOG.module(name).__file__).read_text(encoding="utf-8"))
    groups = {type(field.default).__name__ for field in dataclasses.fields(cls) if isinstance(field.default, Group)}
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name in {cls.__name__, *groups}):
            continue
        assert ast.get_docstring(node), f"{node.name} has no docstring"
        for field, following in itertools.pairwise(node.body):
            if not (isinstance(field, ast.AnnAssign) and field.value) or "ClassVar" in ast.unparse(field.annotation):
                continue
            if ast.unparse(field.annotation) in groups:  # its docstring is its class's
                continue
            assert isinstance(following, ast.Expr), f"{field.target.id} has no docstring"
            assert isinstance(following.value.value, str)


@pytest.mark.parametrize("name", list(CATALOG))
def test_its_file_says_where_it_comes_from_and_stays_short(name):
    module = CATALOG.module(name)
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) <= 400
    assert len(CATALOG.summary(name)) <= 120
    assert len(module.__doc__.splitlines()) > 2
