"""Float16 weights and arithmetic, with float32 where float16 loses: half the size, for GPUs."""

from edgebig.quantize.half.convert import convert_to_half
from edgebig.quantize.half.modes import candidates
from edgebig.quantize.half.write import write_half

__all__ = ["candidates", "convert_to_half", "write_half"]
