"""Depthwise convolution against onnxruntime's QLinearConv (channels last, its fastest form) and its float Conv.

`python bench/kernels/depthwise.py` measures the shapes of EfficientNet-Lite0 and of the Fashion MobileNet.
"""

from functools import partial
from pathlib import Path

import click
import numpy as np
from interleaved import RESULTS, Case, bound, node_model, run_all

from edgebig.kernels.depthwise import Depthwise, FloatDepthwise, best_isa
from edgebig.kernels.epilogue import Requantize

# Height and width, channels, kernel, stride.
SHAPES = (
    (112, 32, 3, 1), (112, 96, 3, 2), (56, 144, 3, 1), (56, 144, 5, 2), (28, 240, 5, 1), (28, 240, 3, 2),
    (14, 480, 3, 1), (14, 480, 5, 1), (14, 672, 5, 1), (14, 672, 5, 2), (7, 1152, 5, 1), (7, 1152, 3, 1),
    (28, 64, 3, 1), (28, 64, 3, 2), (14, 128, 3, 1), (14, 128, 3, 2), (7, 256, 3, 1),
)  # fmt: skip
FLOAT_SHAPES = ((112, 32, 3, 1), (28, 240, 5, 1), (14, 128, 3, 1))


def integer_case(size: int, channels: int, kernel: int, stride: int, reduced: bool) -> Case:
    """Bytes; weights of 7 bits if `reduced`, so that no sum of two products can saturate."""
    rng = np.random.default_rng(size)
    most, pad = (64 if reduced else 128), kernel // 2
    weights = rng.integers(-most, most, (channels, 1, kernel, kernel)).astype(np.int8)
    bias = rng.integers(-9999, 9999, channels).astype(np.int32)
    x_scale, y_scale = np.float32(0.02), np.float32(0.03)
    scales = (rng.random(channels) * 0.002 + 0.001).astype(np.float32)
    x = rng.integers(0, 256, (1, size, size, channels), np.uint8)
    step = Depthwise(
        best_isa(weights, (stride, stride)), 1, size, size, channels, (kernel, kernel), (stride, stride),
        pads=(pad,) * 4, x_zero_point=121, output=Requantize(117),
    )  # fmt: skip
    found = step.constants(weights, bias, x_scale * scales / y_scale)
    y, answer = (np.zeros((1, *step.plan.window.output, channels), np.uint8) for _ in range(2))
    constants = {
        "sx": np.array(x_scale), "zx": np.array(121, np.uint8), "w": weights.copy(), "sw": scales,
        "zw": np.zeros(channels, np.int8), "sy": np.array(y_scale), "zy": np.array(117, np.uint8), "b": bias,
    }  # fmt: skip
    model = node_model(
        "QLinearConv", {"x": x}, constants, y, domain="com.microsoft", channels_last=1, group=channels,
        pads=[pad] * 4, strides=[stride] * 2,
    )  # fmt: skip
    name = f"{kernel}x{kernel} stride {stride} {size}x{size}x{channels}{' 7 bit' if reduced else ''}"
    return Case(name, step, (x, *found.values(), y), bound(model, {"x": x}, answer), answer)


def float_case(size: int, channels: int, kernel: int, stride: int) -> Case:
    """Floats; ours has channels last, onnxruntime's channels first, so the answer is transposed once to compare."""
    rng = np.random.default_rng(size)
    pad = kernel // 2
    weights = rng.standard_normal((channels, 1, kernel, kernel), np.float32)
    bias, x = rng.standard_normal(channels, np.float32), rng.standard_normal((1, size, size, channels), np.float32)
    shape = (1, size, size, channels, (kernel, kernel), (stride, stride))
    step = FloatDepthwise(best_isa(weights), *shape, pads=(pad,) * 4)
    found = step.constants(weights, bias)
    y = np.zeros((1, *step.plan.window.output, channels), np.float32)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    answer = np.zeros(y.transpose(0, 3, 1, 2).shape, np.float32)
    constants = {"w": weights, "b": bias}
    model = node_model("Conv", {"x": first}, constants, answer, group=channels, pads=[pad] * 4, strides=[stride] * 2)
    name = f"f32 {kernel}x{kernel} stride {stride} {size}x{size}x{channels}"
    return Case(name, step, (x, *found.values(), y), bound(model, {"x": first}, answer), answer.transpose(0, 2, 3, 1))


@click.command()
@click.option("--time", "seconds", type=float, default=2.0, show_default=True, help="Seconds for each shape.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_depthwise.json")
def main(seconds: float, out: Path) -> None:
    """Measure all shapes."""
    cases = [partial(integer_case, *shape, reduced) for shape in SHAPES for reduced in (False, True)]
    run_all([*cases, *(partial(float_case, *shape) for shape in FLOAT_SHAPES)], seconds, out)


if __name__ == "__main__":
    main()
