"""The numbers that stored integers can be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.diagnose.carriers import Params
from edgebig.graph.edit import constant_array

_LIMITS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "UINT16": (0, 65535)}
_LIMITS |= {"INT4": (-8, 7), "UINT4": (0, 15), "INT32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True)
class Grid:
    """The evenly spaced numbers of stored integers with one scale.

    Attributes:
        low: The smallest.
        high: The largest.
        scale: The step between them.
    """

    low: float
    high: float
    scale: float

    @property
    def span(self) -> float:
        """Width from the smallest to the largest."""
        return self.high - self.low

    def rounded(self, array: NDArray) -> NDArray:
        """Numbers as the stored integers hold them, in float64."""
        limited = np.clip(array, self.low, self.high, dtype=np.float64)
        return np.rint(limited / self.scale) * self.scale


def scale_and_point(params: Params | None) -> tuple[NDArray, NDArray] | None:
    """Scale and zero point as arrays; None where they are computed, or there are none."""
    scale = constant_array(params.scale) if params is not None else None
    if params is None or scale is None:
        return None
    point = constant_array(params.zero_point)
    if params.zero_point is not None and point is None:
        return None
    return np.asarray(scale, np.float64), np.zeros((), np.int64) if point is None else np.asarray(point, np.int64)


def integer_limits(params: Params) -> tuple[int, int]:
    """Smallest and largest stored integer."""
    tensor = params.zero_point.const_value if params.zero_point is not None else None
    return _LIMITS.get("UINT8" if tensor is None else tensor.dtype.name, (0, 255))


def grid_of(params: Params | None) -> Grid | None:
    """The numbers of a tensor's integers; None where not quantized, or not with one constant scale above 0."""
    found = scale_and_point(params)
    if found is None or params is None or found[0].size != 1:
        return None
    scale, point = float(found[0].item()), int(found[1].reshape(-1)[0])
    if not (scale > 0 and np.isfinite(scale)):
        return None
    low, high = integer_limits(params)
    return Grid((low - point) * scale, (high - point) * scale, scale)
