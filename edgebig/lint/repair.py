"""Repairing what rules found, one rule after the other, each proven on the same inputs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples
from edgebig.errors import EdgebigError, InvalidModelError
from edgebig.evaluate.proof import Proof
from edgebig.graph.session import Session
from edgebig.lint.context import Context
from edgebig.lint.rule import Rule
from edgebig.lint.rules import RULES, loads
from edgebig.progress import track
from edgebig.records.lint import Repair

Feeds = Samples | list[Feed]


@dataclass
class Repaired:
    """A repaired model.

    Attributes:
        model: The result.
        repairs: What was done.
        left_out: Rule -> why its rewriting was undone.
        uncompared: Why the outputs were not compared; empty where they were.
        feeds: What they were compared on.
    """

    model: ir.Model
    repairs: list[Repair] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    uncompared: str = ""
    feeds: Feeds = field(default_factory=list)


def repair(model: ir.Model, original: ir.Model | Path, context: Context, feeds: Callable[[], Feeds]) -> Repaired:
    """Apply the rewriting of all rules that find something to repair.

    After each the outputs are compared with those before it, both run as written; a rewriting that changes them by more
    than its rule allows is undone. What runs nowhere as it is cannot be compared with; then the result must load.

    Args:
        model: A copy of the model, with constants as initializers; it stays as it is.
        original: The model that counts as right, or its path.
        context: The target, and what goes with it.
        feeds: Gives what both run on; called if anything is to be compared.

    Raises:
        InvalidDataError: The samples do not fit, or no random input runs.
    """
    result = Repaired(model)
    proof: Proof | None = None
    for rule in track(RULES, "repairing"):
        seen = context.of(result.model)
        places = frozenset(found.node for found in rule.check(seen) if found.fixable)
        if rule.fix is None or not places:
            continue
        if proof is None and not result.uncompared:
            proof = _proof(original, feeds, result)
        trial = result.model.clone()
        try:
            count = rule.fix(trial, seen, places)
            TopologicalSortPass()(trial)
            error = _compared(trial, proof, rule)
            _check_loads(seen.of(trial), result)
        except EdgebigError as e:
            result.left_out[rule.name] = str(e)
            continue
        if count:
            result.model = trial
            result.repairs.append(Repair(rule=rule.name, what=rule.repair, count=count, error=error))
            if proof is not None and rule.tolerance is not None:
                proof = Proof(trial, proof.feeds, as_written=True)
    return result


def _check_loads(trial: Context, result: Repaired) -> None:
    """Refuse a rewriting after which the target's runtime, where it is installed, does not load the model.

    Raises:
        InvalidModelError: It does not; a model that never ran may need further repairs first.
    """
    if not result.uncompared:
        for found in loads.check(trial):
            raise InvalidModelError(found.text)


def _proof(original: ir.Model | Path, feeds: Callable[[], Feeds], result: Repaired) -> Proof | None:
    try:
        Session(original, optimize=False)
    except InvalidModelError as e:
        result.uncompared = str(e)
        return None
    result.feeds = feeds()
    return Proof(original, result.feeds, as_written=True)


def _compared(trial: ir.Model, proof: Proof | None, rule: Rule) -> float | None:
    """The largest error of an output; None where there is nothing to compare with.

    Raises:
        InvalidModelError: It is more than the rule allows.
    """
    if proof is None:
        return None
    proof.tolerance = rule.tolerance
    verdict = proof.compare(trial)
    if not verdict.equal:
        raise InvalidModelError(str(verdict))
    return max(verdict.errors.values(), default=0.0)
