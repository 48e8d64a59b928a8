"""Work that several callers share is done once, and nobody can tell from the values."""

import numpy as np
import pytest

from contrafact.core import once as module
from contrafact.core.once import once, shared


@pytest.fixture
def doubled():
    calls = []

    @once
    def function(values, times=2.0, *, name="", exact=False, least=None):
        calls.append((values.shape, times, name, exact, least))
        return values * times, {"name": name}

    function.calls = calls
    return function


def test_nothing_is_kept_outside(doubled):
    values = np.arange(3)
    assert doubled(values)[0].tolist() == doubled(values)[0].tolist() == [0, 2, 4]
    assert len(doubled.calls) == 2


def test_equal_content_is_one_call_however_it_was_passed_and_lies_in_memory(doubled):
    values = np.arange(200_000.0).reshape(100_000, 2)
    with shared():
        first = doubled(values, 3.0)[0]
        again = [doubled(np.asfortranarray(values), times=3.0)[0], doubled(np.hstack([values, values])[:, 2:], 3.0)[0]]
    assert len(doubled.calls) == 1
    assert all(np.array_equal(first, other) for other in again)


@pytest.mark.parametrize(
    "other",
    [
        {"values": np.array([0, 1, 3])},
        {"values": np.array([[0], [1], [2]])},
        {"values": np.array([0, 1, 2], np.int32)},
        {"values": np.array([0.0, 1.0, 2.0])},
        {"times": 3.0},
        {"name": "b"},
        {"exact": True},
        {"least": 1.0},
    ],
)
def test_any_difference_is_another_call(doubled, other):
    given = {"values": np.array([0, 1, 2])}
    with shared():
        doubled(**given)
        doubled(**(given | other))
    assert len(doubled.calls) == 2


def test_two_functions_do_not_share():
    @once
    def plus(values):
        return values + 1

    @once
    def minus(values):
        return values - 1

    with shared():
        assert (plus(np.ones(1)).item(), minus(np.ones(1)).item()) == (2.0, 0.0)


def test_callers_cannot_spoil_each_others_results(doubled):
    values = np.arange(3)
    with shared():
        for _ in range(3):
            array, extra = doubled(values)
            assert array.tolist() == [0, 2, 4]
            assert extra == {"name": ""}
            array += 1
            extra.clear()
    assert len(doubled.calls) == 1


def test_one_within_another_keeps_on_and_the_end_forgets(doubled):
    values = np.arange(3)
    with shared():
        doubled(values)
        with shared():
            doubled(values)
        doubled(values)
    assert len(doubled.calls) == 1
    with shared():
        doubled(values)
    assert len(doubled.calls) == 2


def test_the_oldest_is_dropped_when_too_much_is_kept(doubled, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    first, second = np.zeros(60), np.ones(60)
    with shared():
        for values in (first, second, second, first):
            doubled(values)
    assert len(doubled.calls) == 3


def test_what_has_no_content_to_go_by_is_refused(doubled):
    with shared(), pytest.raises(TypeError, match="whether name is the same: object"):
        doubled(np.ones(1), name=object())
