"""The leaderboard's page: what it says, and that it sorts and filters in a browser."""

import pytest

from contrafact.evaluation.standings import Entry, Standings
from contrafact.report.leaderboard import lead, write_leaderboard

BOARD = Standings(
    "Tiny <suite>",
    {"MIG": True, "FID": False},
    (
        Entry("alpha", "alpha", {"MIG": (0.1, 0.2), "FID": (3.0, 4.0)}, seconds=10.0),
        Entry("<b>mine</b>", 'mine.py:"Mine"', {"MIG": (0.5, 0.6), "FID": (9.0, 9.5)}, is_own=True, seconds=200.0),
        Entry("gamma", "gamma", {"MIG": (0.4, 0.5), "FID": (2.0, 1.0)}, "generator", 100, 9.0),
        Entry("delta", "delta", {"MIG": (0.4,)}, seconds=1.0),
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    return write_leaderboard(BOARD, folder / "board.html", {"seeds": "0, 1 & 2"}, "contrafact bench mine.py:Mine")


def test_the_page_is_whole_and_lets_no_name_be_markup(path):
    text = path.read_text()
    assert "<b>mine</b>" not in text
    assert "&lt;b&gt;mine&lt;/b&gt;" in text
    assert "Tiny &lt;suite&gt;" in text
    assert "0, 1 &amp; 2" in text
    assert "http" not in text.partition("<main>")[2]


def test_what_it_says_first():
    assert lead(BOARD) == (
        "4 methods by the same protocol; by the mean of its ranks gamma comes first. "
        "<b>mine</b> is number 2 of 4; its ranks: MIG 1, FID 3."
    )


def test_nothing_to_rank_is_said(tmp_path):
    with pytest.raises(ValueError, match="there is nothing to rank: no entry has a score; compute one first"):
        write_leaderboard(Standings("t", {"MIG": True}, ()), tmp_path / "board.html")


@pytest.mark.browser
def test_columns_sort_and_filters_keep(browser, path):
    page = browser.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("[data-ready=board]")

    def names():
        rows = page.eval_on_selector_all(
            ".board tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.cells[1].dataset.value)"
        )
        return ["mine" if "mine" in name else name for name in rows]

    assert names() == ["gamma", "mine", "alpha", "delta"]
    page.click("th:nth-child(4) button")  # MIG: the highest first
    assert names() == ["mine", "gamma", "delta", "alpha"]
    assert page.get_attribute("th:nth-child(4)", "aria-sort") == "descending"
    page.click("th:nth-child(4) button")
    assert names() == ["alpha", "delta", "gamma", "mine"]
    page.click("th:nth-child(5) button")  # FID: the lowest first, who has none last
    assert names() == ["gamma", "alpha", "mine", "delta"]
    page.click("th:nth-child(5) button")
    assert names() == ["mine", "alpha", "gamma", "delta"]
    page.click("th:nth-child(2) button")
    assert names() == ["mine", "alpha", "delta", "gamma"]  # "<" sorts before letters
    for kept, expected in {
        "generator": ["gamma"],
        "images": ["mine", "alpha", "delta"],
        "own": ["mine"],
        "all": ["mine", "alpha", "delta", "gamma"],
    }.items():
        page.click(f".filters button[data-keep={kept}]")
        assert names() == expected
    page.close()
    assert problems == []
