"""Reports for people: one HTML page from what was measured."""

from edgebig.report.html import write_report
from edgebig.report.rows import LayerRow, ModelRow

__all__ = ["LayerRow", "ModelRow", "write_report"]
