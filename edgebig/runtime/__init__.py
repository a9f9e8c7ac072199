"""Runs ONNX models through onnxruntime, faster: parts of the graph are replaced by Numba kernels.

Importing this package imports neither numba nor onnxruntime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgebig.runtime.ahead_of_time import prepare
    from edgebig.runtime.cache import Cache
    from edgebig.runtime.session import InferenceSession

__all__ = ["Cache", "InferenceSession", "prepare"]

_HOMES = {"Cache": "cache", "InferenceSession": "session", "prepare": "ahead_of_time"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgebig.runtime' has no attribute {name!r}")
    return getattr(import_module(f"edgebig.runtime.{_HOMES[name]}"), name)
