"""Fonts: what is drawn, what is left out, against the fonts' own tables and a loop over pixels."""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from contrafact.data import CATALOG
from contrafact.data._typefaces import _named, faces_of, lacking
from contrafact.data.fonts import EM_PIXELS, SHIFTS, Fonts
from contrafact.data.load import load_dataset

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
MONO = [FOLDER / f"DejaVuSansMono{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")]


@pytest.fixture(scope="module")
def fonts():
    with pytest.warns(UserWarning, match=r"fonts: of .* are left out: .*; and \d+ more \(left_out has them all\)"):
        return Fonts(FOLDER)


@pytest.fixture
def folder(tmp_path):
    """The four faces of one family and one face of another, in two subfolders."""
    place = tmp_path / "fonts"
    for part, files in (("mono", MONO), ("cm", [FOLDER / "cmr10.ttf"])):
        (place / part).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, place / part / file.name)
    (place / "LICENSE").write_text("free")
    return place


def row(fonts, **values):
    """Factors of one image: 0, but for those given."""
    names = [name.replace(" ", "_") for name in fonts.factor_names]
    return np.array([[values.get(name, 0) for name in names]])


def test_the_default_is_a_grid_of_whole_families_that_every_installation_has():
    fonts = load_dataset("fonts")
    assert {"DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif"} <= set(fonts.families)
    assert fonts.factor_names == ("character", "family", "weight", "slant", "size", "position x", "position y")
    assert fonts.factor_sizes == (26, len(fonts.families), 2, 2, 6, 5, 5)
    assert (fonts.image_shape, fonts.source, fonts.place()) == ((1, 64, 64), "matplotlib's fonts", None)
    assert fonts.left_out["cmr10"] == "has no italic or bold or bold italic face"


def test_a_character_is_what_pillow_draws_of_its_face(folder):
    """Drawn four times as large in another of Pillow's ways, cut to its ink and averaged: equal, but for rounding."""
    fonts = Fonts(folder / "mono", characters="QWI")
    for character, bold, italic, size, x, y in (("Q", 0, 0, 5, 2, 2), ("W", 1, 1, 5, 0, 4), ("I", 0, 1, 0, 4, 1)):
        file = folder / "mono" / f"DejaVuSansMono{('', '-Oblique', '-Bold', '-BoldOblique')[2 * bold + italic]}.ttf"
        font = ImageFont.truetype(str(file), 4 * EM_PIXELS[size], layout_engine=ImageFont.Layout.BASIC)
        large = Image.new("L", (400, 400))
        ImageDraw.Draw(large).text((100, 100), character, 255, font)
        ink = np.asarray(large.crop(large.getbbox()), dtype=float)
        # The box's middle lies where the image's does, but for the shift; a box of odd extent leans to the upper left.
        top, left = (4 * (32 + SHIFTS[k]) - (n + 1) // 2 for k, n in ((y, ink.shape[0]), (x, ink.shape[1])))
        canvas = np.zeros((256, 256))
        canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
        expected = canvas.reshape(64, 4, 64, 4).mean(axis=(1, 3)) / 255
        factors = row(
            fonts, character="QWI".index(character), weight=bold, slant=italic, size=size, position_x=x, position_y=y
        )
        assert np.abs(fonts.images(factors)[0, 0].numpy() - expected).max() <= 0.5 / 255 + 1e-6


def test_each_factor_changes_what_it_is_called(fonts):
    middle = {"character": 4, "size": 3, "position_x": 2, "position_y": 2}

    def ink(**changes):
        image = fonts.images(row(fonts, **{**middle, **changes}))[0, 0]
        rows, columns = (torch.nonzero(image.amax(dim=axis)).squeeze(1) for axis in (1, 0))
        return image, rows, columns

    plain, rows, columns = ink()
    assert torch.equal(ink(position_x=3)[2], columns + 4)
    assert torch.equal(ink(position_y=0)[1], rows - 8)
    assert len(ink(size=5)[1]) == pytest.approx(len(rows) * EM_PIXELS[5] / EM_PIXELS[3], abs=1.5)
    assert ink(weight=1)[0].sum() > 1.2 * plain.sum()
    assert len(ink(slant=1)[2]) > len(columns)
    assert not torch.equal(ink(family=1)[0], plain)
    assert len(torch.unique(fonts.images(np.concatenate([row(fonts, character=c) for c in range(26)])), dim=0)) == 26


def test_no_picture_is_cut_off(fonts):
    """At the largest size, shifted into a corner, M, Q and W of every face have an edge of black."""
    corners = [
        row(fonts, character=c, family=f, weight=w, slant=s, size=5, position_x=p, position_y=p)
        for c in (12, 16, 22) for f in range(len(fonts.families)) for w in (0, 1) for s in (0, 1) for p in (0, 4)
    ]  # fmt: skip
    images = fonts.images(np.concatenate(corners))
    assert (images.sum(dim=(1, 2, 3)) > 0).all()
    assert images[:, :, [0, -1]].sum() == images[..., [0, -1]].sum() == 0


def test_smaller_images_are_area_averages(folder):
    large, small = (Fonts(folder / "mono", size=size, characters="AZ") for size in (64, 32))
    index = [0, 77, len(large) - 1]
    torch.testing.assert_close(small.batch(index), torch.nn.functional.avg_pool2d(large.batch(index), 2))


def test_characters_that_a_face_lacks_are_found_as_in_its_table():
    """FreeType's table of characters says which are there; DejaVu Sans Mono lacks some of each alphabet."""
    for file in (MONO[0], FOLDER / "STIXGeneral.ttf", FOLDER / "cmr10.ttf", FOLDER / "STIXSizOneSymReg.ttf"):
        table = FT2Font(str(file)).get_charmap()
        (face,) = faces_of(file)
        characters = "AZaz09Äß!~¢ЖяΩאبก中あ€→♞"
        expected = "".join(c for c in characters if ord(c) not in table)
        assert lacking(face, characters) == expected
    (face,) = faces_of(FOLDER / "LastResortHE-Regular.ttf")
    assert lacking(face, "ABC") == "ABC"


def test_a_family_that_cannot_be_drawn_is_left_out_by_name(folder):
    with pytest.warns(UserWarning, match=r"fonts: of .* are left out: cmr10 has no italic or bold or bold italic face"):
        fonts = Fonts(folder)
    assert fonts.families == ("DejaVu Sans Mono",)
    with pytest.warns(UserWarning, match=r"are left out: cmr10 lacks '☺' in its regular face"):
        assert Fonts(folder, variant="families", characters="A☺").families == ("DejaVu Sans Mono",)
    with pytest.raises(ValueError, match=r"no family in .* has every character .*Mono lacks '中' in .*; name other"):
        Fonts(folder, characters="A中")
    with pytest.raises(ValueError, match="cmex10 draws 'ADEGIK' and 5 more larger than the image in its regular face"):
        Fonts(FOLDER / "cmex10.ttf", variant="families")


def test_a_damaged_file_is_left_out_by_name(folder):
    (folder / "broken.ttf").write_bytes(MONO[0].read_bytes()[:20_000])
    (folder / "cm" / "text.otf").write_text("no font")
    with pytest.warns(UserWarning, match=r"out: broken\.ttf cannot be read as a font \(.*\); cm/text\.otf cannot be"):
        fonts = Fonts(folder)
    assert fonts.families == ("DejaVu Sans Mono",)


def test_where_each_family_is_enough_weight_and_slant_are_no_factors(folder):
    fonts = Fonts(folder, variant="families", characters="FG")
    assert fonts.families == ("DejaVu Sans Mono", "cmr10")
    assert fonts.factor_names == ("character", "family", "size", "position x", "position y")
    styled = Fonts(folder / "mono", characters="FG")
    here, there = row(fonts, character=1, size=2), row(styled, character=1, size=2)
    assert torch.equal(fonts.images(here), styled.images(there))


def test_the_first_file_of_a_family_that_has_the_characters_is_taken(folder, monkeypatch):
    """As packages have it that ship each alphabet in a file of its own."""
    shutil.copyfile(folder / "mono" / "DejaVuSansMono.ttf", folder / "mono" / "Cyrillic.ttf")
    assert Fonts(folder / "mono")._faces[0].file.name == "Cyrillic.ttf"
    lacks_in_one = lambda face, characters: characters if face.file.name == "Cyrillic.ttf" else ""  # noqa: E731
    monkeypatch.setattr(CATALOG.module("fonts"), "lacking", lacks_in_one)
    assert Fonts(folder / "mono")._faces[0].file.name == "DejaVuSansMono.ttf"


def test_the_fingerprint_is_that_of_the_files_used(folder):
    before = Fonts(folder / "mono").fingerprint()
    assert Fonts(folder / "mono").fingerprint() == before
    shutil.copytree(folder / "mono", folder / "moved")
    assert Fonts(folder / "moved").fingerprint() == before
    assert Fonts(folder / "mono", characters="AB").fingerprint() != before
    file = folder / "moved" / MONO[3].name
    file.write_bytes(file.read_bytes() + b"\0")
    assert Fonts(folder / "moved").fingerprint() != before


def test_folders_and_files_of_fonts_are_recognised_and_folders_of_pictures_are_not_them(folder, monkeypatch):
    fonts = load_dataset(folder / "mono", variant="styles")
    assert (fonts.name, fonts.families) == ("fonts:styles", ("DejaVu Sans Mono",))
    alone = load_dataset(str(folder / "cm" / "cmr10.ttf"), variant="families")
    assert alone.families == ("cmr10",)
    Image.new("RGB", (64, 64)).save(folder / "cm" / "a.png")
    assert load_dataset(folder).name == "images"
    monkeypatch.setenv("CONTRAFACT_DATA", str(folder.parent))
    with pytest.warns(UserWarning, match="are left out"):
        assert load_dataset("fonts").source == str(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "bold"}, "unknown variant of fonts 'bold'; .*known: families, styles"),
        ({"characters": ""}, "characters must be some, each once; got ''"),
        ({"characters": "ABA"}, "characters must be some, each once; got 'ABA'"),
        ({"path": "nowhere"}, "fonts: nowhere does not exist; expected a font file or a folder of them"),
        ({"path": "."}, r"fonts: \. and its subfolders hold no \.ttf, "),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        Fonts(**arguments)


@pytest.mark.parametrize(
    ("names", "family", "bold", "slanted"),
    [
        (("DejaVu Sans", "Book"), "DejaVu Sans", False, False),
        (("DejaVu Sans", "Condensed Bold Oblique"), "DejaVu Sans Condensed", True, True),
        (("DejaVu Sans Display", "Display"), "DejaVu Sans Display", False, False),
        (("Inter", "BoldItalic"), "Inter", True, True),
        (("Black Ops One", "Regular"), "Black Ops One", False, False),
        ((None, None), "file", False, False),
        ((" ", ""), "file", False, False),
    ],
)
def test_a_face_is_what_it_is_called(names, family, bold, slanted):
    face = _named(Path("file.ttf"), 0, *names)
    assert (face.family, face.bold, face.slanted) == (family, bold, slanted)


@pytest.mark.parametrize(
    "style", ["Light", "ExtraLight Italic", "Semi Bold", "Demi-Bold", "ExtraBold", "Black", "Medium"]
)
def test_other_weights_are_none_of_the_four_faces(style):
    assert _named(Path("file.ttf"), 0, "Inter", style) is None
    assert _named(Path("file.ttf"), 0, f"Inter {style.removesuffix(' Italic').replace('-', ' ')}", "Italic") is None
