"""The fixtures of the tests of optimization: models from ONNX text, and the comparison of two of them."""

from tests.optimize.conftest import apply, build, ops, rng

__all__ = ["apply", "build", "ops", "rng"]
