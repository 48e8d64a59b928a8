import io
import json
import math

import pytest
from rich.console import Console

from contrafact.report.tables import Cell, read_scores, score_table, to_html, to_rich
from tests.report.tiny_runs import score


def scores_of(tmp_path, *lines):
    (tmp_path / "scores.jsonl").write_text("".join(lines))
    return read_scores(tmp_path)


def row_of(table, label):
    return next(row for row in table.rows if row.label == label)


def test_no_file_no_scores(tmp_path):
    assert read_scores(tmp_path) == []
    assert score_table([]).rows == ()


def test_scores_are_read_with_their_data(tmp_path):
    (found,) = scores_of(tmp_path, score("mig", matrix=[[1.0, 2.0]], notes=["careful"], score=0.5))
    assert (found.metric, found.of, found.data, found.source) == ("mig", "run", "rooms", "procedural stand-in")
    assert (found.values, found.protocol, found.notes) == ({"score": 0.5}, "mig_n100", ("careful",))
    assert found.matrix == [[1.0, 2.0]]


def test_lines_with_less_in_them_are_read(tmp_path):
    line = {"metric": "recovery", "of": None, "data": None, "result": {"score": 0.5}}
    (found,) = scores_of(tmp_path, json.dumps(line) + "\n")
    assert (found.of, found.data, found.values, found.matrix) == ("run", "", {"score": 0.5}, None)


@pytest.mark.parametrize("line", ["[1]", '{"metric": "mig"}', '{"metric": 3, "result": {}}', '{"result": {}}'])
def test_damaged_scores_are_named(tmp_path, line):
    with pytest.raises(ValueError, match=r"scores.jsonl, line 2, is no score: .*delete that line and evaluate"):
        scores_of(tmp_path, score("mig", score=0.5), line + "\n")


def test_broken_json_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"scores.jsonl, line 1, is not valid JSON"):
        scores_of(tmp_path, '{"metric": "mi\n')


def test_mean_and_deviation_over_evaluations(tmp_path):
    scores = scores_of(tmp_path, *(score("mig", of="control", score=v) for v in (0.1, 0.2, 0.6)))
    table = score_table(scores)
    cell = row_of(table, "mig").cells["control"]
    assert cell.mean == pytest.approx(0.3)
    assert cell.std == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert str(cell) == "0.300 ± 0.265"
    assert "Mean ± sample standard deviation over 3 evaluations." in table.footnotes


def test_run_stands_first_then_the_control(tmp_path):
    lines = [score("mig", of=of, score=0.1) for of in ("zebra", "control", "run")]
    assert score_table(scores_of(tmp_path, *lines)).columns == ("run", "control", "zebra")


def test_best_is_the_highest_and_ties_as_printed(tmp_path):
    lines = [
        score("mig", score=0.5),
        score("mig", of="control", score=0.4),
        score("dci", disentanglement=0.20001, completeness=0.1),
        score("dci", of="control", disentanglement=0.20002, completeness=0.3),
    ]
    table = score_table(scores_of(tmp_path, *lines))
    assert row_of(table, "mig").best == {"run"}
    assert row_of(table, "dci disentanglement").best == {"run", "control"}
    assert row_of(table, "dci completeness").best == {"control"}


def test_alone_or_unknown_nothing_is_best(tmp_path):
    lines = [score("mig", score=0.5), score("homemade", score=1.0), score("homemade", of="control", score=2.0)]
    table = score_table(scores_of(tmp_path, *lines))
    assert [row.best for row in table.rows] == [frozenset(), frozenset()]


def test_other_protocols_and_data_are_not_averaged(tmp_path):
    other = json.loads(score("mig", score=0.9))
    other["result"]["protocol"] = "mig_n7"
    lines = [score("mig", score=0.1), json.dumps(other) + "\n", score("mig", data="cars3d", score=0.5)]
    table = score_table(scores_of(tmp_path, *lines))
    assert [(row.label, str(row.cells["run"])) for row in table.rows] == [
        ("mig", "0.100"),
        ("mig", "0.900"),
        ("mig", "0.500"),
    ]
    assert len({row.notes for row in table.rows}) == 3


def test_footnotes_say_protocol_stand_in_and_remarks(tmp_path):
    lines = [
        score("mig", notes=["one code only"], score=0.1),
        score("dci", source="/data/3dshapes.h5", disentanglement=0.2),
    ]
    table = score_table(scores_of(tmp_path, *lines))
    assert [table.footnotes[number - 1] for number in table.rows[0].notes] == [
        "Protocol mig_n100.",
        "On a procedural stand-in of rooms, not the published images: not comparable with published numbers.",
        "one code only",
    ]
    assert [table.footnotes[number - 1] for number in table.rows[1].notes] == [
        "Protocol dci_n100.",
        "On rooms from 3dshapes.h5.",
    ]


def test_published_numbers_stand_beside(tmp_path):
    table = score_table(
        scores_of(tmp_path, score("mig", score=0.2)), {"DisCo (paper)": {"mig": (0.512, 0.068), "sap": (1.0, 0.0)}}
    )
    assert table.columns == ("run", "DisCo (paper)")
    assert str(row_of(table, "mig").cells["DisCo (paper)"]) == "0.512 ± 0.068"
    assert row_of(table, "mig").best == {"DisCo (paper)"}
    assert str(Cell(0.5, math.nan)) == "0.500"


@pytest.fixture
def table(tmp_path):
    lines = [score("mig", score=0.5), score("mig", of="<i>[red]odd", score=0.25), score("sap", score=0.125)]
    return score_table(scores_of(tmp_path, *lines))


def test_terminal_table(table):
    stream = io.StringIO()
    Console(file=stream, width=100, force_terminal=False).print(to_rich(table, "scores"))
    text = stream.getvalue()
    assert "<i>[red]odd" in text  # neither HTML nor rich markup is interpreted
    assert "0.500" in text
    assert "–" in text
    assert "1 Protocol mig_n100." in text


def test_html_table_is_escaped_and_bold(table):
    text = to_html(table)
    assert "&lt;i&gt;[red]odd" in text
    assert "<i>" not in text
    assert "<strong>0.500</strong>" in text
    assert "<td>0.250</td>" in text
    assert text.count("<li>") == len(table.footnotes)


def test_empty_html_table_has_no_footnotes():
    assert "<ol" not in to_html(score_table([]))
