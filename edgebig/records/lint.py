"""What `edgebig lint` is asked, and what it found."""

import dataclasses
from enum import Enum
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record


class Severity(Enum):
    """What becomes of a place on the target, the worst first.

    Attributes:
        REFUSED: The target does not take the file.
        NOT_FUSED: It runs, in float or in pieces, where it was meant to run in integers.
        SLOWER: It runs slower than it could.
        LOSES_ACCURACY: The results are worse than they could be.
        NOTE: Worth knowing.
    """

    REFUSED = "refused"
    NOT_FUSED = "not fused"
    SLOWER = "slower"
    LOSES_ACCURACY = "loses accuracy"
    NOTE = "note"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LintOptions:
    """What a model is held against.

    Attributes:
        target: Where it shall run (see `edgebig.targets`).
        runtime_version: Version of the target's runtime that must read the file; None: the newest known.
        fix: Whether to rewrite what can be rewritten without changing results beyond rounding.
        samples: At most this many samples (of arrays) or feeds; None for all.
        seed: Of the random inputs that a rewritten model is compared on where no samples are given.
    """

    target: str = "ort-cpu"
    runtime_version: str | None = None
    fix: bool = False
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples is {self.samples}; it must be at least 1")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative, got {self.seed}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One place that breaks a rule of the target.

    Attributes:
        rule: The rule's name.
        severity: What becomes of the place.
        node: The node's name; for those without one, its operator and output. Empty for what concerns the file.
        op_type: Its operator; empty likewise.
        text: What is there and what the target makes of it; the same words for all places of one kind.
        detail: What is special to this place; may be empty.
        advice: What to do.
        fixable: Whether `--fix` repairs it.
    """

    rule: str
    severity: Severity
    node: str
    op_type: str
    text: str
    detail: str
    advice: str
    fixable: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """What one rule's rewriting did.

    Attributes:
        rule: The rule's name.
        what: What was done, in words.
        count: At how many places.
        error: Largest difference of an output that it made, over the output's scale; None where it was not compared.
    """

    rule: str
    what: str
    count: int
    error: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LintRecord(Record):
    """What was found.

    Attributes:
        model: The file, in words.
        target: The target's name.
        target_description: The target in words.
        runtime: The runtime and the version it was held against; None for the version where none is known.
        runtime_version: See above.
        nodes: Nodes in the file, subgraphs and functions included.
        findings: What is left: all that was found, without what was repaired.
        repairs: What was rewritten.
        left_out: Rule -> why its rewriting was undone.
        data: What original and result were run on: the samples' source, or "random"; empty where nothing was run.
        feeds: How many feeds that were.
        sources: Rule -> where it is stated.
        notes: What else the user should know.
    """

    schema: ClassVar[str] = "edgebig.lint"

    model: str
    target: str
    target_description: str
    runtime: str
    runtime_version: str | None
    nodes: int
    findings: tuple[Finding, ...]
    repairs: tuple[Repair, ...] = ()
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    data: str = ""
    feeds: int = 0
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> int:
        """Findings for which the target does not take the file."""
        return sum(finding.severity is Severity.REFUSED for finding in self.findings)
