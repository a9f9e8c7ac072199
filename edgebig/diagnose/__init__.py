"""Diagnosis of quantized models: which layer goes wrong, why, and what repairs it."""

from edgebig.diagnose.model import diagnose_models
from edgebig.records.diagnose import DiagnoseOptions, DiagnoseRecord

__all__ = ["DiagnoseOptions", "DiagnoseRecord", "diagnose_models"]
