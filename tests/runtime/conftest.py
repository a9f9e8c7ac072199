"""Fixtures of the runtime's tests."""

import pytest

from edgebig.runtime.bridge import supported
from edgebig.runtime.cache import Cache


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A cache of the test run's own: nothing in the user's is read or changed."""
    reason = supported()
    if reason is not None:
        pytest.skip(reason)
    return Cache(tmp_path_factory.mktemp("cache"))
