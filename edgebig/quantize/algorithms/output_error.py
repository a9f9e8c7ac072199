"""How far a quantized model's outputs are from the float model's, finely enough to tell two algorithms apart.

A share of disagreeing answers moves in steps of one sample, and hardly at all between two good int8 models.
"""

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.evaluate.output_loss import OutputLoss


def output_error(judge: OutputLoss, model: ir.Model) -> float:
    """The relative error of the worst float output: rms(difference) / rms(reference); 0 is equal.

    Args:
        judge: Holds the float model's outputs on samples.
        model: The quantized model.

    Returns:
        The error; infinity where an output holds NaN or infinity that the float model's does not. Of a model without
        float outputs, the judge's own loss.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    for reference, changed in judge.pairs(model):
        for name, expected in reference.items():
            if expected.dtype.kind == "f":
                sums[name] = sums.get(name, np.zeros(2)) + _squares(expected, changed[name])
    errors = [math.sqrt(error / power) if power > 0 else math.sqrt(error) for error, power in sums.values()]
    return float(max(errors)) if errors else judge.of(model)


def _squares(expected: NDArray, found: NDArray) -> NDArray[np.float64]:
    """Sums of the squares of the difference and of the reference, over entries that are finite in the reference."""
    if expected.shape != found.shape:
        return np.array([np.inf, 1.0])
    finite = np.isfinite(expected)
    a, b = expected[finite].astype(np.float64), found[finite].astype(np.float64)
    if not np.isfinite(b).all():
        return np.array([np.inf, 1.0])
    return np.array([np.square(a - b).sum(), np.square(a).sum()])
