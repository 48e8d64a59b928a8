import json

import numpy as np
import pytest

from contrafact.core.metric import MetricResult
from contrafact.evaluation.scores import add_scores, read_scores, score_line


def line(metric="mig", of="run", score=0.5, protocol="mig_n10_bins20", seed=0):
    result = MetricResult(score=score, protocol=protocol, num_train=10, per_factor=np.array([0.1, np.nan]))
    return score_line(metric, result, of, None, seed)


def test_scores_survive_a_round_trip(tmp_path):
    assert read_scores(tmp_path) == []
    add_scores(tmp_path, [line()])
    (read,) = read_scores(tmp_path)
    assert read["scores"] == {"score": 0.5}
    assert read["result"]["per_factor"] == [0.1, None]


def test_the_same_measurement_again_takes_the_old_ones_place(tmp_path):
    add_scores(tmp_path, [line(), line(of="control"), line("dci")])
    add_scores(tmp_path, [line(score=0.7), line(seed=1), line(protocol="mig_n20_bins20")])
    lines = read_scores(tmp_path)
    assert len(lines) == 5
    assert [r["scores"]["score"] for r in lines if r["of"] == "run" and r["metric"] == "mig"] == [0.7, 0.5, 0.5]


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "scores.jsonl").write_text(json.dumps(line()) + "\n{")
    with pytest.raises(ValueError, match=r"scores.jsonl, line 2, is not valid JSON .* delete that line and evaluate"):
        read_scores(tmp_path)
