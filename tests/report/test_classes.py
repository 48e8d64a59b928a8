"""The pictures of a class knob: rows are classes, the knob turns and nothing else, and the report holds them."""

import numpy as np
import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.generators.class_knob import ClassKnob
from contrafact.generators.dcgan import DCGAN
from contrafact.methods.cd_gan import CDGAN
from contrafact.methods.sup_con import SupCon
from contrafact.report import classes
from contrafact.report.charts import scatter
from contrafact.report.figures import latent_axes
from contrafact.report.page import write_report
from tests.methods.labelled import Stripes


@pytest.fixture(scope="module")
def knob():
    torch.manual_seed(0)
    return ClassKnob.tiny().freeze()


class Spy(ClassKnob):
    """Its images are its latents."""

    def forward(self, latent):
        return latent[:, None, None, :].expand(-1, 3, 7, -1)


def test_rows_are_classes():
    spy = Spy("dcgan", {"image_shape": (3, 16, 16), "width": 0.1}, 3, 1, 3)
    rows = classes.class_rows(spy, columns=5, seed=0)
    assert rows.shape[:2] == (3, 5)
    for k in range(3):
        assert torch.equal(rows[k, :, 0, 0, 4:], torch.eye(3)[k].expand(5, -1))
    assert len(torch.unique(rows[:, :, 0, 0, 0])) == 15


def test_the_knob_turns_and_the_rest_stays():
    spy = Spy("dcgan", {"image_shape": (3, 16, 16), "width": 0.1}, 3, 1, 3)
    rows = classes.knob_rows(spy, samples=4, seed=0)[:, :, 0, 0]
    assert rows.shape == (4, 3, 7)
    assert torch.equal(rows[:, 0, :4], rows[:, 2, :4])
    assert torch.equal(rows[0, :, 4:], torch.eye(3))


def test_traversals_leave_the_knob_alone(knob):
    axes = latent_axes(knob)
    assert axes.names == ["code 0", "code 1", "code 2", "code 3"] or tuple(axes.names) == (
        "code 0", "code 1", "code 2", "code 3",
    )  # fmt: skip
    assert not classes.has_knob(DCGAN.tiny())
    assert classes.has_knob(knob)


def test_a_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    groups = np.arange(60) % 3
    placed = classes.code_map(10 * np.eye(3)[groups] + rng.normal(size=(60, 3)), seed=0)
    middles = np.stack([placed[groups == k].mean(axis=0) for k in range(3)])
    nearest = ((placed[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == groups).mean() > 0.95


def test_a_chart_has_a_panel_per_map_and_a_number_per_class():
    points, groups = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    figure = scatter([("one", points, groups), ("two", points, groups)])
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "1", "2"]


@pytest.mark.filterwarnings("ignore:mode collapse")
def test_the_report_shows_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "MAP_POINTS", 60)
    source = Stripes(labels=12)
    method = CDGAN(width=0.1, steps=2, batch_size=6, encoder_batch=6, noise_dim=3, class_dim=4, anchors_per_class=2)
    method.fit(source, Run(tmp_path / "run", device="cpu", precision="float32", progress=False))
    run = load_run(tmp_path / "run")
    text = write_report(run, frames=3, samples=1, images=source).read_text()
    assert '<section id="classes">' in text
    for name in ("classes.png", "class_knob.png", "class_codes.png"):
        assert (run.folder / "figures" / name).stat().st_size > 1000
    assert "code 2" in text
    assert "code 3" not in text, "the class knob is not swept like a code"


def test_an_encoder_alone_gets_its_map(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "MAP_POINTS", 60)
    source = Stripes(labels=12)
    SupCon(width=0.1, steps=1, class_dim=4, anchors_per_class=2).fit(
        source, Run(tmp_path / "run", device="cpu", precision="float32", progress=False)
    )
    run = load_run(tmp_path / "run")
    section = classes.classes_section(run, source, 0, run.folder / "figures")
    assert section is not None
    assert "real images" in section.body or "class-codes" in section.body
    assert classes.classes_section(run, None, 0, run.folder) is None


def test_what_was_measured_of_a_knob_is_said_in_words():
    assert classes.knob_said({}, 3) == ""
    assert classes.knob_said({"class_coverage": 0.667, "class_spread": 0.5}, 3) == (
        "2 of 3 positions make images of their own kind; within one, pixels vary 0.50 times as much as in the data."
    )
    said = classes.knob_said({"class_coverage": 1.0, "class_spread": 0.5, "content_read": 0.3}, 3)
    assert said.endswith(" The encoder reads 0.30 of z's variance.")
    assert "z is not read" in classes.knob_said({"class_coverage": 1.0, "class_spread": 0.1, "content_read": 0.01}, 3)
