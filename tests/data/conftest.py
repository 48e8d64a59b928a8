import pytest


@pytest.fixture(autouse=True)
def _no_dataset_files(tmp_path_factory, monkeypatch):
    """No file that happens to lie on this machine decides what a test sees."""
    monkeypatch.setenv("CONTRAFACT_DATA", str(tmp_path_factory.getbasetemp()))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CONTRAFACT_CACHE", str(folder))
    return folder
