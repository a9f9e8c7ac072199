"""Which input goes to which parameter of `forward`: by name where the names agree, by order where none does."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebig.errors import UsageError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Binding:
    """How inputs become arguments.

    Attributes:
        names: The inputs' names, in `forward`'s order.
        positional: So many of them are given by position; the others by name.
    """

    names: tuple[str, ...]
    positional: int

    def arguments(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The values, in the order of `names`, as positional and named arguments."""
        return tuple(values[: self.positional]), dict(
            zip(self.names[self.positional :], values[self.positional :], strict=True)
        )


def bind(signature: inspect.Signature, names: Sequence[str], *, where: str) -> Binding:
    """Match inputs to parameters.

    Names that are all parameters' names are matched by name and put into `forward`'s order. Names of which none is a
    parameter's are matched by order. Anything between is a mistake in writing.

    Args:
        signature: That of `forward`.
        names: The inputs' names as given.
        where: The module's name, for messages.

    Raises:
        UsageError: Some names are parameters and others not, a required parameter gets nothing, or there are more
            inputs than parameters.
    """
    parameters = list(signature.parameters.values())
    named = [p.name for p in parameters if p.kind in (*_POSITIONAL, p.KEYWORD_ONLY)]
    unknown = [name for name in names if name not in named]
    if unknown and len(unknown) < len(names):
        known = ", ".join(named)
        raise UsageError(f"{where}: input {unknown[0]!r} is no parameter of forward. Parameters: {known}.")
    if unknown:
        return _by_order(parameters, tuple(names), where)
    required = [p.name for p in parameters if p.name in named and p.default is p.empty]
    missing = [name for name in required if name not in names]
    if missing:
        raise UsageError(f"{where}: forward needs {', '.join(map(repr, missing))} too. Give each parameter an input.")
    positional = 0
    for parameter in parameters:
        if parameter.kind not in _POSITIONAL or parameter.name not in names:
            break
        positional += 1
    return Binding(tuple(name for name in named if name in names), positional)


def _by_order(parameters: list[inspect.Parameter], names: tuple[str, ...], where: str) -> Binding:
    places = [p for p in parameters if p.kind in _POSITIONAL]
    required = [p.name for p in places if p.default is p.empty]
    required += [p.name for p in parameters if p.kind == p.KEYWORD_ONLY and p.default is p.empty]
    open_ended = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    if len(names) < len(required) or (len(names) > len(places) and not open_ended):
        takes = ", ".join(p.name for p in parameters) or "nothing"
        raise UsageError(
            f"{where}: {len(names)} inputs are given ({', '.join(names)}), forward takes: {takes}. "
            "Give the inputs the names of the parameters."
        )
    return Binding(names, len(names))
