"""What every catalogued metric must do, whatever it measures. A new file under metrics/ is covered by being there."""

from pathlib import Path

import pytest

from contrafact.contract import metric as contract
from contrafact.contract.promise import promise_of
from contrafact.metrics import CATALOG

DOCS = Path(__file__).parents[2] / "docs" / "metrics"


@pytest.mark.parametrize("name", CATALOG.names())
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")
def test_it_keeps_the_promise(check, name):
    check(contract.subject_of(name))


@pytest.mark.parametrize("name", CATALOG.names())
def test_has_a_page_in_the_docs(name):
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for part in ("## Formula", "## Range", "## What fools it", "## Source"):
        assert part in page, f"{name}.md lacks {part!r}"
    assert (DOCS / "pictures" / f"{name}.svg").stat().st_size > 500
    assert f"pictures/{name}.svg" in page


def test_what_is_peculiar_is_of_metrics_there_are():
    assert set(contract.PECULIAR) <= set(CATALOG.names())
    assert len({promise_of(check) for check in contract.CHECKS}) == len(contract.CHECKS)
