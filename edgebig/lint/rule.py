"""What a rule is: a check of a graph against a target, and optionally the rewriting that repairs what it found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.lint.context import Context
from edgebig.records.lint import Finding

Check = Callable[[Context], Iterable[Finding]]
"""Looks at a model, and changes nothing."""

Fix = Callable[[ir.Model, Context, frozenset[str]], int]
"""Rewrites a copy of the model at the named places (`label` of their nodes); gives the number of changes."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: Its name in findings.
        check: Finds the places that break it.
        fix: Repairs those that are fixable; None where none is.
        repair: What `fix` does, in words.
        source: Attribute of `Target` whose source states the rule, or the source itself.
        tolerance: Error of an output that the repair may make, over the output's scale; None: rounding alone.
    """

    name: str
    check: Check
    source: str
    fix: Fix | None = None
    repair: str = ""
    tolerance: float | None = None
