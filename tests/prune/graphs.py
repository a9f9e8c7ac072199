"""Graphs for tests of pruning, from ONNX text, with seeded weights."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

HEADER = '<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>\n'

RESIDUAL = """
net (float[n, 8, 6, 6] x, float[16, 8, 3, 3] w0, float[16] b0, float[32, 16, 3, 3] w1, float[32, 16, 1, 1] w2,
     float[32, 32, 3, 3] w3, float[10, 32] w4, float[10] b4) => (float[n, 10] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)
    b = Relu (a)
    c = Conv <pads = [1, 1, 1, 1]> (b, w1)
    d = Relu (c)
    e = Conv <pads = [1, 1, 1, 1]> (d, w3)
    f = Conv (b, w2)
    g = Add (e, f)
    h = Relu (g)
    i = GlobalAveragePool (h)
    j = Flatten (i)
    y = Gemm <transB = 1> (j, w4, b4)
}
"""

ENCODER = """
net (int64[n, length] ids, float[20, 32] table, float[32, 32] wq, float[32] bq, float[32, 64] wu, float[1, 1, 64] bu,
     float[64, 32] wd, float[32] bd, float[32, 32] wl, float[32, 3] wo) => (float[n, length, 3] y) {
    x = Gather (table, ids)
    q0 = MatMul (x, wq)
    q = Add (bq, q0)
    r = Add (x, q)
    u0 = MatMul (r, wu)
    u = Add (u0, bu)
    v = Relu (u)
    d0 = MatMul (v, wd)
    d = Add (d0, bd)
    s = Add (d, r)
    t = MatMul (s, wl)
    y = MatMul (t, wo)
}
"""

BATCH_NORMS = """
net (float[n, 8, 6, 6] x, float[16, 8, 3, 3] w0, float[32, 16, 3, 3] w1, float[32, 32, 3, 3] w2, float[10, 32] w3,
     float[16] s0, float[16] o0, float[16] m0, float[16] v0, float[32] s1, float[32] o1, float[32] m1, float[32] v1,
     float[32] s2, float[32] o2, float[32] m2, float[32] v2) => (float[n, 10] y) {
    a = Conv (x, w0)
    b = BatchNormalization (a, s0, o0, m0, v0)
    c = Relu (b)
    d = Conv <pads = [1, 1, 1, 1]> (c, w1)
    e = BatchNormalization (d, s1, o1, m1, v1)
    f = Relu (e)
    g = Conv <pads = [1, 1, 1, 1]> (f, w2)
    h = BatchNormalization (g, s2, o2, m2, v2)
    i = Relu (h)
    j = GlobalAveragePool (i)
    k = Flatten (j)
    y = Gemm <transB = 1> (k, w3)
}
"""


def build(text: str, seed: int = 0, dtype: type = np.float32) -> ir.Model:
    """Read a graph; all its inputs but the first become seeded weights: matrices keep the scale of what passes, `v...`
    are positive."""
    model = ir.from_onnx_text(HEADER + text)
    rng = np.random.default_rng(seed)
    weights = [model.graph.inputs.pop() for _ in range(len(model.graph.inputs) - 1)][::-1]
    for value in weights:
        shape = tuple(int(size) for size in value.shape or ())
        fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        array = rng.normal(0.0, np.sqrt(2.0 / fan) if len(shape) > 1 else 0.3, shape)
        if (value.name or "").startswith(("v", "s")) and len(shape) == 1:
            array = 0.5 + rng.random(shape)
        value.const_value = ir.tensor(array.astype(dtype), name=value.name)
        model.graph.register_initializer(value)
    return model


def images(count: int = 128, seed: int = 1, dtype: type = np.float32) -> dict[str, NDArray]:
    """Samples for RESIDUAL and BATCH_NORMS: smooth, so that neighbours tell of each other as in real images."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 8, 6, 6))
    blurred = noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3) + np.roll(noise, 1, 1)
    return {"x": blurred.astype(dtype)}


def sentences(count: int = 96, length: int = 7, seed: int = 1) -> dict[str, NDArray]:
    """Samples for ENCODER."""
    return {"ids": np.random.default_rng(seed).integers(0, 20, (count, length))}
