"""A cache for all tests of the runtime, so that equal kernels are compiled once."""

import pytest

from edgebig.runtime import Cache


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A cache of its own."""
    return Cache(tmp_path_factory.mktemp("cache"))
