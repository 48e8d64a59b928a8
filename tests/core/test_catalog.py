import sys

import pytest

from contrafact.core import catalog as module
from contrafact.core.catalog import Catalog, slug, unknown_name_message


@pytest.fixture
def things(tmp_path, monkeypatch):
    """A catalogue of its own, in a package folder of its own."""
    folder = tmp_path / "contrafact" / "things"
    folder.mkdir(parents=True)
    (folder / "cd_gan.py").write_text('"""CD-GAN: a thing.\n\nMore.\n"""\n\nclass CDGAN:\n    pass\n')
    (folder / "borrowed.py").write_text('"""Borrowed."""\nfrom json import JSONDecoder as Borrowed\n')
    (folder / "_hidden.py").write_text("raise SystemExit('imported')\n")
    (folder / "load.py").write_text("raise SystemExit('imported')\n")
    (folder / "explosive.py").write_text('"""Goes off when imported."""\nraise SystemExit("imported")\n')
    monkeypatch.setattr(module, "PACKAGE_ROOT", tmp_path / "contrafact")
    import contrafact

    monkeypatch.setattr(contrafact, "__path__", [*contrafact.__path__, str(tmp_path / "contrafact")])
    yield Catalog("things", "thing", helpers={"load"})
    for name in [name for name in sys.modules if name.startswith("contrafact.things")]:
        del sys.modules[name]


def test_listing_imports_nothing(things):
    assert list(things) == ["borrowed", "cd_gan", "explosive"]
    assert things.summary("explosive") == "Goes off when imported."
    assert things.summary("CD-GAN") == "CD-GAN: a thing."


@pytest.mark.parametrize("name", ["cd_gan", "cd-gan", "CDGAN", "CD_GAN"])
def test_every_spelling_finds_the_item(things, name):
    assert things.get(name).__name__ == "CDGAN"
    assert name in things


def test_an_unknown_name_suggests_the_nearest(things):
    with pytest.raises(
        ValueError, match=r"unknown thing 'cdgann'; did you mean 'cd_gan'\? known: borrowed, cd_gan, expl"
    ):
        things.get("cdgann")
    assert "cdgann" not in things
    assert 3 not in things


@pytest.mark.parametrize("name", ["_hidden", "load"])
def test_helpers_are_no_entries(things, name):
    with pytest.raises(ValueError, match="unknown thing"):
        things.get(name)


def test_a_file_without_its_item_is_its_authors_mistake(things):
    with pytest.raises(TypeError, match="borrowed must define the thing it is named after"):
        things.get("borrowed")


def test_the_message_without_a_near_name():
    assert unknown_name_message("metric", "zzz", ["mig", "dci"]) == "unknown metric 'zzz'; known: dci, mig"


@pytest.mark.parametrize(
    ("name", "expected"), [("T = 0.95", "t-0-95"), ("β-TCVAE", "β-tcvae"), ("a_b", "a-b"), ("--x--", "x")]
)
def test_slugs_are_safe_file_names(name, expected):
    assert slug(name) == expected


def test_a_package_gives_the_item_not_the_module():
    import contrafact.metrics
    import contrafact.metrics.mig

    assert callable(contrafact.metrics.mig)
    assert contrafact.metrics.MIG is contrafact.metrics.mig
    assert "mig" in dir(contrafact.metrics)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = contrafact.metrics.nothing
