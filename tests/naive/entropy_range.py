"""Oracle of the entropy method: the divergence of one range, term by term."""

import math
from collections.abc import Sequence


def divergence(counts: Sequence[float], first: int, end: int, groups: int, smooth: float = 1e-4) -> float:
    """Kullback-Leibler divergence, in nats, of what is left of a histogram when bins [first, end) become groups."""
    p = list(counts[first:end])
    sliced = list(p)
    p[0] += sum(counts[:first])
    p[-1] += sum(counts[end:])
    q = [0.0] * len(p)
    for group in range(groups):
        members = range(group * len(p) // groups, (group + 1) * len(p) // groups)
        held = [i for i in members if p[i] > 0]
        for i in held:
            q[i] = max(sum(sliced[j] for j in members) / len(held), smooth)
    all_p, all_q = sum(p), sum(sliced)
    return sum(x / all_p * math.log((x / all_p) / (y / all_q)) for x, y in zip(p, q, strict=True) if x > 0)
