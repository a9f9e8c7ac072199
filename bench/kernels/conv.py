"""Dense convolution with requantisation against onnxruntime's QLinearConv (channels last, its fastest form).

`python bench/kernels/conv.py` measures layers of ResNet-50 and EfficientNet-Lite0. "exact 8 bit" has weights of all
eight bits, whose sums of two products may leave 16 bits: our kernel multiplies them exactly. onnxruntime's saturates
on processors without VNNI, so the activations stay below 128 there for the answers to agree. "7 bit" has weights whose
products never saturate.
"""

from functools import partial
from pathlib import Path

import click
import numpy as np
from interleaved import RESULTS, Case, bound, node_model, run_all

from edgebig.kernels import dots
from edgebig.kernels.dense import Conv
from edgebig.kernels.epilogue import Requantize

# Height and width, channels, filters, kernel, stride.
SHAPES = (
    (56, 64, 64, 3, 1), (56, 64, 256, 1, 1), (56, 256, 64, 1, 1), (56, 256, 256, 1, 1), (28, 128, 128, 3, 1),
    (56, 128, 128, 3, 2), (14, 256, 256, 3, 1), (7, 512, 512, 3, 1), (56, 256, 512, 1, 2), (28, 64, 64, 5, 1),
    (224, 3, 32, 3, 2), (112, 32, 16, 1, 1), (56, 24, 144, 1, 1), (28, 144, 40, 1, 1), (14, 480, 80, 1, 1),
    (7, 192, 1152, 1, 1), (7, 1152, 320, 1, 1),
)  # fmt: skip


def case(size: int, channels: int, filters: int, kernel: int, stride: int, reduced: bool) -> Case:
    """A layer; with weights of 7 bits if `reduced`."""
    rng = np.random.default_rng(size)
    most, largest, pad = (64, 256, kernel // 2) if reduced else (128, 128, kernel // 2)
    weights = rng.integers(-most, most, (filters, channels, kernel, kernel)).astype(np.int8)
    bias = rng.integers(-9999, 9999, filters).astype(np.int32)
    x_scale, y_scale = np.float32(0.02), np.float32(0.03)
    scales = ((rng.random(filters) + 0.5) * 0.02 / np.sqrt(weights[0].size)).astype(np.float32)
    x = rng.integers(0, largest, (1, size, size, channels)).astype(np.uint8)
    step = Conv(
        dots.best(weights).name, 1, size, size, channels, filters, (kernel, kernel), (stride, stride), pads=(pad,) * 4,
        x_zero_point=61, output=Requantize(117),
    )  # fmt: skip
    found = step.constants(weights, bias, x_scale * scales / y_scale)
    y, answer = (np.zeros((1, step.out_height, step.out_width, filters), np.uint8) for _ in range(2))
    constants = {
        "sx": np.array(x_scale), "zx": np.array(61, np.uint8), "w": weights, "sw": scales,
        "zw": np.zeros(filters, np.int8), "sy": np.array(y_scale), "zy": np.array(117, np.uint8), "b": bias,
    }  # fmt: skip
    model = node_model(
        "QLinearConv", {"x": x}, constants, y, domain="com.microsoft", channels_last=1, pads=[pad] * 4,
        strides=[stride] * 2,
    )  # fmt: skip
    name = (
        f"{kernel}x{kernel} stride {stride} {size}x{size} {channels}->{filters} {'7 bit' if reduced else 'exact 8 bit'}"
    )
    return Case(name, step, (x, *found.values(), y), bound(model, {"x": x}, answer), answer)


@click.command()
@click.option("--time", "seconds", type=float, default=2.0, show_default=True, help="Seconds for each layer.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_conv.json")
def main(seconds: float, out: Path) -> None:
    """Measure all layers."""
    run_all([partial(case, *shape, reduced) for shape in SHAPES for reduced in (True, False)], seconds, out)


if __name__ == "__main__":
    main()
