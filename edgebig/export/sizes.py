"""The sizes of dynamic axes at which a model is verified."""

from collections.abc import Iterable, Mapping

from edgebig.errors import UsageError
from edgebig.export.input_specs import AxisSize

# At most so many combinations are run.
LIMIT = 24


def sizes_to_verify(
    axes: Mapping[str, AxisSize],
    requested: Mapping[str, tuple[int, ...]],
    bounds: Mapping[str, int] | None = None,
) -> list[dict[str, int]]:
    """The combinations to run: the example's, each axis alone at each of its sizes, all alike at 1, 2, 3, all doubled.

    Args:
        axes: Name -> the size in the example, and the range it may have.
        requested: Name -> the sizes the user wants; other axes get 1, 2, 3, the double of the example's and one more.
        bounds: Name -> a size above which the graph is said to hold no more; it and the next one are tried too.

    Raises:
        UsageError: Sizes are requested for an axis that is not dynamic.
    """
    for name in requested:
        if name not in axes:
            known = ", ".join(axes) or "none"
            raise UsageError(f"sizes are given for {name!r}, which is no dynamic axis. Dynamic axes: {known}.")
    base = {name: axis.size for name, axis in axes.items()}
    plan = [base]
    for name, axis in axes.items():
        sizes = requested.get(name) or (1, 2, 3, axis.size * 2, axis.size * 2 + 1)
        bound = (bounds or {}).get(name)
        if bound is not None and name not in requested:
            sizes = (*sizes, bound, bound + 1)
        plan += [{**base, name: size} for size in sizes]
    free = [name for name in axes if name not in requested]
    plan += [{**base, **dict.fromkeys(free, size)} for size in (1, 2, 3)]
    plan.append({**base, **{name: axes[name].size * 2 for name in free}})
    return _distinct(sizes for sizes in plan if _allowed(sizes, axes))[:LIMIT]


def describe_sizes(sizes: Mapping[str, int]) -> str:
    """The sizes for people, e.g. "batch=2, length=7"."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "fixed sizes"


def _allowed(sizes: Mapping[str, int], axes: Mapping[str, AxisSize]) -> bool:
    return all(axes[n].low <= size <= (axes[n].high or size) for n, size in sizes.items())


def _distinct(plan: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    seen = {tuple(sizes.items()): sizes for sizes in plan}
    return list(seen.values())
