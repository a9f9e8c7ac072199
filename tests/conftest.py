"""Fixtures for all tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference models and data that lie beside the repository on some machines; the test is skipped elsewhere."""
    folder = ROOT.parent / "shared"
    if not (folder / "models" / "data").is_dir():
        pytest.skip("the reference models and data are not on this machine")
    return folder
