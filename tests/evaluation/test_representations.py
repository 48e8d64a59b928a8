"""Scores of projections and parts: the metric of what the encoder makes of its codes, under names of their own."""

import dataclasses

import numpy as np
import pytest
import torch

from contrafact.bench.cells import number
from contrafact.core.method import load_run
from contrafact.evaluation.representations import Target, parse_target, usual_metrics
from contrafact.evaluation.run import default_metrics, evaluate_run
from contrafact.evaluation.sampling import draw_probe_sample, draw_sample
from contrafact.evaluation.scores import read_scores
from contrafact.methods.sub_infomax import SubInfoMax
from contrafact.metrics import linear_probe, sub_embedding_gaps
from contrafact.nn.projected import ProjectedEncoder
from contrafact.report.page import write_report
from contrafact.report.parts import parts_section
from tests.conftest import quiet

from ..training.toy_images import ToyImages, ToyPairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "run"
    method = SubInfoMax(encoder="conv", width=0.1, steps=4, batch_size=6, warmup_steps=1, regulariser="infomin")
    method.fit(ToyPairs(), quiet(folder))
    evaluate_run(folder, ToyPairs(), num_train=60, num_test=30)
    return folder


def test_a_contrastive_run_is_probed_and_its_parts_tabled(folder):
    run = load_run(folder)
    names = ["linear_probe", "knn_probe", "smoothness", "sub_embedding_gaps", "sub_embedding_gaps:z"]
    assert list(default_metrics(run)) == names
    assert [line["metric"] for line in read_scores(folder)] == names
    assert usual_metrics(ProjectedEncoder("conv", (3, 16, 16), width=0.1)) == tuple(names[:3])
    assert usual_metrics(ProjectedEncoder("conv", (3, 16, 16), width=0.1, heads="none")) == ()


def test_a_representations_score_is_the_metric_of_it(folder):
    run, dataset = load_run(folder), ToyPairs()
    sample = draw_sample(run.encoder, dataset, 60, 30, 0)
    with torch.no_grad():
        z, z_test = (
            run.encoder.project(torch.from_numpy(codes)).numpy() for codes in (sample.codes_NJ, sample.codes_test_NJ)
        )
    ((name, result),) = evaluate_run(folder, dataset, ["linear_probe:z"], 60, 30)
    assert name == "linear_probe:z"
    expected = linear_probe(z, sample.factors_NK, z_test, sample.factors_test_NK)
    np.testing.assert_allclose(result.per_factor, expected.per_factor)
    held = sample.factors_NK[:, :2], sample.factors_test_NK[:, :2]
    table = sub_embedding_gaps(z, held[0], z_test, held[1], parts=2)
    line = next(line for line in read_scores(folder) if line["metric"] == "sub_embedding_gaps:z")
    np.testing.assert_allclose(line["result"]["matrix"], table.matrix)
    assert line["result"]["tasks"] == ["light", "side"]
    assert number(line, "matrix.1.0") == pytest.approx(table.matrix[1, 0])
    assert number(line, "gap") == pytest.approx(table.score)


def test_a_published_test_part_is_what_is_held_out(folder):
    class Part(ToyPairs):
        def __init__(self, other=None):
            self.other = other

        def parts(self):
            return (self, Part(self)) if self.other is None else (self.other, self)

        def factors_of(self, indices):
            factors = super().factors_of(indices)
            if self.other is not None:
                factors[:, 2] = 3
            return factors

    sample = draw_probe_sample(load_run(folder).encoder, Part(), 1000, 20, 0)
    assert len(sample.codes_NJ) == 96  # all of it, once
    assert len(sample.codes_test_NJ) == 20
    assert (sample.factors_test_NK[:, 2] == 3).all()
    assert len(np.unique(sample.factors_NK[:, 2])) == 4


def test_unknown_targets_are_refused(folder):
    assert parse_target("linear-probe:z") == Target("linear_probe", "z")
    assert str(parse_target("all")) == "all"
    with pytest.raises(ValueError, match="unknown metric 'linear_prob'; did you mean 'linear_probe'"):
        parse_target("linear_prob:z")
    with pytest.raises(ValueError, match="this ProjectedEncoder has no representation 'y'; it has z"):
        evaluate_run(folder, ToyPairs(), ["linear_probe:y"], 60, 30)


def test_the_report_shows_the_table_and_both_loss_curves(folder, tmp_path):
    run = load_run(folder)
    page = write_report(run, out=tmp_path / "report.html").read_text()
    assert 'id="parts"' in page
    for text in (
        "Accuracy on r, in %",
        "Accuracy on z, in %",
        "z<sub>1</sub>",
        "<th scope=col>light</th>",
        "diagonal tr",
    ):
        assert text in page
    for curve in ("infomax over the steps", "infomin over the steps", "infomax_1 over the steps"):
        assert curve in page
    line = next(line for line in read_scores(folder) if line["metric"] == "sub_embedding_gaps")
    section = parts_section(folder)
    assert f"<td>{100 * line['result']['whole'][0]:.1f}</td>" in section.body
    trend = "holds" if line["result"]["diagonal"] else "does not hold"
    assert f"The diagonal trend {trend}." in section.body


def test_no_table_without_scores_of_parts(tmp_path):
    method = SubInfoMax(encoder="conv", width=0.1, steps=2, batch_size=6, warmup_steps=1)
    method.fit(ToyImages(), quiet(tmp_path / "run"))
    assert parts_section(tmp_path / "run") is None
    results = evaluate_run(tmp_path / "run", ToyImages(), ["sub_embedding_gaps"], 40, 20)
    assert results[0][1].tasks == ("class",)
    assert dataclasses.asdict(results[0][1])["tasks"] == ("class",)
