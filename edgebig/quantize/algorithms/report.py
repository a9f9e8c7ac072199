"""What an accuracy algorithm did, and what it was worth."""

from edgebig.records.quantize import AlgorithmReport

__all__ = ["AlgorithmReport"]
