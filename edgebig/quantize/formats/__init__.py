"""Forms in which a quantized model is written."""
