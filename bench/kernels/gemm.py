"""Dense matrix products of bytes against onnxruntime's MatMulInteger and QGemm, and of floats against its MatMul.

`python bench/kernels/gemm.py` measures 1, 8, 64 and 256 rows and three square sizes of weights. Ours with s32 output is
compared with MatMulInteger, ours with bias and requantisation with QGemm. "exact 8 bit" and "7 bit" are as in conv.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS, Case, bound, node_model, run_all

from edgebig.kernels import dots
from edgebig.kernels.dense import matmul
from edgebig.kernels.epilogue import Requantize

ROWS, SIZES = (1, 8, 64, 256), (256, 1024, 4096)


def operands(rows: int, size: int, reduced: bool) -> tuple[Any, Any]:
    """x [rows, size] and weights [columns, size]; with full weights x stays below 128, see conv.py."""
    rng = np.random.default_rng(rows + size)
    most, largest = (64, 256) if reduced else (128, 128)
    weights = rng.integers(-most, most, (size, size)).astype(np.int8)
    return rng.integers(0, largest, (rows, size)).astype(np.uint8), weights


def integer_case(rows: int, size: int, reduced: bool) -> Case:
    """Accumulators against MatMulInteger."""
    x, weights = operands(rows, size, reduced)
    step = matmul(dots.best(weights).name, rows, size, size, output="s32")
    found = step.constants(weights[:, :, None, None], None, 1.0)
    y, answer = (np.zeros((rows, size), np.int32) for _ in range(2))
    model = node_model("MatMulInteger", {"x": x}, {"w": np.ascontiguousarray(weights.T)}, y)
    return Case(
        _name("s32", rows, size, reduced), step, (x, *found.values(), y), bound(model, {"x": x}, answer), answer
    )


def requantised_case(rows: int, size: int, reduced: bool) -> Case:
    """Bias and requantisation against QGemm."""
    x, weights = operands(rows, size, reduced)
    rng = np.random.default_rng(1)
    bias = rng.integers(-9999, 9999, size).astype(np.int32)
    x_scale, y_scale = np.float32(0.02), np.float32(0.03)
    scales = ((rng.random(size) + 0.5) * 0.02 / np.sqrt(size)).astype(np.float32)
    step = matmul(dots.best(weights).name, rows, size, size, x_zero_point=61, output=Requantize(117))
    found = step.constants(weights[:, :, None, None], bias, x_scale * scales / y_scale)
    y, answer = (np.zeros((rows, size), np.uint8) for _ in range(2))
    constants = {
        "sx": np.array(x_scale), "zx": np.array(61, np.uint8), "w": weights, "sw": scales,
        "zw": np.zeros(size, np.int8), "b": bias, "sy": np.array(y_scale), "zy": np.array(117, np.uint8),
    }  # fmt: skip
    model = node_model("QGemm", {"x": x}, constants, y, domain="com.microsoft", transB=1)
    peer = bound(model, {"x": x}, answer)
    # onnxruntime multiplies the scales in another order, so a value next to a half may round the other way.
    return Case(_name("u8", rows, size, reduced), step, (x, *found.values(), y), peer, answer, most_steps=1)


def float_case(rows: int, size: int) -> Case:
    """Floats against MatMul."""
    rng = np.random.default_rng(rows + size)
    x, weights = rng.standard_normal((rows, size), np.float32), rng.standard_normal((size, size), np.float32)
    step = matmul(dots.best(weights).name, rows, size, size, output="f32")
    found = step.constants(weights[:, :, None, None], None, 1.0)
    y, answer = (np.zeros((rows, size), np.float32) for _ in range(2))
    model = node_model("MatMul", {"x": x}, {"w": np.ascontiguousarray(weights.T)}, y)
    return Case(f"f32 {rows} x {size}^2", step, (x, *found.values(), y), bound(model, {"x": x}, answer), answer)


def _name(output: str, rows: int, size: int, reduced: bool) -> str:
    return f"{output} {rows} x {size}^2 {'7 bit' if reduced else 'exact 8 bit'}"


@click.command()
@click.option("--time", "seconds", type=float, default=2.0, show_default=True, help="Seconds for each product.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_gemm.json")
def main(seconds: float, out: Path) -> None:
    """Measure all products."""
    cases: list[Callable[[], Case]] = []
    for size in SIZES:
        for rows in ROWS:
            for reduced in (True, False):
                cases += [partial(integer_case, rows, size, reduced), partial(requantised_case, rows, size, reduced)]
            cases.append(partial(float_case, rows, size))
    run_all(cases, seconds, out)


if __name__ == "__main__":
    main()
