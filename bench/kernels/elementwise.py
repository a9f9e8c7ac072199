"""The kernels that go through memory once, against onnxruntime's operators: sums, tables, conversions, pools, layouts.

`python bench/kernels/elementwise.py` measures tensors as EfficientNet-Lite0 and MiniLM have them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS, Case, bound, node_model, run_all
from numpy.typing import NDArray

from edgebig.kernels.convert import Dequantize, Quantize
from edgebig.kernels.convert_transpose import Transpose
from edgebig.kernels.elementwise import Add, Multiply
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.pool import GlobalAveragePool, MaxPool
from edgebig.kernels.table import Table

SIZES = (4 * 1024, 100_352, 1_605_632)
MICROSOFT = "com.microsoft"
F32 = np.float32


def random_bytes(*shape: int) -> NDArray[np.uint8]:
    """Seeded bytes."""
    return np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8)


def scalar(value: float, kind: Any = np.float32) -> NDArray:
    """A tensor without axes."""
    return np.array(value, kind)


def binary(operator: str, size: int) -> Case:
    """QLinearAdd or QLinearMul."""
    a, b, y, answer = random_bytes(size), random_bytes(size)[::-1].copy(), *(np.zeros(size, np.uint8) for _ in "ab")
    scales, points = (F32(0.021), F32(0.034), F32(0.05)), (101, 57, 90)
    if operator == "QLinearAdd":
        step: Any = Add(1, size, float(scales[0] / scales[2]), 101, float(scales[1] / scales[2]), 57, Requantize(90))
    else:
        step = Multiply(1, size, float(scales[0] * scales[1] / scales[2]), 101, 57, Requantize(90))
    constants = {}
    for name, scale, point in zip("aby", scales, points, strict=True):
        constants |= {f"s{name}": scalar(scale), f"z{name}": scalar(point, np.uint8)}
    order = ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"]
    model = node_model(operator, {"a": a, "b": b}, constants, y, domain=MICROSOFT, order=order)
    return Case(f"{operator} {size}", step, (a, b, y), bound(model, {"a": a, "b": b}, answer), answer)


def sigmoid(size: int) -> Case:
    """QLinearSigmoid is a table as well."""
    x, y, answer = random_bytes(size), *(np.zeros(size, np.uint8) for _ in "ab")
    real = (np.arange(256) - 128) * 0.04
    table = np.clip(np.rint(1 / (1 + np.exp(-real)) * 256), 0, 255).astype(np.uint8)
    constants = {"sx": scalar(0.04), "zx": scalar(128, np.uint8), "sy": scalar(1 / 256), "zy": scalar(0, np.uint8)}
    model = node_model("QLinearSigmoid", {"x": x}, constants, y, domain=MICROSOFT)
    return Case(f"table {size}", Table(size), (x, table, y), bound(model, {"x": x}, answer), answer, most_steps=1)


def quantize(size: int) -> Case:
    """QuantizeLinear."""
    x = np.random.default_rng(1).standard_normal(size, np.float32)
    y, answer = (np.zeros(size, np.uint8) for _ in "ab")
    constants = {"s": scalar(0.03), "z": scalar(120, np.uint8)}
    model = node_model("QuantizeLinear", {"x": x}, constants, y)
    return Case(f"quantize {size}", Quantize(size, 0.03, 120), (x, y), bound(model, {"x": x}, answer), answer)


def dequantize(size: int) -> Case:
    """DequantizeLinear."""
    x, y, answer = random_bytes(size), *(np.zeros(size, np.float32) for _ in "ab")
    constants = {"s": scalar(0.03), "z": scalar(120, np.uint8)}
    model = node_model("DequantizeLinear", {"x": x}, constants, y)
    return Case(f"dequantize {size}", Dequantize(size, 0.03, 120), (x, y), bound(model, {"x": x}, answer), answer)


def transpose(shape: tuple[int, ...], permutation: tuple[int, ...], kind: Any) -> Case:
    """Transpose."""
    x = random_bytes(*shape).astype(kind)
    y, answer = (np.zeros([shape[axis] for axis in permutation], kind) for _ in "ab")
    model = node_model("Transpose", {"x": x}, {}, y, perm=list(permutation))
    step = Transpose(shape, permutation, x.itemsize)
    return Case(f"transpose {shape} {permutation} {x.dtype}", step, (x, y), bound(model, {"x": x}, answer), answer)


def max_pool(size: int, channels: int) -> Case:
    """MaxPool; onnxruntime's has channels first."""
    x = random_bytes(1, size, size, channels)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    step = MaxPool(*x.shape, (3, 3), (2, 2), (1, 1, 1, 1))
    y = np.zeros((1, *step.window.output, channels), np.uint8)
    answer = np.zeros((1, channels, *step.window.output), np.uint8)
    model = node_model("MaxPool", {"x": first}, {}, answer, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    peer = bound(model, {"x": first}, answer)
    return Case(f"max pool {size}x{size}x{channels}", step, (x, y), peer, answer.transpose(0, 2, 3, 1))


def global_average(size: int, channels: int) -> Case:
    """QLinearGlobalAveragePool, channels last."""
    x, y, answer = random_bytes(1, size, size, channels), *(np.zeros((1, 1, 1, channels), np.uint8) for _ in "ab")
    constants = {"sx": scalar(0.02), "zx": scalar(9, np.uint8), "sy": scalar(0.01), "zy": scalar(4, np.uint8)}
    model = node_model("QLinearGlobalAveragePool", {"x": x}, constants, y, domain=MICROSOFT, channels_last=1)
    factor = float(F32(0.02) / (F32(0.01) * F32(size * size)))
    step = GlobalAveragePool(1, size, size, channels, factor, 9, Requantize(4))
    return Case(f"global average {size}x{size}x{channels}", step, (x, y), bound(model, {"x": x}, answer), answer)


def all_cases() -> list[Callable[[], Case]]:
    """Every comparison, to be made when its turn comes."""
    cases: list[Callable[[], Case]] = []
    for size in SIZES:
        cases += [partial(binary, "QLinearAdd", size), partial(binary, "QLinearMul", size), partial(sigmoid, size)]
        cases += [partial(quantize, size), partial(dequantize, size)]
    cases += [
        partial(transpose, (1, 56, 56, 144), (0, 3, 1, 2), np.uint8),
        partial(transpose, (1, 144, 56, 56), (0, 2, 3, 1), np.float32),
        partial(transpose, (1, 128, 12, 32), (0, 2, 1, 3), np.float32),
        partial(transpose, (1, 12, 128, 32), (0, 1, 3, 2), np.float32),
        partial(max_pool, 112, 64),
        partial(global_average, 7, 1280),
    ]
    return cases


@click.command()
@click.option("--time", "seconds", type=float, default=2.0, show_default=True, help="Seconds for each comparison.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_elementwise.json")
def main(seconds: float, out: Path) -> None:
    """Measure everything."""
    run_all(all_cases(), seconds, out)


if __name__ == "__main__":
    main()
