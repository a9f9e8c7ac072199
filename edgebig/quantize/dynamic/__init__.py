"""Dynamic int8: MatMul, Gemm and LSTM with activations quantized on every run; GRU and RNN with int8 weights."""

from edgebig.quantize.dynamic.candidates import candidates
from edgebig.quantize.dynamic.write import write_dynamic

__all__ = ["candidates", "write_dynamic"]
