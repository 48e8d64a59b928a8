import io
import json
import math

import pytest
from rich.console import Console

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.evaluation.reference import put_beside, read_reference, reference_table
from contrafact.metrics import evaluate

FACTORS = draw_factors(200)
RESULT = evaluate(noisy_codes(FACTORS), FACTORS, metrics="mig,modularity,irs")


def test_what_was_written_is_read_and_equal(tmp_path):
    scores, tolerances = read_reference(RESULT.write(tmp_path / "r.json"))
    assert (scores, tolerances) == (RESULT.scores(), {})
    rows = put_beside(RESULT, scores, tolerances)
    assert [row.score for row in rows] == ["mig.score", "modularity.score", "irs.score"]
    assert all(row.within and row.difference == 0.0 and math.isinf(row.tolerance) for row in rows)


def test_scores_alone_tolerances_and_gaps(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps({"mig.score": 1, "sap.score": 0.1, "irs.score": None}))
    assert read_reference(tmp_path / "r.json") == ({"mig.score": 1.0, "sap.score": 0.1}, {})
    (row,) = put_beside(RESULT, {"mig.score": 1.0, "sap.score": 0.1}, {"mig.score": 0.25})
    assert row.difference == RESULT.results["mig"].score - 1.0
    assert not row.within
    out = io.StringIO()
    Console(file=out, width=100).print(reference_table([row]))
    for text in ("1.000000", f"{row.ours:.6f}", f"{row.difference:+.1e}", "2e-01"):
        assert text in out.getvalue()


def test_refusals(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match=r"r\.json does not exist"):
        read_reference(path)
    for text, message in (
        ("{", "is not valid JSON"),
        ("[1]", r'must hold scores by name, \{"mig\.score": 0\.4\}; got list'),
        ('{"mig.score": "high"}', "mig.score must be a number, got 'high'"),
        ('{"scores": {}, "tolerances": {"mig.score": true}}', "mig.score must be a number, got True"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_reference(path)
    with pytest.raises(ValueError, match=r"the reference has none of the scores asked for; it has sap\.score"):
        put_beside(RESULT, {"sap.score": 0.1}, {})
