"""Handlers of operators, by type. A new one is a function in a file here; the file is imported below."""

from edgebig.quantize.ops import activation, conv, elementwise, gemm, matmul, moving, pooling
from edgebig.quantize.ops.base import Handler, handlers

__all__ = ["Handler", "activation", "conv", "elementwise", "gemm", "handlers", "matmul", "moving", "pooling"]
