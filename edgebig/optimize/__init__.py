"""Float-preserving clean-up of a graph: one pass per file, and the proof that outputs stay the same."""

from edgebig.optimize.model import optimize_model

__all__ = ["optimize_model"]
