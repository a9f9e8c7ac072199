"""Tensors of a segment while it is lowered: what they are, and where they already lie.

Nothing is computed until something needs it, and then in the layout it needs: a transpose is a different reading of
the same memory, a quantized tensor seen through a unary function is a table of 256 entries.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgebig.runtime.plan import Element, View


@dataclass(eq=False)
class Tensor:
    """A tensor of the segment.

    Attributes:
        name: In the model.
        element: "u8" for quantized tensors (int8 ones are held with 128 added), "f32" for float.
        shape: Its sizes.
        views: Where it lies already.
        source: How to make it while it lies nowhere.
    """

    name: str
    element: Element
    shape: tuple[int, ...]
    views: list[View] = field(default_factory=list)
    source: "Lookup | Parameter | Quantization | Reshaped | Scores | Sliced | Sum | Transposed | None" = None


@dataclass(frozen=True, eq=False)
class Affine:
    """real = (q - zero_point) * scale.

    Attributes:
        scale: What a step is worth.
        zero_point: The uint8 value that stands for 0.
        signed: The graph holds the tensor as int8; here it is held with 128 added, and so is the zero point.
    """

    scale: np.float32
    zero_point: int
    signed: bool = False


@dataclass(frozen=True, eq=False)
class Lookup:
    """A function of a quantized tensor.

    Attributes:
        of: The quantized tensor.
        table: Its values at 0 .. 255: float32, or uint8.
        affine: Set where the table is nothing but this.
    """

    of: Tensor
    table: NDArray
    affine: Affine | None = None


@dataclass(frozen=True, eq=False)
class Quantization:
    """clip(rint(x / scale) + zero_point, 0, 255) of a float tensor."""

    of: Tensor
    affine: Affine
    low: int = 0
    high: int = 255


@dataclass(frozen=True, eq=False)
class Reshaped:
    """The same elements in the same order, in another shape."""

    of: Tensor


@dataclass(frozen=True, eq=False)
class Transposed:
    """Axis i is the other's axis permutation[i]."""

    of: Tensor
    permutation: tuple[int, ...]


def affine_table(affine: Affine) -> NDArray:
    """float32 [256]: what each quantized value stands for."""
    return (np.arange(256, dtype=np.float32) - np.float32(affine.zero_point)) * affine.scale


def quantized(values: NDArray, affine: Affine, low: int = 0, high: int = 255) -> NDArray:
    """uint8: float32 values as QuantizeLinear writes them."""
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.rint(values.astype(np.float32) / affine.scale) + np.float32(affine.zero_point)
    return np.clip(np.nan_to_num(steps, nan=0.0), low, high).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Scores:
    """softmax(a @ b * scale * factor + mask) of attention, as far as it has come, for the product that follows.

    Attributes:
        a: Queries [..., rows, dim].
        b: Keys, transposed: [..., dim, columns].
        scale: What products are multiplied with.
        product: How they are then rounded to 8 bits, and taken back to real numbers.
        factor: What they are multiplied with after that.
        scaled: How they are rounded then.
        mask: What is added then.
        masked: How sums are rounded.
        softmax: Whether the softmax over the last axis is taken.
        probabilities: How its results are rounded.
    """

    a: Tensor
    b: Tensor
    scale: float = 1.0
    product: Affine | None = None
    factor: float = 1.0
    scaled: Affine | None = None
    mask: Tensor | None = None
    masked: Affine | None = None
    softmax: bool = False
    probabilities: Affine | None = None

    def rounded(self, affine: Affine) -> "Scores | None":
        """These scores rounded once more; None where that cannot be said."""
        if self.softmax:
            return replace(self, probabilities=affine) if self.probabilities is None else None
        if self.mask is None and self.product is None:
            return replace(self, product=affine)
        if self.mask is None and self.scaled is None:
            return replace(self, scaled=affine)
        return replace(self, masked=affine) if self.masked is None else None

    def times(self, factor: float) -> "Scores | None":
        """These scores multiplied with a number; None where that cannot be said."""
        if self.softmax or self.mask is not None or self.masked is not None or self.scaled is not None:
            return None
        if self.product is not None:
            return replace(self, factor=self.factor * factor)
        return replace(self, scale=self.scale * factor)


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of two float tensors of the same shape, for a normalisation that adds by itself."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True, eq=False)
class Sliced:
    """Neighbouring entries of one axis, from `start` on; as many as the tensor's own shape says."""

    of: Tensor
    axis: int
    start: int


@dataclass(frozen=True, eq=False)
class Parameter:
    """The scale or zero point of a tensor quantized at run time.

    Attributes:
        of: The quantized tensor.
        parameters: Where its scale (f32) and zero point (s32) lie.
        offset: Of this one of them: 0 or 4 bytes.
        factor: A constant that it is multiplied with.
    """

    of: Tensor
    parameters: View
    offset: int
    factor: NDArray | None = None
