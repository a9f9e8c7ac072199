"""Run a recipe step by step: checked whole before work starts, resumable, with provenance."""

from edgebig.pipeline.compress import compress_model

__all__ = ["compress_model"]
