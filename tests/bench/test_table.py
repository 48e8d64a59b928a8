"""The table of rows tested against one of them, from cells written by hand."""

import itertools

import pytest

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.table import Scores, paired_table

COLUMNS = {"gap": ("mig", "score"), "loss": ("log", "loss")}
RECIPE = Recipe("t", "t", tuple(Row(name, "vae") for name in ("control", "ours", "other")), COLUMNS, against="control")


def cells(name, gaps, **more):
    return [Scores(name, seed, {"gap": gap, **more}, 1.0) for seed, gap in enumerate(gaps)]


def sign_flips(differences):
    """Share of all patterns of signs whose mean is at least as far from nothing."""
    means = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(mean >= means[0] - 1e-12 for mean in means) / len(means)


def test_each_row_less_the_control_seed_by_seed_with_corrected_p():
    control, ours, other = [0.1, 0.3, 0.2, 0.1], [0.4, 0.5, 0.6, 0.3], [0.2, 0.1, 0.2, 0.3]
    by_row = {"control": cells("control", control), "ours": cells("ours", ours), "other": cells("other", other)[::-1]}
    lines = paired_table(RECIPE, by_row).splitlines()
    assert lines[0] == "| less control | gap | loss |"
    p = sorted(sign_flips([b - a for a, b in zip(control, scores, strict=True)]) for scores in (ours, other))
    assert p[0] == 0.125
    assert lines[2:] == [
        f"| ours | +0.275 (p {2 * p[0]:.2g}) | – |",
        f"| other | +0.025 (p {max(2 * p[0], p[1]):.2g}) | – |",
    ]


@pytest.mark.parametrize("ours", [[], [0.2]])
def test_one_seed_or_none_is_no_comparison(ours):
    by_row = {"control": cells("control", [0.1, 0.2]), "ours": cells("ours", ours), "other": []}
    assert paired_table(RECIPE, by_row) == ""


def test_only_seeds_that_both_have_are_compared():
    by_row = {"control": cells("control", [0.1, 0.2]), "ours": cells("ours", [0.2, 0.3, 9.0]), "other": []}
    assert "| ours | +0.100 (p 0.5) | – |" in paired_table(RECIPE, by_row)
