"""Small float models, quantized by onnxruntime's own tool."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tests.runtime.models import finish

IMAGE = (2, 3, 12, 12)
ROW = (4, 32)


def residual_net(seed: int = 0) -> onnx.ModelProto:
    """Convolutions (3x3, strided, depthwise, 1x1), a residual sum, pools, and a Gemm: `x` [2, 3, 12, 12]."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], {}

    def conv(x: str, name: str, filters: int, channels: int, size: int, **attributes: Any) -> str:
        spread = np.sqrt(2 / (channels * size * size))
        constants[f"{name}_w"] = (rng.standard_normal((filters, channels, size, size)) * spread).astype(np.float32)
        constants[f"{name}_b"] = (rng.standard_normal(filters) * 0.1).astype(np.float32)
        inputs = [x, f"{name}_w", f"{name}_b"]
        nodes.append(helper.make_node("Conv", inputs, [name], name=name, pads=[size // 2] * 4, **attributes))
        return name

    def relu(x: str) -> str:
        nodes.append(helper.make_node("Relu", [x], [f"{x}_relu"], name=f"{x}_relu"))
        return f"{x}_relu"

    stem = relu(conv("x", "stem", 16, 3, 3, strides=[2, 2]))
    deep = relu(conv(stem, "depthwise", 16, 1, 3, group=16))
    back = conv(deep, "pointwise", 16, 16, 1)
    nodes.append(helper.make_node("Add", [stem, back], ["sum"], name="sum"))
    wide = relu(conv(relu("sum"), "wide", 24, 16, 3))
    nodes.append(helper.make_node("MaxPool", [wide], ["max"], name="max", kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(helper.make_node("GlobalAveragePool", ["max"], ["mean"], name="mean"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"], name="flat"))
    constants["head_w"] = (rng.standard_normal((10, 24)) * 0.3).astype(np.float32)
    constants["head_b"] = rng.standard_normal(10).astype(np.float32)
    nodes.append(helper.make_node("Gemm", ["flat", "head_w", "head_b"], ["y"], name="head", transB=1))
    return finish(nodes, constants, [("x", list(IMAGE))], [("y", [IMAGE[0], 10])], name="residual_net")


def gated_mlp(seed: int = 0) -> onnx.ModelProto:
    """Two branches multiplied, and a sum: `x` [4, 32]."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], {}

    def dense(x: str, name: str, rows: int, columns: int) -> str:
        constants[f"{name}_w"] = (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
        constants[f"{name}_b"] = (rng.standard_normal(columns) * 0.1).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [x, f"{name}_w"], [f"{name}_p"], name=name))
        nodes.append(helper.make_node("Add", [f"{name}_p", f"{name}_b"], [f"{name}_o"], name=f"{name}_bias"))
        return f"{name}_o"

    nodes.append(helper.make_node("Sigmoid", [dense("x", "gate", 32, 48)], ["gates"], name="sigmoid"))
    nodes.append(helper.make_node("Mul", [dense("x", "up", 32, 48), "gates"], ["gated"], name="product"))
    nodes.append(helper.make_node("Add", [dense("gated", "down", 48, 32), "x"], ["y"], name="sum"))
    return finish(nodes, constants, [("x", list(ROW))], [("y", list(ROW))], name="gated_mlp")


NETS = {"residual": (residual_net, IMAGE), "gated": (gated_mlp, ROW)}


class Calibration(CalibrationDataReader):
    """Eight feeds of normal noise."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(7)
        self._feeds = iter([{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict[str, NDArray] | None:  # type: ignore[override]
        """The next feed."""
        return next(self._feeds, None)


def quantize(net: str, folder: Path, **options: Any) -> onnx.ModelProto:
    """Quantize one of `NETS`; options are those of `quantize_static`."""
    make, shape = NETS[net]
    paths = [folder / name for name in ("float.onnx", "ready.onnx", "int8.onnx")]
    onnx.save(make(), paths[0])
    quant_pre_process(str(paths[0]), str(paths[1]))
    quantize_static(str(paths[1]), str(paths[2]), Calibration(shape), **options)
    return onnx.load(paths[2])


def settings() -> dict[str, dict[str, Any]]:
    """Formats, types and granularities that the tool offers.

    Weights that are stored as int8 get 7 bits: with 8, onnxruntime's sums of pairs saturate on x86 without VNNI, and
    its answers are off. (In the QOperator format the tool stores weights per channel as int8 even where it is asked for
    uint8.)
    """
    u8, s8 = QuantType.QUInt8, QuantType.QInt8
    types = {"U8S8": (u8, s8), "U8U8": (u8, u8), "S8S8": (s8, s8)}
    formats = {"QDQ": QuantFormat.QDQ, "QOperator": QuantFormat.QOperator}
    return {
        f"{form} {kind} {'per channel' if per_channel else 'per tensor'}": {
            "quant_format": formats[form],
            "per_channel": per_channel,
            "activation_type": types[kind][0],
            "weight_type": types[kind][1],
            "reduce_range": kind != "U8U8" or (form == "QOperator" and per_channel),
        }
        for form in formats
        for kind in types
        for per_channel in (False, True)
    }
