"""What all steps of one pruning run share."""

from dataclasses import dataclass

from edgebig.prune.goals import Goals
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import Method

# A band keeps at least this share of its blocks; less where so much sparsity is asked that it could not be reached.
FLOOR = 0.1


@dataclass(frozen=True)
class Setting:
    """What all steps of one pruning run share.

    Attributes:
        pattern: The pattern.
        method: Ranks blocks.
        goals: What the layers should give, and the samples to fit to.
        floor: Share of a band's blocks that stay at the highest sparsity that is tried.
        budget: What the sparsity counts: "weights" or "macs".
        compensate: Whether the kept weights are fitted.
    """

    pattern: Pattern
    method: Method
    goals: Goals
    floor: float
    budget: str
    compensate: bool


def floor_for(sparsity: float) -> float:
    """The share of a band's blocks that stay at a sparsity."""
    return min(FLOOR, (1.0 - sparsity) / 2)
