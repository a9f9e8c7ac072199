"""What a user should know before the work, or with its result."""

from collections.abc import Sequence

from edgebig.prune.patterns import patterns
from edgebig.records.prune import PruneOptions
from edgebig.targets import targets


def gain_warning(pattern: str, target: str) -> str | None:
    """Why pruning with this pattern will not make the model faster on the target; None where it will.

    Raises:
        UnknownNameError: No such pattern or target.
    """
    patterns.get(pattern)
    rules = targets.get(target)()
    if pattern in rules.pattern_gains:
        return None
    faster = [name for name in rules.pattern_gains if name in patterns]
    instead = f" Patterns that do: {', '.join(faster)}." if faster else ""
    return (
        f"pattern {pattern} will not make the model faster on {rules.name} ({rules.description}): it multiplies by "
        f"zeros like by any number. Zeros only make the compressed file smaller.{instead}"
    )


def result_warnings(
    options: PruneOptions, *, asked: float, reached: float, held_out: int, same_samples: bool, rough: Sequence[str]
) -> list[str]:
    """What to know of a result.

    Args:
        options: What was asked.
        asked: The sparsity asked of the result.
        reached: What came out.
        held_out: Samples that the loss was measured on.
        same_samples: Whether these are the ones it was fitted to.
        rough: Layers that were fitted to fewer rows than they have inputs.
    """
    found = []
    if reached < asked - 0.01:
        found.append(f"only {reached:.1%} of {asked:.1%} could be pruned: every layer keeps some of its blocks")
    if same_samples and options.task is None:
        found.append("there is one feed only: the loss was measured on the samples that the weights were fitted to")
    if options.max_loss and options.task is None and held_out * options.max_loss < 2:
        found.append(
            f"{held_out} held-out samples cannot resolve a loss of {options.max_loss} (one sample is "
            f"{1 / max(held_out, 1):.2g}); give more samples, or a task"
        )
    if rough:
        named = ", ".join(rough[:3]) + (f" and {len(rough) - 3} more" if len(rough) > 3 else "")
        found.append(f"fewer positions than inputs were seen in {named}: the fit leans on the original weights there")
    return found
