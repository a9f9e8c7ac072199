"""Export torch modules to ONNX, proven equal."""

from edgebig.export.export import export_model
from edgebig.records.export import ExportOptions, ExportRecord

__all__ = ["ExportOptions", "ExportRecord", "export_model"]
