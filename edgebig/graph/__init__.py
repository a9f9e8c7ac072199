"""The ONNX graph: load, save, look at, edit, run. The representation is onnx_ir's, with weights left on disk."""
