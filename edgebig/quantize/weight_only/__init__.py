"""Weights in 4 or 8 bits, activations in float: smaller files, and faster where reading weights takes the time."""

from edgebig.quantize.weight_only.quantize import quantize_weights
from edgebig.quantize.weight_only.settings import WeightOnlySettings
from edgebig.quantize.weight_only.write import candidates, required_opset, write_weight_only

__all__ = ["WeightOnlySettings", "candidates", "quantize_weights", "required_opset", "write_weight_only"]
