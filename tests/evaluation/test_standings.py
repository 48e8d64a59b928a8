"""Ranks of a leaderboard against counting by hand."""

import math

import pytest

from contrafact.evaluation.standings import Entry, Standings

COLUMNS = {"MIG": True, "FID": False}
ENTRIES = (
    Entry("a", "a", {"MIG": (0.1, 0.3), "FID": (9.0, 11.0)}),
    Entry("b", "b", {"MIG": (0.5, 0.7), "FID": (4.0, 6.0)}, is_own=True),
    Entry("c", "c", {"MIG": (0.2, 0.2), "FID": (20.0, 20.0)}),
    Entry("d", "d", {"MIG": (0.9, 0.9)}),
)


def counted(values, value, is_up):
    """1, and one more for each that is better, and a half for each other that is equal."""
    better = sum((other > value) if is_up else (other < value) for other in values)
    equal = sum(math.isclose(other, value) for other in values) - 1
    return 1 + better + equal / 2


def test_ranks_are_what_counting_gives_and_ties_share():
    board = Standings("t", COLUMNS, ENTRIES)
    means = {"MIG": [0.2, 0.6, 0.2, 0.9], "FID": [10.0, 5.0, 20.0]}
    assert board.ranks("MIG") == [counted(means["MIG"], mean, True) for mean in means["MIG"]] == [3.5, 2, 3.5, 1]
    assert board.ranks("FID")[:3] == [counted(means["FID"], mean, False) for mean in means["FID"]] == [2, 1, 3]
    assert math.isnan(board.ranks("FID")[3])
    assert board.mean_ranks[:3] == [2.75, 1.5, 3.25]
    assert [entry.name for entry, _ in board.ordered] == ["b", "a", "c", "d"], "one that lacks a column comes last"


def test_the_table_in_words():
    lines = Standings("t", COLUMNS, ENTRIES).markdown().splitlines()
    assert lines[0] == "|  |  | mean rank | MIG ↑ | FID ↓ | seeds |"
    assert lines[2] == "| 1 | **b** | 1.5 | 0.600 ± 0.141 | 5.000 ± 1.414 | 2 |"
    assert lines[5] == "| 4 | d | – | 0.900 ± 0.000 | – | 1 |".replace("| 1 |", "| 2 |")


def test_only_the_neighbours_of_ones_own_are_printed():
    entries = [Entry(f"m{i:02}", "m", {"MIG": (1 - i / 20,)}) for i in range(12)]
    entries.append(Entry("mine", "m", {"MIG": (1 - 8.5 / 20,)}, is_own=True))
    board = Standings("t", {"MIG": True}, tuple(entries))
    names = [line.split("|")[2].strip() for line in board.markdown(around=1).splitlines()[2:]]
    assert names == ["m00", "m01", "m02", "", "m08", "**mine**", "m09"]
    assert len(board.markdown().splitlines()) == 2 + 13


@pytest.mark.parametrize(("values", "spread"), [((), None), ((0.4,), None), ((0.4, 0.6), 0.141421)])
def test_spread_needs_two_seeds(values, spread):
    found = Entry("a", "a", {"MIG": values}).spread("MIG")
    assert found == (None if spread is None else pytest.approx(spread, abs=1e-6))
