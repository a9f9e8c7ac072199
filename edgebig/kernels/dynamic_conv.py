"""A convolution of an image that was quantized at run time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.kernels.dense import Conv
from edgebig.kernels.dynamic_product import OPERANDS, check_dynamic, dynamic_constants, dynamic_run


@dataclass(frozen=True)
class DynamicConv:
    """y = activation(conv(x - zero_point, w - zw) * (scale * multiplier) + bias), f32, of an NHWC image of bytes.

    Scale and zero point are those that `DynamicQuantize` has found. Sums are exact; the rest is in float32. Attributes
    are those of `Conv`.

    Attributes:
        activation: A function of one number of `float_unary.PLAIN`, or "" for none.

    Raises:
        KernelError: The activation is not known, the dot product is one of floats, or what `Conv` refuses.
    """

    dot: str
    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    activation: str = ""
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = OPERANDS

    def __post_init__(self) -> None:
        check_dynamic(self.product, self.activation)

    @property
    def product(self) -> Conv:
        """The same convolution of integers."""
        fields = {name: value for name, value in vars(self).items() if name != "activation"}
        return Conv(**fields, output="f32")

    def constants(
        self,
        weights: NDArray[np.generic],
        bias: NDArray[np.generic] | None,
        multiplier: ArrayLike,
        weight_zero_point: ArrayLike = 0,
    ) -> dict[str, NDArray[Any]]:
        """Arrays for "weights", "column_sums", "bias" and "multiplier"; arguments as `dynamic_constants` has them.

        Raises:
            KernelError: Shapes disagree, or the dot product is not exact for these weights.
        """
        return dynamic_constants(self.product, weights, bias, multiplier, weight_zero_point)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, parameters, weights, column_sums, bias, multiplier, y, task)`.

        Raises:
            KernelError: The processor lacks the dot product.
        """
        return dynamic_run(self.product, self.activation)
