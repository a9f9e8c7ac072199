"""How far a quantized model's outputs are from the float model's, finely enough to tell two algorithms apart.

A share of disagreeing answers moves in steps of one sample, and hardly at all between two good int8 models.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.evaluate.output_loss import OutputLoss

# Of the mean square of the samples.
SMALLEST = 1e-4


def output_error(judge: OutputLoss, model: ir.Model) -> float:
    """The mean over samples of rms(difference) / rms(reference), of the worst float output; 0 is equal.

    Samples lie on axis 0. Squares summed over all samples would be those of the few that any change upsets.

    Args:
        judge: Holds the float model's outputs on samples.
        model: The quantized model.

    Returns:
        The error; infinity where an output holds NaN or infinity that the float model's does not. Of a model without
        float outputs, the judge's own loss.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    for reference, changed in judge.pairs(model):
        for name, expected in reference.items():
            if expected.dtype.kind == "f" and expected.size:
                found.setdefault(name, []).append(_relative_errors(expected, changed[name]))
    errors = [float(np.concatenate(parts).mean()) for parts in found.values()]
    return max(errors) if errors else judge.of(model)


def _relative_errors(expected: NDArray, found: NDArray) -> NDArray[np.float64]:
    """rms(difference) / rms(reference) of every sample, over entries that are finite in the reference."""
    if expected.shape != found.shape:
        return np.array([np.inf])
    finite = np.isfinite(expected)
    if not np.isfinite(found[finite]).all():
        return np.array([np.inf])
    samples = expected.shape[0] if expected.ndim > 1 else 1
    a, b = (np.where(finite, array, 0.0).astype(np.float64).reshape(samples, -1) for array in (expected, found))
    power, error = np.square(a).sum(axis=1), np.square(a - b).sum(axis=1)
    # A sample that is nearly zero is judged by the others' size.
    return np.asarray(np.sqrt(error / np.maximum(np.maximum(power, SMALLEST * power.mean()), 1e-30)), np.float64)
