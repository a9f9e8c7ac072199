"""Targets by name. A new target is one file and one line here."""

from collections.abc import Callable

from edgebig.registry import Registry
from edgebig.targets.base import Target
from edgebig.targets.ort_cpu import ort_cpu

__all__ = ["Target", "targets"]

# Built on use: a target may look at the machine it runs on.
targets: Registry[Callable[[], Target]] = Registry("target")
targets.register("ort-cpu", ort_cpu)
