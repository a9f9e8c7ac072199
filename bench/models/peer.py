"""The named peer: onnxruntime's own quantizers, with the settings that run fastest on this processor."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgebig.data.samples import Samples
from edgebig.targets import targets

NAME = "onnxruntime quantize_static, QDQ, U8S8, per channel, MinMax"


class Reader(CalibrationDataReader):
    """Hands samples to onnxruntime's calibrator."""

    def __init__(self, samples: Samples) -> None:
        self.feeds: Iterator[dict[str, np.ndarray]] = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantize(model: Path, samples: Samples, output: Path) -> None:
    """Quantize a float model as the peer's own guide says: pre-process, then static QDQ.

    Weights get 7 bits where the processor's U8S8 products would saturate, as for ours.
    """
    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared)
    quantize_static(
        prepared,
        output,
        Reader(samples),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=targets.get("ort-cpu")().weight_bits == 7,
        calibrate_method=CalibrationMethod.MinMax,
    )
    prepared.unlink()


def quantize_dynamically(model: Path, output: Path) -> None:
    """Quantize a float model's weights, activations as they come, as the peer's own guide says."""
    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared)
    quantize_dynamic(prepared, output, weight_type=QuantType.QInt8)
    prepared.unlink()
