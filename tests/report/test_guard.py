"""One figure that cannot be drawn does not cost the others."""

import html
import re
import shlex
import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.cli import main
from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.data.images import Images
from contrafact.report import charts, classes, page
from contrafact.report.guard import ReportWarning, attempt, drawn
from contrafact.report.page import write_report
from tests.report.tiny_runs import Rooms, TinyCodes


@pytest.fixture
def copied(finished_folder, tmp_path):
    return shutil.copytree(finished_folder, tmp_path / "my run")


def fails(error):
    def draw(*arguments, **options):
        raise error

    return draw


def section(text, name):
    return re.search(rf'<section id="{name}">(.*?)</section>', text, re.DOTALL).group(1)


def test_a_note_stands_where_nothing_could_be_drawn():
    assert drawn("It", lambda: "<b>fine</b>") == "<b>fine</b>"
    with pytest.warns(ReportWarning, match=r"report: It could not be drawn: ZeroDivisionError: a < b"):
        note = drawn("It", fails(ZeroDivisionError("a < b")))
    assert note == '<p class="missing">It could not be drawn: ZeroDivisionError: a &lt; b</p>'
    with pytest.warns(ReportWarning, match="could not be drawn: no reason given"):
        assert attempt("It", fails(ValueError()))[0] is None
    with pytest.warns(ReportWarning, match=r"/home/ann/my photos/a.png and ~/b/c.png are cut short; 1/2"):
        note = drawn("It", fails(ValueError("/home/ann/my photos/a.png and ~/b/c.png are cut short; 1/2")))
    assert "It could not be drawn: my photos/a.png and c.png are cut short; 1/2<" in note
    with pytest.raises(KeyboardInterrupt):
        drawn("It", fails(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("module", "function", "anchor", "heading"),
    [
        (charts, "variation", "variation", "Variation"),
        (charts, "loss_curves", "training", "Training"),
        (page, "classes_section", "classes", "Classes"),
        (page, "sweep_run", "explore", "The traversals"),
        (page, "write_sweep", "explore", "Explore"),
        (page, "translation_section", "translation", "Translation"),
        (page, "parts_section", "parts", "Sub-embeddings"),
    ],
)
def test_every_section_may_fail_alone(finished, rooms, tmp_path, monkeypatch, module, function, anchor, heading):
    monkeypatch.setattr(module, function, fails(RuntimeError("no <such> figure")))
    reason = f"{heading} could not be drawn: RuntimeError: no <such> figure"
    with pytest.warns(ReportWarning, match=re.escape(reason)) as caught:
        path = write_report(finished, rooms, samples=1, frames=3, out=tmp_path / "report.html")
    assert len([w for w in caught if w.category is ReportWarning]) == 1
    text = path.read_text()
    assert html.escape(reason) in section(text, anchor)
    assert 'class="scores"' in section(text, "scores")
    assert len(re.findall("could not be drawn", text)) == 1


def test_one_matrix_may_fail_alone(finished, tmp_path, monkeypatch):
    usual = charts.heat_map

    def one_fails(matrix_KJ, rows, *, title="", **options):
        if "DCI" in title:
            raise IndexError("no such row")
        return usual(matrix_KJ, rows, title=title, **options)

    monkeypatch.setattr(charts, "heat_map", one_fails)
    with pytest.warns(ReportWarning, match="The matrix of dci could not be drawn: IndexError: no such row"):
        text = write_report(finished, samples=1, frames=3, out=tmp_path / "report.html").read_text()
    assert "matrix-0" in section(text, "matrices")
    assert "The matrix of dci could not be drawn" in section(text, "matrices")


def test_the_command_says_it_in_one_line_and_succeeds(copied, monkeypatch, capsys):
    monkeypatch.setattr(page, "sweep_run", fails(RuntimeError("no memory")))
    # As Python itself shows warnings; the test runner keeps them to itself.
    monkeypatch.setattr(warnings, "showwarning", lambda *given: sys.stderr.write(warnings.formatwarning(*given[:4])))
    assert main(["report", str(copied)]) == 0
    out, err = capsys.readouterr()
    assert err == "contrafact: report: The traversals could not be drawn: RuntimeError: no memory\n"
    assert out.startswith(f"wrote {copied / 'report.html'}")


def test_hints_name_folders_so_that_a_shell_reads_them(copied):
    (copied / "scores.jsonl").unlink()
    text = html.unescape(section(write_report(load_run(copied), samples=1, frames=3).read_text(), "scores"))
    command = shlex.split(re.search("`(.*?)`", text).group(1))
    assert command == ["contrafact", "evaluate", copied.name, "--control"]


class SeeThrough(Rooms):
    image_shape = (4, 16, 16)

    def batch(self, indices):
        colours = super().batch(indices)
        return torch.cat([colours, colours[:, :1]], dim=1)


def test_images_with_opacity_are_drawn(tmp_path, recwarn):
    TinyCodes().fit(SeeThrough(), Run(tmp_path / "run", device="cpu", precision="float32", progress=False))
    text = write_report(load_run(tmp_path / "run"), SeeThrough(), samples=1, frames=3).read_text()
    assert "could not be drawn" not in text
    assert "data:image/webp" in section(text, "strips")
    assert not [w for w in recwarn if w.category is ReportWarning]


def test_images_that_are_no_pictures_leave_a_report(tmp_path):
    class Flow(Rooms):
        image_shape = (2, 16, 16)

        def batch(self, indices):
            return super().batch(indices)[:, :2]

    TinyCodes().fit(Flow(), Run(tmp_path / "run", device="cpu", precision="float32", progress=False))
    with pytest.warns(ReportWarning, match=r"could not be drawn: a picture needs images \(..., 1, 3 or 4, H, W\)"):
        text = write_report(load_run(tmp_path / "run"), Flow(), samples=1, frames=3).read_text()
    assert "<svg" in section(text, "variation")
    assert "<svg" not in section(text, "explore")


def test_pictures_damaged_since_leave_a_report(finished_encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    for name in ("cats", "dogs"):
        (tmp_path / "p" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), "red").save(tmp_path / "p" / name / "a.png")
    (tmp_path / "p" / "dogs" / "a.png").write_bytes(b"")
    monkeypatch.setattr(page, "classes_section", lambda run, images, *rest: images.batch([0]))
    with pytest.warns(
        ReportWarning, match="Classes could not be drawn: images: 1 of 2 pictures .* dogs/a.png is an em"
    ):
        write_report(finished_encoder, images=Images(tmp_path / "p", size=16), out=tmp_path / "report.html")


def test_names_that_are_no_text_are_escaped(finished_codes, tmp_path):
    run = load_run(finished_codes.folder)
    run.config["source"]["name"] = "caf\udce9"
    assert "caf\\udce9" in write_report(run, samples=1, frames=3, out=tmp_path / "report.html").read_text()


def test_two_classes_are_mapped_by_their_one_code(tmp_path, monkeypatch):
    """Few labels over two class folders give class codes of one dimension, of which there is no t-SNE."""
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(256, size=(32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    assert main([
        "fit", "zerodim", "--data", str(tmp_path / "photos"), "--size", "32", "--labels", "6", "--preset", "quick",
        "--steps", "1", "--batch-size", "4", "--out", str(tmp_path / "run"),
    ]) == 0  # fmt: skip
    run = load_run(tmp_path / "run")
    section = classes.classes_section(run, Images(tmp_path / "photos", size=32), 0, tmp_path / "figures")
    assert "could not be drawn" not in section.body
    assert (tmp_path / "figures" / "class_codes.png").stat().st_size > 1000


def test_a_single_code_is_placed_by_its_value():
    codes = np.random.default_rng(0).normal(size=(9, 1))
    placed = classes.code_map(codes, seed=0)
    assert placed.shape == (9, 2)
    np.testing.assert_array_equal(placed[:, 0], codes[:, 0])
    with pytest.raises(ValueError, match="a map needs at least 4 images, got 3"):
        classes.code_map(codes[:3], seed=0)
