"""Measure latency: several models interleaved in one process, with everything that decides whether to believe it."""

from typing import Any

__all__ = ["bench_models"]


def __getattr__(name: str) -> Any:
    # Loaded on use: `doctor`, beside it, has to run where onnx or numpy is missing.
    if name == "bench_models":
        from edgebig.bench.run import bench_models

        return bench_models
    raise AttributeError(f"module 'edgebig.bench' has no attribute {name!r}")
