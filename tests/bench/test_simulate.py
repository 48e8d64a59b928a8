"""The simulated course of cells against a loop over moments, a closed form, and what must hold of any course."""

import math

import numpy as np
import pytest

from contrafact.bench.simulate import Work, Workers, simulate


def second_by_second(cells, count):
    """Makespan in whole seconds without failures: each second, whoever is free takes the first cell that is ready."""
    left = [int(cell.seconds) for cell in cells]
    begun, done, running, now = set(), set(), {}, 0
    while len(done) < len(cells):
        for place, cell in enumerate(cells):
            if len(running) < count and place not in begun and set(cell.needs) <= done:
                begun.add(place)
                running[place] = left[place]
        now += 1
        for place in list(running):
            running[place] -= 1
            if running[place] == 0:
                del running[place]
                done.add(place)
    return now


def some_cells(seed, count=40):
    rng = np.random.default_rng(seed)
    cells = []
    for place in range(count):
        needs = tuple(int(need) for need in np.flatnonzero(rng.random(place) < 0.06)[:2])
        cells.append(Work(float(rng.integers(1, 30)), needs))
    return cells


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 50])
def test_without_failures_it_is_what_a_loop_over_seconds_finds(seed, count):
    cells = some_cells(seed)
    course = simulate(cells, Workers(count))
    assert course.makespan == second_by_second(cells, count)
    assert course.bound <= course.makespan <= 2 * course.bound, "Graham's bound for lists with precedence"
    assert (course.wasted, course.failures) == (0, 0)
    assert course.useful == sum(cell.seconds for cell in cells)


@pytest.mark.parametrize(("lifetime", "checkpoint"), [(100.0, 50.0), (30.0, 10.0)])
def test_one_worker_that_fails_takes_what_the_closed_form_says(lifetime, checkpoint):
    """Segments between checkpoints: each takes (1/λ + R)(e^{λc} − 1) on average (Daly 2006, without its cost)."""
    segments, restart = 6, 20.0
    expected = segments * (lifetime + restart) * math.expm1(checkpoint / lifetime)
    work = [Work(segments * checkpoint)]
    workers = Workers(1, lifetime, restart, checkpoint)
    found = [simulate(work, workers, seed).makespan for seed in range(4000)]
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / math.sqrt(len(found)))
    course = simulate(work, workers, 1)
    assert course.makespan == pytest.approx(course.useful + course.wasted + restart * course.failures)


def test_what_has_no_checkpoints_begins_anew():
    kept = [simulate([Work(100.0)], Workers(1, 50.0, 0.0, 10.0), seed).wasted for seed in range(300)]
    anew = [
        simulate([Work(100.0, has_checkpoints=False)], Workers(1, 50.0, 0.0, 10.0), seed).wasted for seed in range(300)
    ]
    assert np.mean(anew) > 5 * np.mean(kept)


def test_every_start_costs_its_overhead():
    course = simulate([Work(1.0)] * 10, Workers(2, overhead=0.5))
    assert course.makespan == 7.5
    assert course.wasted == 5.0


def test_seeds_repeat_and_differ():
    workers = Workers(5, 20.0, 5.0, 5.0)
    first, again, other = (simulate(some_cells(0), workers, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_no_cells_take_no_time():
    assert simulate([], Workers(3)).makespan == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Workers(0), "there must be at least one worker, got 0"),
        (lambda: Workers(1, lifetime=0.0), "times must be positive"),
        (lambda: simulate([Work(1.0, (0,))], Workers(1)), "cell 0 needs cell 0; needs come first"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
