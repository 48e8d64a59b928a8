import inspect
import warnings

import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.active import NEARLY_DEAD, active_by_kl, active_codes, nearly_dead
from contrafact.core.metric import MetricWarning
from contrafact.metrics import CATALOG, evaluate, med, mig, modularity, sap

FACTORS = draw_factors()
CODES = noisy_codes(FACTORS)
WIDTH = CODES.shape[1]
COLLAPSED = np.hstack([CODES, 1e-4 * np.random.default_rng(0).normal(size=(len(CODES), 2)), np.zeros((len(CODES), 1))])
RULED = [name for name in CATALOG.own_names() if "active" in inspect.signature(CATALOG.get(name)).parameters]


def test_the_rule_by_a_share_of_the_range():
    assert active_codes(COLLAPSED, NEARLY_DEAD).tolist() == [True] * WIDTH + [False] * 3
    assert active_codes(COLLAPSED, 1e-6).tolist() == [True] * (WIDTH + 2) + [False]
    assert active_codes(np.full((5, 2), 0.7), 0.01).all()
    assert active_codes(COLLAPSED, None).all()


def test_a_code_that_rarely_moves_is_not_collapsed():
    rare = np.zeros((10_000, 2))
    rare[:, 0], rare[7, 1] = np.random.default_rng(0).normal(size=10_000), 1.0
    assert active_codes(rare, NEARLY_DEAD).all()
    assert nearly_dead(rare) == []


def test_codes_by_number_and_by_truth():
    assert active_codes(CODES, [0, -1]).tolist() == [True, *[False] * (WIDTH - 2), True]
    assert active_codes(CODES, [True, *[False] * (WIDTH - 1)]).sum() == 1


@pytest.mark.parametrize(
    ("active", "message"),
    [
        (0.0, "must lie between 0 and 1, got 0.0"),
        (1, "must lie between 0 and 1, got 1"),
        (True, "must lie between 0 and 1, got True"),
        ([WIDTH], f"numbers of codes from 0 to {WIDTH - 1}; got int64 of shape"),
        ([-WIDTH - 1], f"numbers of codes from 0 to {WIDTH - 1}"),
        ([True], f"{WIDTH} truth values"),
        ([0.5], "must be a share of the widest code's range"),
        ([False] * WIDTH, "active keeps no code"),
        ("kl", "must lie between 0 and 1, got kl"),
    ],
)
def test_other_rules_are_refused(active, message):
    with pytest.raises(ValueError, match=message):
        active_codes(CODES, active)


def test_the_rule_by_divergence():
    per_image = np.array([[4.0, 0.0, 0.03], [2.0, 2e-4, 0.0]])
    assert active_by_kl(per_image).tolist() == active_by_kl(per_image.mean(axis=0)).tolist() == [True, False, True]
    assert active_by_kl([0.5, 2.0], least=1.0).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"kl must have shape \(J,\) or \(N, J\)"):
        active_by_kl(3.0)
    with pytest.raises(ValueError, match="least must be a number of nats"):
        active_by_kl([1.0], least=-1.0)


@pytest.mark.parametrize("name", RULED)
def test_every_metric_of_codes_scores_the_codes_that_are_kept(name):
    metric, given = CATALOG.get(name), {"codes": COLLAPSED}
    if "factors" in inspect.signature(metric).parameters:
        given["factors"] = FACTORS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_share, by_hand = metric(**given, active=0.01), metric(**{**given, "codes": CODES})
        by_number = metric(**given, active=np.arange(WIDTH))
    for ruled in (by_share, by_number):  # a layout of memory may change the order of a sum
        assert ruled.scores() == pytest.approx(by_hand.scores(), abs=1e-9)
    assert by_share.protocol == f"{by_hand.protocol}_active0.01"
    assert by_number.protocol == f"{by_hand.protocol}_active{WIDTH}of{WIDTH + 3}"


def test_the_rule_is_offered_by_every_metric_of_codes_and_factors():
    offered = {*RULED}
    for name in ("mig", "modularity", "med", "infomec", "sap", "dci", "irs", "explicitness", "total_correlation"):
        assert name in offered


def test_held_out_codes_follow():
    half = len(CODES) // 2
    parts = (FACTORS[:half], COLLAPSED[half:], FACTORS[half:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*points are few for", MetricWarning)
        ruled = sap(COLLAPSED[:half], *parts, active=0.01)
    assert ruled.score == sap(CODES[:half], FACTORS[:half], CODES[half:], FACTORS[half:]).score


@pytest.mark.parametrize("metric", [mig, med, modularity])
def test_codes_that_hardly_move_are_named(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*points are few for", MetricWarning)
        metric(CODES, FACTORS)
        metric(np.hstack([CODES, np.zeros((len(CODES), 1))]), FACTORS)  # dead codes have their own documented value
    named = rf"codes \[{WIDTH}, {WIDTH + 1}\] move less than a hundredth as far as the widest.*active=0.01"
    with pytest.warns(MetricWarning, match=named):
        metric(COLLAPSED, FACTORS)


@pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")
def test_evaluate_reports_both_values_where_they_differ():
    names = [*(f"z{i}" for i in range(WIDTH)), "flat", "flatter", "dead"]
    found = evaluate(COLLAPSED, FACTORS, metrics="modularity,mig", code_names=names)
    assert found.scores()["modularity.score"] == modularity(COLLAPSED, FACTORS).score
    assert found.active["modularity.score"] == modularity(CODES, FACTORS).score > found.scores()["modularity.score"]
    assert "leaves out flat, flatter, dead" in found.notes[-1]
    assert found.to_dict()["active"] == found.active
    assert found.to_csv().splitlines()[0].endswith(",active")
    assert [column.header for column in found.table().columns][2] == "active codes"
    value, of_active = (f"{scores['mig.score']:.3f}" for scores in (found.scores(), found.active))
    assert str(found).splitlines()[0] == "| score | value | active codes |"
    assert f"| mig ↑ | {value} | {of_active} |" in str(found)
    assert f"${value}$ & ${of_active}$" in found.to_latex()
    assert "<th>active codes</th>" in found._repr_html_()
    for without in (
        evaluate(CODES, FACTORS, metrics="modularity"),
        evaluate(COLLAPSED, FACTORS, metrics="mig", active=None),
    ):
        assert without.active == {}
        assert "active" not in without.to_csv()
