"""edgebig compresses ONNX models and proves the result on the device.

Public names are loaded on first access, so that `import edgebig` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "export_model": "edgebig.export",
    "optimize_model": "edgebig.optimize",
    "prune_model": "edgebig.prune",
    "quantize_model": "edgebig.quantize",
    "compress_model": "edgebig.pipeline",
    "diagnose_models": "edgebig.diagnose",
    "lint_model": "edgebig.lint",
    "evaluate_model": "edgebig.evaluate",
    "compare_models": "edgebig.evaluate",
    "bench_models": "edgebig.bench",
    "load_model": "edgebig.graph.load",
    "save_model": "edgebig.graph.save",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgebig' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
