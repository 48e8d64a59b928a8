"""A benchmark's tables as a page: what it says, and that it fits a telephone."""

from html.parser import HTMLParser

import pytest

from contrafact.evaluation.grid import Grid
from contrafact.report.results import write_results

RESULTS = Grid(
    (("", ()), *((f"score {n}", ("ours", "published")) for n in range(6)), ("seeds", ())),
    tuple((name, *["0.100 ± 0.020", "0.3"] * 6, "5") for name in ("<b>alpha</b> & co", "a row of a rather long name")),
    frozenset({(1, 3)}),
)
BEST = Grid((("column", ()), ("next", ())), (("score 0", "<b>alpha</b> & co (1.0)"),))


class Tables(HTMLParser):
    """The texts of every table's rows, and of what is bold."""

    def __init__(self):
        super().__init__()
        self.tables, self.bold, self.inside = [], [], []

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "td" in self.inside or "th" in self.inside:
            self.tables[-1][-1][-1] += data
        if "b" in self.inside:
            self.bold.append(data)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    facts = [("table", "A paper & another, Table 1"), ("failed", "a row: <script>alert(1)</script>")]
    return write_results("Tiny <table>", [RESULTS, BEST], folder / "results.html", facts)


def test_the_page_says_what_the_tables_say_and_lets_no_name_be_markup(path):
    text = path.read_text()
    found = Tables()
    found.feed(text)
    results, best, how = found.tables
    assert [tuple(row) for row in results[2:]] == list(RESULTS.rows)
    assert results[1] == ["ours", "published"] * 6
    assert best[1:] == [list(BEST.rows[0])]
    assert how[1] == ["failed", "a row: <script>alert(1)</script>"]
    assert found.bold == ["0.100 ± 0.020"]
    assert "Tiny &lt;table&gt;" in text
    assert "<script>alert" not in text
    assert "http" not in text.partition("<main>")[2]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_scrolls_the_table_and_not_the_page(browser, path, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.eval_on_selector(".scroll", "box => { box.scrollLeft = 300; }")
    assert page.eval_on_selector(".scroll", "box => box.scrollLeft") == 300
    box = page.locator("tbody th").first.bounding_box()
    assert 0 <= box["x"] < 40, "the row's name stays in sight"
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()
