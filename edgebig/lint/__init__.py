"""Lint: what a target refuses, does not fuse, or slows down in a model, node by node, and the repair."""

from edgebig.lint.model import lint_model

__all__ = ["lint_model"]
