"""The modules' file, and exports that several tests look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.callables import load_callable
from edgebig.export import ExportOptions, ExportRecord, export_model

MODULES = Path(__file__).with_name("modules.py")

ENCODER_AXES = ("ids:0=batch", "ids:1=length", "mask:0=batch", "mask:1=length")


@pytest.fixture(scope="session")
def modules() -> Path:
    """A file of small modules."""
    return MODULES


@pytest.fixture(scope="session")
def make() -> Callable[[str], Any]:
    """Makes a module by its class' name."""
    return lambda name: load_callable(f"{MODULES}:{name}", purpose="test")()


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve masked sentences for the encoder."""
    generator = np.random.default_rng(0)
    mask = (np.arange(9) < generator.integers(3, 10, (12, 1))).astype(np.int64)
    path = tmp_path_factory.mktemp("sample") / "sentences.npz"
    np.savez(path, mask=mask, ids=generator.integers(1, 40, (12, 9)) * mask)
    return path


@pytest.fixture(scope="session")
def encoder(sentences: Path) -> tuple[ir.Model, ExportRecord]:
    """The encoder with both axes dynamic, verified on real samples."""
    return export_model(f"{MODULES}:encoder", options=ExportOptions(sample=str(sentences), dynamic=ENCODER_AXES))
