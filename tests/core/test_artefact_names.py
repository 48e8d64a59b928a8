"""Names of classes in files: every class that can be written has one, and no name is ever forgotten."""

import importlib
import inspect
import pkgutil

import pytest

import contrafact
from contrafact.core.artefact import Artefact
from contrafact.core.artefact_names import PLACES, RENAMED, SPELLED, find_named, stable_name
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.generators import CATALOG

# Modules of the package that cannot be imported for a look.
SKIPPED = ("__main__",)


@pytest.fixture(scope="module")
def written_classes():
    """Concrete artefact classes of the package that say their arguments, so that files of them exist."""
    for found in pkgutil.walk_packages(contrafact.__path__, "contrafact."):
        if found.name.rpartition(".")[2] not in SKIPPED:
            importlib.import_module(found.name)
    classes, queue = [], [Artefact]
    while queue:
        below = queue.pop().__subclasses__()
        queue += below
        classes += [cls for cls in below if cls.__module__.startswith("contrafact.")]
    return [cls for cls in classes if not inspect.isabstract(cls) and cls.arguments is not Artefact.arguments]


def test_every_class_that_can_be_written_has_a_name(written_classes):
    assert len(written_classes) > 25
    for cls in written_classes:
        name = stable_name(cls)
        assert name is not None, f"{cls} needs a line in core/artefact_names.py"
        assert find_named(name) is cls
        assert name.islower()


def test_every_name_leads_to_a_class(written_classes):
    generators = [f"generator/{name}" for name in CATALOG.own_names() if name != "wrap"]
    for name in [*PLACES, *generators]:
        assert find_named(name) in written_classes
        assert stable_name(find_named(name)) == name


def test_old_names_lead_where_they_led(written_classes):
    for old, name in SPELLED.items():
        assert find_named(old) is find_named(name) in written_classes
    for old, name in RENAMED.items():
        assert find_named(old) is find_named(name)
        assert old not in PLACES


def test_the_old_names_are_all_there():
    """The classes of version 0; a line that goes breaks somebody's file."""
    assert len(SPELLED) == 27
    assert {old.partition(":")[2] for old in SPELLED} >= {
        *("GlobalDirections", "CurvedDirections", "ChosenDirections", "LatentDirections", "ConvEncoder", "LabEncoder"),
        *("LocatelloEncoder", "GaussianEncoder", "ResNetEncoder", "ProjectedEncoder", "FeatureEncoder", "ClassEncoder"),
        *("AssignedEncoder", "RegressedEncoder", "SharedEncoder", "AttributeClassifier", "InversionEncoder"),
        *("Analytic", "BigGAN", "ClassKnob", "DCGAN", "Glow", "LORD", "ProgGAN", "SNGAN", "StyleGAN2", "VAE"),
    }


def test_no_name_imports_what_it_says(monkeypatch, tmp_path):
    (tmp_path / "stranger.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("stranger:Class", "os:system", "generator/stranger", "generator/../stranger", "contrafact.cli:main"):
        assert find_named(name) is None
    with pytest.raises(SystemExit):  # the witness: what an importing reader would have done
        importlib.import_module("stranger")


@pytest.mark.parametrize("text", ["", "-1", "1.0", "²", "9" * 10, "v1", True, [1]])
def test_versions_that_are_none(text):
    with pytest.raises(ValueError, match=r"x states no version of its format but .*; make the file again"):
        check_format_version(text, "x")


def test_versions():
    assert check_format_version(None, "x") == 0
    assert check_format_version(str(FORMAT_VERSION), "x") == check_format_version(FORMAT_VERSION, "x") == FORMAT_VERSION
    with pytest.raises(ValueError, match=rf"files of version {FORMAT_VERSION + 1}; this one reads up to"):
        check_format_version(FORMAT_VERSION + 1, "x")
