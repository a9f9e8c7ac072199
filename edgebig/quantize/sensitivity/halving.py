"""How many feeds each round takes when layers are compared under a limit of cost.

Successive halving: all layers are measured on a few feeds, the more damaging half on as many again, and so on, so
that every round costs about the same and the layers that matter are known best.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS 2016.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        layers: How many layers take part, the most damaging so far.
        feeds: How many feeds each of them has seen after it.
    """

    layers: int
    feeds: int


def halving_rounds(costs: Sequence[float], feeds: int, limit: float) -> list[Round]:
    """Rounds that are expected to stay within a limit of cost, where one feed per layer does.

    Which layers stay is not known before; they are taken to cost as much as the mean. See `affordable`.

    Args:
        costs: Cost of each layer's run over all feeds, in runs of the whole model.
        feeds: How many feeds there are.
        limit: What all rounds may cost together, in runs of the whole model.

    Returns:
        The rounds; the first with all layers. One round with all feeds where that is within the limit. Where even
        one feed per layer exceeds it, that is the only round.
    """
    halvings = math.ceil(math.log2(feeds)) if feeds else 0
    for count in range(halvings + 1):
        rounds = _rounds(len(costs), feeds, count)
        if _expected_cost(rounds, sum(costs) / max(len(costs), 1), feeds) <= limit:
            return rounds
    return [Round(len(costs), min(feeds, 1))]


def affordable(costs: Sequence[float], feeds: int, limit: float) -> int:
    """How many feeds layers of these costs can be run on within a limit.

    Args:
        costs: Cost of each layer's run over all feeds, in runs of the whole model.
        feeds: How many feeds there are.
        limit: What it may cost, in runs of the whole model.
    """
    total = sum(costs)
    return feeds if total <= 0 else min(math.floor(max(limit, 0.0) / total * feeds), feeds)


def _rounds(layers: int, feeds: int, count: int) -> list[Round]:
    """Rounds that begin with feeds / 2^count and end with all feeds."""
    return [
        Round(max(math.ceil(layers / 2**index), 1), max(feeds // 2 ** (count - index), 1)) for index in range(count + 1)
    ]


def _expected_cost(rounds: Sequence[Round], mean: float, feeds: int) -> float:
    total, seen = 0.0, 0
    for entry in rounds:
        total += entry.layers * mean * (entry.feeds - seen) / feeds
        seen = entry.feeds
    return total
