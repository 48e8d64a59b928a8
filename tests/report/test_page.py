import base64
import dataclasses
import html.parser
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from contrafact.core.method import load_run
from contrafact.core.pictures import to_bytes
from contrafact.report import sections
from contrafact.report.figures import sweep_run
from contrafact.report.page import _detail, write_report
from contrafact.report.sections import listed
from contrafact.report.tables import Score
from tests.report.tiny_runs import Flowers, Rooms, score


class Reader(html.parser.HTMLParser):
    """Collects the sections' texts and every tag; raises when tags do not close in order."""

    VOID = frozenset({"meta", "img", "input", "link", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.sections, self.tags, self.section = [], {}, [], None
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "section":
            self.section = dict(attributes)["id"]
            self.sections[self.section] = ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        if self.section and self.open[-1] not in ("script", "style"):
            self.sections[self.section] += data + " "

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(finished, rooms, tmp_path_factory):
    return write_report(finished, rooms, samples=2, frames=5, out=tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def page(report):
    return Reader(report.read_text())


def test_page_has_every_section(page):
    assert list(page.sections) == [
        "explore", "strips", "variation", "scores", "matrices", "training", "settings", "python",
    ]  # fmt: skip
    assert [link["href"][1:] for link in page.all("a")] == list(page.sections)


def test_page_reaches_for_nothing_outside(report, page):
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("data:", "#")), attributes
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"@import|url\((?!#)", report.read_text())


def test_summary_says_what_came_out(page, report):
    lead = re.search(r'<p class="lead">(.*?)</p>', report.read_text()).group(1)
    assert "learned from the generator analytic &lt;sprite&gt;, which took 6 steps and " in lead
    assert "an encoder with 5 codes and 9 directions in its 9 latent dimensions." in lead
    assert "8 of the 9 directions drawn here visibly change the picture" in lead
    assert "MIG is 0.250, against 0.250 ± 0.177 for the control." in lead
    assert "DCI disentanglement is 0.500." in lead
    assert "procedural stand-in" in lead


def test_dead_directions_are_folded_away_at_the_end(page, report):
    text = report.read_text()
    shown, _, folded = text[text.index('<section id="strips"') : text.index('<section id="variation"')].partition(
        "<details>"
    )
    assert "1 that do nothing visible" in folded
    assert "dead &amp; &lt;b&gt;gone" in folded
    assert "dead &amp;" not in shown
    changes = [float(v) for v in re.findall(r"<span>change ([\d.]+)</span>", shown)]
    assert len(changes) == 8
    assert changes == sorted(changes, reverse=True)


def test_pictures_have_descriptions(page):
    images = page.all("img")
    assert len(images) == 9
    assert all("moved along" in image["alt"] for image in images)
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == 1 + 2 + 2  # variation, two matrices, two losses
    assert all(svg["aria-label"] for svg in charts)
    assert "dead & <b>gone" not in str(page.all("b"))


def test_explorer_sheets_hold_the_frames(finished, report):
    data = re.search(r'<script type="application/json" id="sweep">(.*?)</script>', report.read_text()).group(1)
    explored = json.loads(data)
    _, step = _detail(finished, 2, 5)
    swept = sweep_run(finished, 2, 4 * step + 1, 2.5)
    assert explored["directions"][0]["labels"][0] == "−2.5 σ"
    assert len(explored["directions"][0]["labels"]) == explored["steps"] == 4 * step + 1
    assert [d["name"] for d in explored["directions"]] == list(swept.names)
    for number in (0, 5):
        address = explored["directions"][number]["sheet"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))
        pixels = to_bytes(swept.frames[number])
        cells = picture.reshape(2, 16, -1, 16, 3).transpose(0, 2, 1, 3, 4).astype(int)
        assert np.abs(cells - pixels).mean() < 6


def test_variation_and_matrices_name_the_factors(page):
    for section in ("variation", "matrices"):
        assert "<middle>" in page.sections[section]
        assert "right" in page.sections[section]
    assert "procedural stand-in" in page.sections["variation"]


def test_what_a_predictor_judged_is_named_by_its_attributes(tmp_path):
    effects = Score("rescoring", "run", "as mine.py:see sees it", "", {"score": 1.0}, matrix=[[0.5, 0.0], [0.1, -0.9]])
    effects = dataclasses.replace(effects, attributes=("smile", "hat"))
    section = sections.matrices_section([effects], None, tmp_path)
    assert "What a step along each direction does to each attribute" in section.body
    assert "smile" in section.body
    assert "hat" in section.body
    assert "0.9" in section.body
    assert "factor 0" not in section.body


def test_scores_on_annotated_factors_alone_name_them(tmp_path):
    score = Score("zerodim", "run", "shapes3d", "", {"score": 1.0}, matrix=[[0.9, 0.1], [0.2, 0.8], [0.0, 0.3]])
    body = sections.matrices_section([score], None, tmp_path, ("scale", "wall hue")).body
    assert "scale" in body
    assert "wall hue" in body
    assert "factor 0" not in body
    assert "factor 1" in sections.matrices_section([score], None, tmp_path).body


def test_settings_say_how_to_repeat_it(page):
    text = page.sections["settings"]
    for word in ("steps", "6", "float32", "analytic <sprite>", "weights", "torch", "seed"):
        assert word in text
    assert "tiny run" in page.sections["python"]
    assert "run.directions(latent, index=0, magnitude=2.0)" in page.sections["python"]


OVERVIEWS = ("samples.png", "traversal.gif", "traversal.png")


def test_figures_are_written_beside_it(report):
    names = sorted(path.name for path in (report.parent / "figures").iterdir())
    strips = [f"direction_{d:02}.png" for d in range(9)]
    assert names == ["dci.png", *strips, "losses.png", "mig.png", *OVERVIEWS, "variation.png"]


def test_codes_are_explored_where_there_are_no_directions(finished_codes):
    path = write_report(finished_codes, samples=1, frames=3)
    assert path == finished_codes.folder / "report.html"
    page = Reader(path.read_text())
    assert "Pick a code" in page.sections["explore"]
    assert "Needs a dataset with known factors" in page.sections["variation"]
    assert "Not evaluated yet: `contrafact evaluate" in page.sections["scores"]
    assert "No score with a matrix yet" in page.sections["matrices"]
    assert "logged nothing" in page.sections["training"]
    assert "run.generator(latent)" in page.sections["python"]


def test_images_without_factors_are_named(finished_codes):
    page = Reader(write_report(finished_codes, Flowers(), samples=1, frames=3).read_text())
    assert "The factors of flowers are not known." in page.sections["variation"]


def test_encoder_only_runs_say_what_is_missing(finished_encoder, rooms):
    page = Reader(write_report(finished_encoder, rooms).read_text())
    assert "holds no generator, so there is nothing to draw: " in page.sections["explore"]
    assert "yields encoder." in page.sections["explore"]
    assert page.sections["variation"].count("Pairs of images") == 1
    assert "run.generator" not in page.sections["python"]


@pytest.fixture
def copied(finished_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished_folder, folder)
    return folder


def test_runs_on_a_module_of_ones_own(copied, finished):
    (copied / "generator.safetensors").unlink()
    result = json.loads((copied / "result.json").read_text())
    result["artefacts"].remove("generator")
    (copied / "result.json").write_text(json.dumps(result))
    without = Reader(write_report(load_run(copied), frames=3, samples=1).read_text())
    assert (
        "it ran on a generator of your own. Give it again and write the report again: " in without.sections["explore"]
    )
    assert "moved = run.directions(" in without.sections["python"]
    own = write_report(load_run(copied, finished.generator), frames=3, samples=1)
    assert "generator=my_generator" in Reader(own.read_text()).sections["python"]


def test_missing_control_is_said(copied):
    (copied / "scores.jsonl").write_text(score("mig", score=0.5))
    page = Reader(write_report(load_run(copied), frames=3, samples=1).read_text())
    assert "No control stands beside these scores yet: `contrafact evaluate" in page.sections["scores"]


@pytest.mark.parametrize(
    ("artefacts", "offered"),
    [
        (("encoder", "directions", "generator"), True),
        (("directions", "generator"), True),
        (("encoder", "generator"), True),
        (("encoder",), True),
        (("generator",), False),
    ],
)
def test_what_has_a_control_is_offered_one(artefacts, offered, copied):
    result = json.loads((copied / "result.json").read_text())
    (copied / "result.json").write_text(json.dumps(result | {"artefacts": artefacts}))
    (copied / "scores.jsonl").write_text(score("mig", score=0.5))
    page = Reader(write_report(load_run(copied), frames=3, samples=1).read_text())
    assert ("--control" in page.sections["scores"]) == offered
    (copied / "scores.jsonl").unlink()
    page = Reader(write_report(load_run(copied), frames=3, samples=1).read_text())
    assert ("scores the run and a control." if offered else "scores the run.") in page.sections["scores"]
    assert ("--control" in page.sections["scores"]) == offered


def test_damaged_scores_stop_before_anything_is_written(copied):
    (copied / "scores.jsonl").write_text("{\n")
    with pytest.raises(ValueError, match=r"scores.jsonl, line 1"):
        write_report(load_run(copied))
    assert not (copied / "report.html").exists()


def test_a_failed_report_leaves_the_old_one(copied):
    (copied / "report.html").write_text("old")

    class Large(Rooms):
        image_shape = (3, 32, 32)

        def batch(self, indices):
            return super().batch(indices).repeat(1, 1, 2, 2)

    with pytest.raises(
        ValueError, match=r"expects images of shape \(N, 3, 16, 16\), got .*load the dataset with size="
    ):
        write_report(load_run(copied), Large(), frames=3, samples=1)
    assert (copied / "report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 4}, "frames must be odd"),
        ({"frames": 0}, "frames must be a whole number of at least 1"),
        ({"samples": 0}, "samples must be a whole number of at least 1"),
        ({"span": -1.0}, "span is in standard deviations and must be positive"),
    ],
)
def test_arguments_are_checked(finished, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_report(finished, out=tmp_path / "report.html", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_quality_falls_until_the_page_is_small(monkeypatch):
    noise = [np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)]
    free = sections._data_addresses(noise)
    monkeypatch.setattr(sections, "_MAX_BYTES", len(free[0]) // 3)
    assert len(sections._data_addresses(noise)[0]) < len(free[0]) / 2


def test_large_generators_get_smaller_and_fewer_frames(finished, monkeypatch):
    assert _detail(finished, 4, 9) == (128, 2)  # 16 pixels: everything fits
    monkeypatch.setattr(finished.generator, "image_shape", (3, 1024, 512))
    # 9 directions, 17 steps, side 128 by 64: a sample costs 1.25 million pixels
    assert [_detail(finished, samples, 9) for samples in (28, 29, 100, 1000)] == [
        (128, 2), (96, 2), (64, 2), (64, 1),
    ]  # fmt: skip


def test_listed():
    assert listed([]) == "nothing"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
