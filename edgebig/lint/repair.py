"""Repairing what rules found, one rule after the other, each proven on the same inputs."""

from collections.abc import Callable, Sequence
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
ROUNDS = 3


@dataclass
class Repaired:
    """A repaired model.

    Attributes:
        model: The result.
        repairs: What was done.
        left_out: Rule -> why its rewriting was undone.
        uncompared: Why the original's outputs were not compared; empty where they were.
        feeds: What they were compared on.
    """

    model: ir.Model
    repairs: list[Repair] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    uncompared: str = ""
    feeds: Feeds = field(default_factory=list)


def repair(
    model: ir.Model, original: ir.Model | Path, context: Context, feeds: Callable[[ir.Model | Path], Feeds]
) -> Repaired:
    """Apply the rewriting of all rules that find something to repair.

    After each the outputs are compared with the original's, both run as written; a rewriting that changes them by more
    than its rule allows is undone. A model that does not run as it is cannot be compared with; the first repaired form
    that runs takes its place.

    Args:
        model: A copy of the model, with constants as initializers; it stays as it is.
        original: The model that counts as right, or its path.
        context: The target, and what goes with it.
        feeds: Gives what a model and its repaired form run on; called if anything is to be compared.

    Raises:
        InvalidDataError: The samples do not fit, or no random input runs.
    """
    result = Repaired(model)
    work = _Work(result, context, original, feeds)
    rules: Sequence[Rule] = RULES
    for _ in range(ROUNDS):
        done = [work.apply(rule) > 0 for rule in track(rules, "repairing")]
        if not any(done):
            break
        # A repair may uncover what an earlier rule can do; later ones have seen it.
        rules = rules[: len(done) - 1 - done[::-1].index(True)]
    return result


@dataclass
class _Work:
    """What is repaired, and what it is compared with."""

    result: Repaired
    context: Context
    reference: ir.Model | Path
    feeds: Callable[[ir.Model | Path], Feeds]
    proof: Proof | None = None

    def apply(self, rule: Rule) -> int:
        """Apply one rule's rewriting; give how often it changed something."""
        result = self.result
        if rule.fix is None or rule.name in result.left_out:
            return 0
        seen = self.context.of(result.model)
        places = frozenset(found.node for found in rule.check(seen) if found.fixable)
        if not places:
            return 0
        if self.proof is None:
            self.proof = _proof(self.reference, self.feeds, result)
        trial = result.model.clone()
        try:
            count = rule.fix(trial, seen, places)
            _drop_orphans(trial, result.model)
            TopologicalSortPass()(trial)
            error = _compared(trial, self.proof, rule)
            if self.proof is not None:
                _check_loads(seen.of(trial))
        except EdgebigError as e:
            result.left_out[rule.name] = str(e)
            return 0
        if count:
            self._take(rule, trial, count, error)
        return count

    def _take(self, rule: Rule, trial: ir.Model, count: int, error: float | None) -> None:
        self.result.model = trial
        self.result.repairs.append(Repair(rule=rule.name, what=rule.repair, count=count, error=error))
        if self.proof is None:
            self.reference = trial  # one that did not run may do so now
        elif rule.tolerance is not None:
            self.proof = Proof(trial, self.proof.feeds, as_written=True)


def _drop_orphans(trial: ir.Model, before: ir.Model) -> None:
    """Remove the initializers of the top-level graph that lost their last reader."""
    graph, earlier = trial.graph, before.graph.initializers
    for name, value in list(graph.initializers.items()):
        was_read = name not in earlier or earlier[name].uses()
        if was_read and not value.uses() and not value.is_graph_input() and not value.is_graph_output():
            del graph.initializers[name]


def _check_loads(trial: Context) -> None:
    """Refuse a rewriting after which the target's runtime, where it is installed, does not load the model.

    Raises:
        InvalidModelError: It does not.
    """
    for found in loads.check(trial):
        raise InvalidModelError(found.text)


def _proof(original: ir.Model | Path, feeds: Callable[[ir.Model | Path], Feeds], result: Repaired) -> Proof | None:
    try:
        Session(original, optimize=False)
    except InvalidModelError as e:
        result.uncompared = result.uncompared or str(e)
        return None
    result.feeds = feeds(original)
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
