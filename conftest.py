"""Every example in a docstring starts in an empty folder, as for a reader who tries it."""

import pytest


@pytest.fixture(autouse=True)
def empty_folder_for_examples(request, tmp_path_factory, monkeypatch):
    """Runs that an example names ``runs/...`` are made there, and no dataset of this machine decides what it sees."""
    if isinstance(request.node, pytest.DoctestItem):
        folder = tmp_path_factory.mktemp("example")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CONTRAFACT_DATA", str(folder))
