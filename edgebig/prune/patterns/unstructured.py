"""Every weight for itself: the least loss at a sparsity, and nothing gained but the size of a compressed file."""

from edgebig.prune.patterns.base import Pattern, refuse_depthwise

UNSTRUCTURED = Pattern("unstructured", "single weights", 1, 1, refuse_depthwise)
