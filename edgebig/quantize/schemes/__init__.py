"""Schemes: what of a model becomes integers, and when. A new one is one file with a `Scheme`, and one line here."""

from collections.abc import Callable

from edgebig.quantize.draft import Draft
from edgebig.quantize.job import Job
from edgebig.quantize.schemes.auto import auto
from edgebig.quantize.schemes.dynamic import dynamic
from edgebig.quantize.schemes.half import half
from edgebig.quantize.schemes.static import static
from edgebig.quantize.schemes.weight_only import int4_weight, int8_weight
from edgebig.registry import Registry

__all__ = ["Scheme", "schemes"]

Scheme = Callable[[Job], Draft]
"""Makes a quantized model.

Raises:
    InvalidModelError: Nothing in the model can be quantized so.
    InvalidDataError: The samples do not fit.
    UsageError: It needs samples, and there are none.
"""

schemes: Registry[Scheme] = Registry("scheme")
schemes.register("auto", auto)
schemes.register("int8", static)
schemes.register("int8-dynamic", dynamic)
schemes.register("int8-weight", int8_weight)
schemes.register("int4-weight", int4_weight)
schemes.register("fp16", half)
