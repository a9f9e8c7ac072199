"""Run the passes on a copy; when the outputs change, find the pass that did it and leave it out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from edgebig.errors import EdgebigError, QualityGateError
from edgebig.evaluate.proof import Proof, Verdict
from edgebig.graph.edit import working_copy
from edgebig.optimize.steps import Steps
from edgebig.passes.base import Observer, Pass, PassError, PassResult, run_passes

ROUNDS = 8


@dataclass
class Trial:
    """One run of the passes.

    Attributes:
        model: The result.
        counts: Pass -> what it did, over all rounds.
        skipped: Pass -> what it refused in its last round.
    """

    model: ir.Model
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    skipped: dict[str, Sequence[str]] = field(default_factory=dict)

    def note(self, step: Pass, result: PassResult) -> None:
        """Remember what a pass did."""
        self.counts.setdefault(step.name, Counter()).update(result.counts)
        self.skipped[step.name] = [f"{place.node}: {place.reason}" for place in result.skipped]


class _OutputsChangedError(EdgebigError):
    """Ends a run at the pass that changed the outputs."""

    def __init__(self, step: str, verdict: Verdict) -> None:
        super().__init__(str(verdict))
        self.step = step


def optimized(original: ir.Model, steps: Steps, proof: Proof) -> tuple[Trial, Verdict, dict[str, str]]:
    """Run the passes, leaving out those that fail or change the outputs.

    Args:
        original: The model; it stays as it is.
        steps: The passes.
        proof: Compares a model with the original.

    Returns:
        The run, how its outputs compare (equal), and why passes were left out, by name.

    Raises:
        QualityGateError: The outputs differ even without any pass.
    """
    left_out: dict[str, str] = {}
    while True:
        remaining = steps.without(list(left_out))
        try:
            trial = run_steps(original, remaining, None)
        except PassError as e:
            left_out[e.step] = str(e)
            continue
        verdict = proof.compare(trial.model)
        if verdict.equal:
            return trial, verdict, left_out
        culprit = _find_culprit(original, remaining, proof)
        if culprit is None:
            raise QualityGateError(
                f"the outputs differ although nothing was changed ({verdict}). If the model draws random numbers, "
                f"its outputs cannot be compared; else give samples with --data that fit it."
            )
        left_out[culprit.step] = str(culprit)


def run_steps(original: ir.Model, steps: Steps, proof: Proof | None) -> Trial:
    """Run all passes on a copy of the model.

    Args:
        original: The model; it stays as it is.
        steps: The passes.
        proof: Where given, compared after every pass that changed something.
    """
    trial = Trial(working_copy(original))

    def observe(step: Pass, result: PassResult) -> None:
        trial.note(step, result)
        if proof is not None and result.modified and not (verdict := proof.compare(trial.model)).equal:
            raise _OutputsChangedError(step.name, verdict)

    _run_groups(trial.model, steps, observe)
    return trial


def _run_groups(model: ir.Model, steps: Steps, observe: Observer) -> None:
    run_passes(model, steps.first, rounds=1, observe=observe)
    run_passes(model, steps.repeated, rounds=ROUNDS, observe=observe)
    run_passes(model, steps.last, rounds=1, observe=observe)


def _find_culprit(original: ir.Model, steps: Steps, proof: Proof) -> _OutputsChangedError | None:
    try:
        run_steps(original, steps, proof)
    except _OutputsChangedError as e:
        return e
    return None
