"""Looks at onnxruntime from inside a process of its own: `python -m edgebig.bench.probe [PROVIDER|kernels]`.

A provider whose libraries are missing or broken may print from C++, or take the whole process down; so each is tried
in a child, whose last line of output is JSON.
"""

import ctypes
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

KERNELS = "kernels"
OLDEST_OPSET, OLDEST_IR = 7, 3
# Far above any version that exists; onnxruntime can be told to load models of unreleased versions.
_LAST = 99


def main() -> None:
    """Print what was found: about onnxruntime, or about the provider or the kernels named on the command line."""
    ort = importlib.import_module("onnxruntime")
    if sys.argv[1:] == [KERNELS]:
        report = _try_kernels()
    else:
        report = _try_provider(ort, sys.argv[1]) if len(sys.argv) > 1 else _describe(ort)
    sys.stdout.write("\n" + json.dumps(report) + "\n")


def _describe(ort: Any) -> dict[str, Any]:
    def loads(opset: int, ir_version: int) -> bool:
        try:
            _session(ort, "CPUExecutionProvider", opset, ir_version)
        except Exception:  # onnxruntime raises classes without a common base; any of them means no
            return False
        return True

    return {
        "version": ort.__version__,
        "build": ort.get_build_info() if hasattr(ort, "get_build_info") else None,
        "providers": ort.get_available_providers(),
        "newest_opset": newest(OLDEST_OPSET, lambda opset: loads(opset, OLDEST_IR)),
        "newest_ir": newest(OLDEST_IR, lambda version: loads(OLDEST_OPSET, version)),
    }


def newest(first: int, loads: Callable[[int], bool]) -> int | None:
    """The last of the versions from `first` on that load without a gap; None where not even that one does."""
    version = first
    while version <= _LAST and loads(version):
        version += 1
    return version - 1 if version > first else None


def _try_provider(ort: Any, name: str) -> dict[str, Any]:
    needs_nvidia = name in ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
    if needs_nvidia and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds CUDA libraries that were installed with pip
    return {
        "in_force": _session(ort, name, OLDEST_OPSET, OLDEST_IR).get_providers(),
        "driver": _has_nvidia_driver() if needs_nvidia else None,
    }


def _try_kernels() -> dict[str, Any]:
    from numba.core.registry import cpu_target

    from edgebig.kernels import cpu, dots
    from edgebig.runtime.bridge import supported

    return {
        "reason": supported(),
        "processor": cpu_target.target_context.codegen().magic_tuple()[1],
        "features": sorted(cpu.features()),
        "products": [dot.name for dot in dots.available()],
    }


def _session(ort: Any, provider: str, opset: int, ir_version: int) -> Any:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [x], [y])
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return ort.InferenceSession(model.SerializeToString(), providers=[provider])


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
