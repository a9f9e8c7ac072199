"""Which part of a changed model must run: from a cut of the original to the cut behind which both are the same."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source
from edgebig.graph.partial_run_cuts import Cut, reads
from edgebig.graph.partial_run_numbering import Numbering, Numbers


@dataclass(frozen=True)
class Region:
    """The part of a changed model that differs from the original.

    Attributes:
        start: Index of the cut of the original that it is fed from.
        stop: Index of the cut of the original that it runs to; behind it the original goes on.
        inputs: Its inputs, values of the changed model, -> name of the original's value to feed.
        outputs: Its outputs, values of the changed model under names that the original has too.
        kept: Name of a value at `stop` (or of an output) -> name of the value at `start` that it equals.
        changed: Names of the model's outputs that may differ from the original's.
    """

    start: int
    stop: int
    inputs: dict[ir.Value, str]
    outputs: tuple[ir.Value, ...]
    kept: dict[str, str]
    changed: tuple[str, ...]


class RegionFinder:
    """Compares changed models with the original.

    Args:
        base: The original, in topological order.
        cuts: Its cuts; the first before all nodes, the last behind all.
    """

    def __init__(self, base: ir.Model, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts
        self._numbering = Numbering(base)
        self._numbers = _by_name(self._numbering.of_base())
        positions = {value.name: index for index, node in enumerate(base.graph) for value in node.outputs}
        self._outputs = {value.name or "": positions[value.name] for value in base.graph.outputs if value.producer()}
        # What the outputs behind each cut are as functions of what crosses it.
        self._behind = []
        for cut in cuts:
            numbers = _by_name(self._numbering.of_base(cut.crossing))
            self._behind.append({name: numbers[name] for name in self._late(cut)})

    def find(self, changed: ir.Model) -> Region | None:
        """The region of a changed model; None where it is the same as the original.

        Args:
            changed: The model, in topological order.

        Raises:
            InvalidModelError: It lacks one of the original's outputs.
        """
        numbers = self._numbering.of(changed)
        values = {value.name or "": value for value in numbers}
        outputs = {value.name or "": value for value in changed.graph.outputs}
        if missing := [name for name in self._outputs if name not in outputs]:
            raise InvalidModelError(
                f"{describe_source(changed)} has no output {missing[0]!r}, which the original has. "
                f"Its outputs: {', '.join(outputs)}."
            )
        different = [name for name, value in outputs.items() if numbers[value] != self._numbers.get(name)]
        if not different:
            return None
        start = self._start([outputs[name] for name in different], numbers)
        stop = next(index for index in range(start + 1, len(self._cuts)) if self._same_behind(index, changed, values))
        return self._region(start, stop, different, numbers, values | outputs)

    def _late(self, cut: Cut) -> list[str]:
        return [name for name, position in self._outputs.items() if position >= cut.position]

    def _known_at(self, cut: int) -> dict[int, str]:
        return {self._numbers[name]: name for name in self._cuts[cut].crossing}

    def _start(self, wanted: Sequence[ir.Value], numbers: Numbers) -> int:
        """The last cut from which the wanted values can be computed."""
        for index in range(len(self._cuts) - 2, 0, -1):
            if _frontier(wanted, numbers, self._known_at(index)) is not None:
                return index
        return 0

    def _same_behind(self, index: int, changed: ir.Model, values: Mapping[str, ir.Value]) -> bool:
        cut = self._cuts[index]
        if not self._behind[index]:
            return True
        if any(name not in values for name in cut.crossing):
            return False
        numbers = _by_name(self._numbering.of(changed, cut.crossing))
        return all(numbers.get(name) == number for name, number in self._behind[index].items())

    def _region(
        self, start: int, stop: int, different: Sequence[str], numbers: Numbers, values: Mapping[str, ir.Value]
    ) -> Region:
        known = self._known_at(start)
        cut = self._cuts[stop]
        early = [name for name in different if name not in self._behind[stop]]
        needed = dict.fromkeys([*(cut.crossing if self._behind[stop] else ()), *early])
        kept = {name: known[numbers[values[name]]] for name in needed if numbers[values[name]] in known}
        outputs = tuple(values[name] for name in needed if name not in kept)
        frontier = _frontier(outputs, numbers, known)
        if frontier is None:  # an input of the graph that the original does not read
            raise InvalidModelError("the changed model reads inputs that the original does not read")
        inputs = {value: known[numbers[value]] for value in frontier}
        return Region(start, stop, inputs, outputs, kept, tuple(different))


def _frontier(wanted: Collection[ir.Value], numbers: Numbers, known: Mapping[int, str]) -> list[ir.Value] | None:
    """The known values that the wanted ones are computed from; None where they depend on inputs that are not known."""
    found: list[ir.Value] = []
    seen: set[ir.Value] = set()
    stack = list(wanted)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        producer = value.producer()
        if numbers[value] in known:
            found.append(value)
        elif producer is not None:
            stack.extend(reads(producer))
        elif not value.is_initializer():
            return None
    return found


def _by_name(numbers: Numbers) -> dict[str, int]:
    return {value.name or "": number for value, number in numbers.items()}
