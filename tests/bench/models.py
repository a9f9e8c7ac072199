"""Tiny models in ONNX text, written to files."""

from pathlib import Path

import onnx

DOUBLE = """
<ir_version: 10, opset_import: ["" : 18]>
double (float[batch, 3] x) => (float[batch, 3] y) { y = Add (x, x) }
"""
# The same interface with other axis names, and much more work.
HEAVY = """
<ir_version: 10, opset_import: ["" : 18]>
heavy (float[n, 3] x) => (float[n, 3] y) {
    columns = Constant <value = int64[2] {20000, 1}> ()
    wide = Tile (x, columns)
    sums = Erf (wide)
    total = ReduceSum <keepdims = 1> (sums)
    y = Add (x, total)
}
"""
TOKENS = """
<ir_version: 10, opset_import: ["" : 18]>
tokens (int64[batch, sequence] ids, int64[batch, sequence] mask) => (int64[batch, sequence] y) {
    y = Mul (ids, mask)
}
"""
NONZERO = """
<ir_version: 10, opset_import: ["" : 18]>
nonzero (float[batch, 3] x) => (int64[2, count] where, float scalar, float[none, 3] empty) {
    where = NonZero (x)
    scalar = ReduceSum <keepdims = 0> (x)
    start = Constant <value = int64[1] {0}> ()
    empty = Slice (x, start, start, start)
}
"""
RANDOM_SHAPE = """
<ir_version: 10, opset_import: ["" : 18]>
random_shape (float[100] x) => (int64[1, count] where) {
    noise = RandomUniformLike <low = -1.0, high = 1.0, seed = 1.0> (x)
    positive = Relu (noise)
    where = NonZero (positive)
}
"""
STRINGS = """
<ir_version: 10, opset_import: ["" : 18]>
strings (string[2] x) => (string[2] y) { y = Identity (x) }
"""


def write(text: str, path: Path) -> Path:
    """Write a model given as ONNX text."""
    onnx.save(onnx.parser.parse_model(text), path)
    return path
