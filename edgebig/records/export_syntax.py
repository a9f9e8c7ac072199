"""How export's options are written: inputs, dynamic axes, sizes. Read here, so that options are checked early."""

import dataclasses
import re

from edgebig.errors import UsageError

DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

_NAME = re.compile(r"[A-Za-z_][\w.]*")


@dataclasses.dataclass(frozen=True)
class InputRequest:
    """An input as the user describes it.

    Attributes:
        name: Its name.
        dtype: The name of its NumPy dtype.
        shape: A size per axis; None where it is dynamic.
        low: The smallest random value; None leaves it to the dtype.
        high: The largest random value (included where it is whole).
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class AxisRequest:
    """An axis that the model shall take at any size.

    Attributes:
        input: The input's name.
        axis: Its index; negative ones count from the last axis.
        name: What the axis is called; axes of one name have one size.
    """

    input: str
    axis: int
    name: str


def parse_input(text: str) -> InputRequest:
    """Read `NAME:DTYPE:2x3x?` or `NAME:DTYPE:2x3x?:LOW..HIGH`; `?` is a dynamic axis, an empty shape a scalar.

    Raises:
        UsageError: Another form, an unknown dtype, a size below 1, or an empty range.
    """
    parts = text.split(":")
    form = f"input {text!r} must be NAME:DTYPE:SHAPE, e.g. image:float32:?x3x224x224 or ids:int64:?x?:0..30521"
    if len(parts) not in (3, 4) or not _NAME.fullmatch(parts[0]):
        raise UsageError(form)
    name, dtype, sizes = parts[:3]
    if dtype not in DTYPES:
        raise UsageError(f"input {text!r}: unknown dtype {dtype!r}. Known: {', '.join(DTYPES)}.")
    tokens = sizes.split("x") if sizes else []
    if not all(token == "?" or re.fullmatch(r"[1-9]\d*", token) for token in tokens):
        raise UsageError(f"{form}: each size a whole number from 1, or ?")
    shape = tuple(None if token == "?" else int(token) for token in tokens)
    low, high = _parse_range(parts[3], form) if len(parts) == 4 else (None, None)
    return InputRequest(name, dtype, shape, low, high)


def parse_axis(text: str) -> AxisRequest:
    """Read `INPUT:AXIS=NAME`.

    Raises:
        UsageError: Another form.
    """
    match = re.fullmatch(rf"({_NAME.pattern}):(-?\d+)=([A-Za-z_]\w*)", text)
    if match is None:
        raise UsageError(f"dynamic axis {text!r} must be INPUT:AXIS=NAME, e.g. image:0=batch")
    return AxisRequest(match[1], int(match[2]), match[3])


def parse_sizes(text: str) -> tuple[str, tuple[int, ...]]:
    """Read `AXIS=1,2,8`.

    Raises:
        UsageError: Another form, or a size below 1.
    """
    match = re.fullmatch(r"([A-Za-z_]\w*)=([1-9]\d*(?:,[1-9]\d*)*)", text)
    if match is None:
        raise UsageError(f"sizes {text!r} must be AXIS=N,N,..., e.g. batch=1,2,8 (whole numbers from 1)")
    return match[1], tuple(int(size) for size in match[2].split(","))


def _parse_range(text: str, form: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        bounds = float(low), float(high)
    except ValueError:
        raise UsageError(f"{form}: the range {text!r} must be LOW..HIGH") from None
    if not dots or not bounds[0] <= bounds[1]:
        raise UsageError(f"{form}: the range {text!r} must be LOW..HIGH with LOW not above HIGH")
    return bounds
