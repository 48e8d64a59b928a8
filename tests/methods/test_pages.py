"""Each method's page begins with when to use it and has a picture that is there, small, and described."""

import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

from contrafact.methods import CATALOG

PAGES = Path(__file__).parents[2] / "docs" / "methods"
PICTURES = PAGES / "pictures"
MOST_BYTES, MOST_IN_ALL = 100_000, 3_000_000


def shown(name):
    """Description and file of every picture of a page."""
    found = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", (PAGES / f"{name}.md").read_text())
    return [(said, (PAGES / address).resolve()) for said, address in found]


def drawn_here():
    spec = importlib.util.spec_from_file_location("pictures", PAGES / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.PICTURES)


@pytest.mark.parametrize("name", list(CATALOG))
def test_a_page_says_when_to_use_the_method_and_shows_what_it_does(name):
    assert (PAGES / f"{name}.md").read_text().startswith("**Use it when**")
    pictures = shown(name)
    assert pictures, f"docs/methods/{name}.md has no picture; docs/methods/pictures.py draws one for most methods"
    for said, file in pictures:
        assert len(said) > 20, f"{file.name} on the page of {name} needs a description for who cannot see it"
        with Image.open(file) as picture:
            assert min(picture.size) >= 100


def test_pictures_are_small():
    sizes = {file.name: file.stat().st_size for file in PICTURES.iterdir()}
    assert max(sizes.values()) <= MOST_BYTES, sizes
    assert sum(sizes.values()) <= MOST_IN_ALL


def test_what_the_script_draws_is_shown_on_the_methods_page():
    for name in drawn_here():
        assert PICTURES / f"{name}.webp" in [file for _, file in shown(name)], name
    assert {file.stem for file in PICTURES.iterdir()} >= drawn_here()
