import threading

import pytest

from contrafact.metrics import _compile


@pytest.mark.parametrize(
    ("numba_value", "omp_value", "expected"), [("", "", 8), ("3", "", 3), ("", "2", 2), ("3", "1", 3), ("99", "", 8)]
)
def test_threads_follow_the_environment(monkeypatch, numba_value, omp_value, expected):
    monkeypatch.setattr(_compile.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", numba_value)
    monkeypatch.setenv("OMP_NUM_THREADS", omp_value)
    assert _compile.num_threads() == expected


def test_a_bad_number_of_threads_is_named(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="NUMBA_NUM_THREADS must be a positive whole number, got 'many'"):
        _compile.num_threads()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_workers_do_everything_and_pass_errors_on(monkeypatch, threads):
    monkeypatch.setattr(_compile.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    done, lock = [], threading.Lock()

    def task(value):
        if value < 0:
            raise ValueError("negative")
        with lock:
            done.append(value)

    with _compile.workers() as (run_all, count):
        assert count == int(threads)
        run_all(task, [(i,) for i in range(10)])
        assert sorted(done) == list(range(10))
        with pytest.raises(ValueError, match="negative"):
            run_all(task, [(-1,)])


def test_kernels_compile_without_a_writable_cache(monkeypatch):
    attempts = []

    def no_cache(**options):
        attempts.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(_compile.numba, "njit", no_cache)
    assert _compile.compiled(len) is len
    assert [bool(options.get("cache")) for options in attempts] == [True, False]
