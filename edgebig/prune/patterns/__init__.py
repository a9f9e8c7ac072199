"""Pruning patterns by name. A new pattern is one file and one line here."""

from edgebig.prune.patterns.base import Pattern
from edgebig.prune.patterns.block16x4 import BLOCK16X4
from edgebig.prune.patterns.unstructured import UNSTRUCTURED
from edgebig.registry import Registry

__all__ = ["Pattern", "patterns"]

patterns: Registry[Pattern] = Registry("pruning pattern")
patterns.register("block16x4", BLOCK16X4)
patterns.register("unstructured", UNSTRUCTURED)
