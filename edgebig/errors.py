"""Errors that edgebig raises. A message says what was given, what is allowed, and what to do.

The library raises these; only the command line turns them into text and an exit code.
"""


class EdgebigError(Exception):
    """Base of every error that edgebig raises on purpose."""

    exit_code = 1


class UsageError(EdgebigError):
    """The request itself is wrong: an unknown name, options that exclude each other."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no registry entry has."""


class InvalidModelError(EdgebigError):
    """A model file cannot be read, is not ONNX, or cannot be run."""


class InvalidDataError(EdgebigError):
    """Samples do not fit the model: names, dtypes, shapes, no samples, NaN or infinity."""


class OutputError(EdgebigError):
    """A result cannot be written where it was asked to go."""


class MissingDependencyError(EdgebigError):
    """A Python package of an extra is not installed."""


class QualityGateError(EdgebigError):
    """The work was done, and the result misses a stated quality: parity, loss budget, regression."""

    exit_code = 3
