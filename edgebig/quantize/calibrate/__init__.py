"""Ranges of activations: streaming statistics, and methods that choose a range from them.

A new method is one file with a `RangeMethod`, and one line here.
"""

from dataclasses import dataclass
from typing import Protocol

from edgebig.errors import UsageError
from edgebig.quantize.calibrate.entropy import entropy
from edgebig.quantize.calibrate.minmax import minmax
from edgebig.quantize.calibrate.mse import mse
from edgebig.quantize.calibrate.percentile import Percentile
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.registry import Registry

__all__ = ["CalibrationMethod", "RangeMethod", "TensorStatistics", "calibration_method", "calibration_methods"]


class RangeMethod(Protocol):
    """Chooses the range of a tensor."""

    def __call__(self, statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
        """Choose.

        Args:
            statistics: Of the tensor, at least one value seen.
            low: Values below it need not be told apart from it (minus infinity where all must).
            high: Values above it need not be told apart from it (infinity where all must).
            levels: Steps between the smallest and the largest integer, e.g. 255.

        Returns:
            The smallest and the largest value to be represented; 0 is included later.
        """
        ...


@dataclass(frozen=True)
class CalibrationMethod:
    """A range method, and what it needs.

    Attributes:
        choose: The method.
        needs_histogram: Whether the extremes are not enough.
    """

    choose: RangeMethod
    needs_histogram: bool


calibration_methods: Registry[CalibrationMethod] = Registry("calibration method")
calibration_methods.register("minmax", CalibrationMethod(minmax, needs_histogram=False))
calibration_methods.register("percentile", CalibrationMethod(Percentile(), needs_histogram=True))
calibration_methods.register("entropy", CalibrationMethod(entropy, needs_histogram=True))
calibration_methods.register("mse", CalibrationMethod(mse, needs_histogram=True))


def calibration_method(name: str) -> CalibrationMethod:
    """A method by its name; "percentile:99.9" is a percentile other than the default.

    Raises:
        UnknownNameError: No such method.
        UsageError: The percentile is no number, or out of bounds.
    """
    method, colon, option = name.partition(":")
    if not colon or method != "percentile":
        return calibration_methods.get(name)
    try:
        return CalibrationMethod(Percentile(float(option)), needs_histogram=True)
    except ValueError as e:
        raise UsageError(f"calibration {name!r}: {option!r} is no number. Write e.g. percentile:99.99.") from e
