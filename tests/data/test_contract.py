"""What every catalogued dataset promises; a new file in ``data/`` is tested here without a line added."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrafact.contract.dataset import CHECKS, Subject
from contrafact.core.dataset import FactorDataset
from contrafact.data import CATALOG

from .tiny_files import WRITERS


@pytest.fixture(params=CATALOG.names())
def dataset(request, tmp_path, monkeypatch):
    name = request.param
    arguments = {}
    if name in WRITERS:
        monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
        files = tmp_path / "files"
        files.mkdir()
        arguments = WRITERS[name](files, monkeypatch)
    try:
        return CATALOG.get(name)(**arguments)
    except (ValueError, TypeError) as error:
        if name in WRITERS:
            raise
        pytest.fail(
            f"{name} needs files ({error}); add a function to WRITERS in tests/data/tiny_files.py that writes small "
            "ones in the published format"
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_promise(check, dataset, tmp_path):
    check(Subject(dataset, tmp_path, listed=True))


def test_any_place_in_the_grid_is_found_again(dataset):
    if not isinstance(dataset, FactorDataset):
        pytest.skip("no known factors")

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.integers(0, len(dataset) - 1))
    def round_trip(index):
        assert dataset.index_of(dataset.factors_of([index])).tolist() == [index]

    round_trip()
