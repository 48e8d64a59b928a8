import pytest

from contrafact.app.runtime import load_runtime
from tests.report.conftest import browser

__all__ = ["browser"]


@pytest.fixture(scope="session")
def runtime():
    """onnxruntime-web in the cache folder, without which no page can be exported."""
    try:
        return load_runtime()
    except ValueError as error:
        pytest.skip(str(error))
