"""The contract of a pass: options in `__init__`, work in `call(model) -> PassResult`, reasons for what was refused.

A pass changes the model in place, reads no files, prints nothing; `modified` is true only if something changed, and
running it again changes nothing.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from edgebig.errors import EdgebigError


@dataclass(frozen=True)
class Skipped:
    """A place that looked right and was left alone.

    Attributes:
        node: The node's name.
        reason: Why, in words.
    """

    node: str
    reason: str


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        model: The model, changed in place.
        modified: Whether anything changed.
        counts: How often each thing was done, by its name.
        skipped: What was left alone, and why.
    """

    model: ir.Model
    modified: bool
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()


class Pass(ABC):
    """A float-preserving change of a graph."""

    @property
    def name(self) -> str:
        """The pass' name in reports: its class name."""
        return type(self).__name__

    @abstractmethod
    def call(self, model: ir.Model) -> PassResult:
        """Change the model in place."""


class PassError(EdgebigError):
    """A pass failed; the message names it, and what ran before.

    Args:
        message: What happened.
        step: The name of the pass that failed.
    """

    def __init__(self, message: str, step: str = "") -> None:
        super().__init__(message)
        self.step = step


Observer = Callable[[Pass, PassResult], None]
"""Called after each pass with what it did; it may raise to end the run."""


def run_passes(
    model: ir.Model, passes: Sequence[Pass], *, rounds: int = 8, observe: Observer | None = None
) -> PassResult:
    """Run the passes in order, round after round, until a whole round changes nothing (or `rounds` are over).

    Args:
        model: The model, changed in place.
        passes: What to run.
        rounds: At most this many rounds.
        observe: Called after each pass.

    Raises:
        PassError: A pass failed.
    """
    counts: Counter[str] = Counter()
    skipped: dict[Skipped, None] = {}
    modified = False
    for _ in range(rounds):
        skipped.clear()  # a place refused at first may have been taken in a later round
        changed = False
        for index, step in enumerate(passes):
            result = _run(step, model, passes[:index])
            if observe is not None:
                observe(step, result)
            counts.update(result.counts)
            skipped.update(dict.fromkeys(result.skipped))
            changed |= result.modified
        modified |= changed
        if not changed:
            break
    return PassResult(model, modified, dict(counts), tuple(skipped))


def _run(step: Pass, model: ir.Model, done: Sequence[Pass]) -> PassResult:
    try:
        return step.call(model)
    except EdgebigError:
        raise
    except Exception as e:  # a pass of a library may raise anything
        before = ", ".join(p.name for p in done) or "nothing"
        raise PassError(f"pass {step.name} failed after {before}: {type(e).__name__}: {e}", step.name) from e
