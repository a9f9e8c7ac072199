"""Small models with seeded weights, made in code, for tests that need a real graph but not a real task."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

CONV_NET = """
<ir_version: 10, opset_import: ["" : 18]>
conv_net (float[batch, 4, 8, 8] image, float[32, 4, 3, 3] w0, float[32] b0, float[32, 32, 3, 3] w1, float[32] b1,
          float[64, 32, 1, 1] w2, float[64] b2, float[10, 64] w3, float[10] b3) => (float[batch, 10] logits) {
    a = Conv <pads = [1, 1, 1, 1]> (image, w0, b0)
    b = Relu (a)
    c = Conv <pads = [1, 1, 1, 1]> (b, w1, b1)
    d = Relu (c)
    e = Conv (d, w2, b2)
    f = Relu (e)
    g = GlobalAveragePool (f)
    h = Flatten (g)
    logits = Gemm <transB = 1> (h, w3, b3)
}
"""


def conv_net(seed: int = 0) -> ir.Model:
    """Conv 3x3 (4 to 32), Conv 3x3 (32 to 32), Conv 1x1 (32 to 64), global pool, Gemm to 10; dynamic batch."""
    model = ir.from_onnx_text(CONV_NET)
    rng = np.random.default_rng(seed)
    for value in model.graph.inputs[1:]:
        shape = tuple(int(size) for size in value.shape or ())
        spread = 0.1 if len(shape) == 1 else np.sqrt(2.0 / np.prod(shape[1:]))
        value.const_value = ir.tensor(rng.normal(0.0, spread, shape).astype(np.float32), name=value.name)
        model.graph.register_initializer(value)
    del model.graph.inputs[1:]
    return model


def conv_net_samples(count: int = 64, seed: int = 1) -> dict[str, NDArray]:
    """Samples for `conv_net`."""
    return {"image": np.random.default_rng(seed).normal(size=(count, 4, 8, 8)).astype(np.float32)}


def write_conv_net(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write `conv_net` and its samples; returns the paths of the model and of the samples."""
    model, samples = folder / "conv_net.onnx", folder / "samples.npz"
    ir.save(conv_net(seed), model)
    np.savez(samples, **conv_net_samples())
    return model, samples
