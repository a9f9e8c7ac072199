"""Quantization: weights and activations in integers, as the target runs them."""

from edgebig.quantize.model import quantize_model

__all__ = ["quantize_model"]
