"""Pruning: weights become zero in a pattern, the kept ones are fitted to samples so that the outputs stay."""

from edgebig.prune.model import prune_model

__all__ = ["prune_model"]
