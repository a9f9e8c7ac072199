"""Runs ONNX models through onnxruntime, faster: parts of the graph are replaced by Numba kernels.

Importing this package imports neither numba nor onnxruntime.
"""
