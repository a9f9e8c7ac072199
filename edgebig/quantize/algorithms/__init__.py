"""Algorithms that make a quantized model more accurate: before ranges are observed, and after."""
