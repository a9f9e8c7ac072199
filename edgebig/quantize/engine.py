"""Static quantization as an engine: the samples are gone through once, then int8 models are written as asked.

Statistics are gathered of every tensor that any choice of integer nodes could need, so a model with other nodes in
float, other ranges or other weights costs a rewriting of the graph and no run.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.samples import Samples
from edgebig.graph.edit import constant_array
from edgebig.quantize.calibrate import calibration_method
from edgebig.quantize.calibrate.gather import processors
from edgebig.quantize.calibrate.observe import observe
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.calibrate.statistics_key import statistics_file
from edgebig.quantize.formats.qdq import QdqWriter, WeightRule
from edgebig.quantize.plan import Plan, make_plan
from edgebig.quantize.prepare import Prepared
from edgebig.quantize.tensors import channel_axis, useful_limits
from edgebig.quantize.unit import Unit
from edgebig.quantize.weights import QuantizedWeight
from edgebig.records.quantize import QuantizedTensor

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class StaticChoice:
    """All that decides a static int8 model, besides the float model.

    Attributes:
        ranges: Tensor name -> (smallest, largest) value to be represented.
        rule: How weights are quantized.
        excluded: Names of nodes that stay in float, with the bias and the activation that belong to them.
        only: Where given, all others that could run in integers stay in float too.
        means: Node name -> means of its input's channels, where its bias shall make up for the rounding of its weight.
        weights: Node name -> its weight in integers, where an algorithm has found better ones than rounding.
        wide: Names of nodes that read and give activations in 16 bits, on targets that have them.
    """

    ranges: Mapping[str, Range]
    rule: WeightRule
    excluded: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    means: Mapping[str, NDArray] = field(default_factory=dict)
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict)
    wide: frozenset[str] = frozenset()


@dataclass(frozen=True)
class StaticResult:
    """A static int8 model.

    Attributes:
        model: The model.
        plan: What was decided for it; its units refer to nodes of `model`.
        writer: What was written.
    """

    model: ir.Model
    plan: Plan
    writer: QdqWriter


class StaticEngine:
    """Writes static int8 models of one float model.

    Args:
        prepared: The float model.
        excluded: Names of nodes that stay in float in every model.

    Attributes:
        prepared: The float model.
        plan: The plan with no further node excluded.
        statistics: Of every tensor that a plan may need, by name; filled by `calibrate`.
    """

    def __init__(self, prepared: Prepared, excluded: Collection[str] = ()) -> None:
        self.prepared = prepared
        self.plan = make_plan(prepared, excluded)
        self._excluded = frozenset(excluded)
        self.statistics: dict[str, TensorStatistics] = {
            name: TensorStatistics(name, channel_axis=axis) for name, axis in _tensors(self.plan).items()
        }
        self._limits = useful_limits(self.plan.candidates.units)

    @property
    def bytes_per_sample(self) -> dict[str, int]:
        """Tensor name -> its bytes on the sample that the model was prepared with."""
        shapes = self.prepared.facts.shapes
        item = np.dtype(np.float32).itemsize
        return {name: int(np.prod(shapes.get(name, (1,)), dtype=np.int64)) * item for name in self.statistics}

    def calibrate(
        self, samples: Samples, sizes: Mapping[str, int], *, budget: int, threads: int = 0, use_cache: bool = True
    ) -> int:
        """Go through samples and fill the statistics.

        Units of nodes with a tensor that is empty on all samples stay in float from then on: nothing is known of it.

        Args:
            samples: The feeds.
            sizes: Tensor name -> its bytes on one of these feeds.
            budget: Bytes of memory for all of it.
            threads: Threads within an operator; 0 leaves the choice to onnxruntime.
            use_cache: Whether statistics of the same model on the same samples are taken from the cache folder, and
                kept there.

        Returns:
            How often the samples were gone through: 1, or 0 where all was in the cache.

        Raises:
            InvalidDataError, InvalidModelError: See `edgebig.quantize.calibrate.observe.observe`.
        """
        model = self.prepared.model
        kept = statistics_file(model, next(iter(samples), {}), self.statistics) if use_cache else None
        observed = observe(
            model, samples, self.statistics, self._all_sizes(sizes), budget=budget, threads=threads, kept=kept
        )
        unseen = set(observed.unseen)
        if blind := {
            node.name or ""
            for unit in self.plan.candidates.units
            if any(value.name in unseen for value in (*unit.inputs, *unit.outputs))
            for node in unit.nodes
        }:
            self._excluded |= blind
            self.plan = make_plan(self.prepared, self._excluded)
        return 1 if observed.run else 0

    def _all_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The bytes of all values on a feed, in proportion to those that are known."""
        own = self.bytes_per_sample
        larger = sum(sizes.values()) / max(sum(own[name] for name in sizes), 1)
        item = np.dtype(np.float32).itemsize
        shapes = self.prepared.facts.shapes
        known = {name: int(np.prod(shape, dtype=np.int64) * item * larger) for name, shape in shapes.items()}
        return known | dict(sizes)

    def ranges(self, method: str) -> dict[str, Range]:
        """The range of every tensor by a calibration method.

        Args:
            method: A name that `edgebig.quantize.calibrate.calibration_method` knows.
        """
        choose = calibration_method(method).choose
        levels = np.iinfo(self.prepared.facts.target.activation_dtype)
        steps = int(levels.max) - int(levels.min)
        seen = {name: found for name, found in self.statistics.items() if found.seen}
        with ThreadPoolExecutor(processors()) as pool:
            found = pool.map(lambda name: choose(seen[name], *self._limits[name], steps), seen)
            return dict(zip(seen, found, strict=True))

    def means(self) -> dict[str, NDArray]:
        """Node name -> means of its input's channels, of nodes with a weight and a bias."""
        return {
            unit.node.name or "": self.statistics[unit.inputs[0].name or ""].means
            for unit in self.plan.candidates.units
            if unit.weighted is not None
            and unit.bias is not None
            and self.statistics[unit.inputs[0].name or ""].channels is not None
        }

    def write(self, choice: StaticChoice) -> StaticResult:
        """Write a model.

        Args:
            choice: What decides it.
        """
        plan = make_plan(self.prepared, self._floats(choice))
        graph = plan.model.graph
        units = {unit.node.name or "": unit for unit in plan.placement.units}
        writer = QdqWriter(
            graph,
            target=self.prepared.facts.target,
            ranges=choice.ranges,
            float_results=plan.placement.float_results,
            rule=choice.rule,
            means={units[name]: means for name, means in choice.means.items() if _has_bias(units.get(name))},
            weights={units[name]: weight for name, weight in choice.weights.items() if name in units},
            wide=frozenset(unit for name, unit in units.items() if name in choice.wide),
        )
        for unit in plan.placement.units:
            writer.write(unit)
        RemoveUnusedNodesPass()(plan.model)
        graph.sort()
        return StaticResult(plan.model, plan, writer)

    def _floats(self, choice: StaticChoice) -> frozenset[str]:
        """Names of all nodes that stay in float: whole units, whose outputs' statistics are known."""
        members = {unit.node.name or "": unit.nodes for unit in self.plan.candidates.units}
        left = set(choice.excluded) if choice.only is None else set(members) - choice.only | choice.excluded
        return self._excluded | {node.name or "" for name in left for node in members.get(name, ())}

    def quantized_tensors(self, writer: QdqWriter) -> tuple[QuantizedTensor, ...]:
        """A row per activation tensor that a writer has put in integers."""
        rows = []
        for name, params in writer.params.items():
            seen = self.statistics.get(name)
            rows.append(
                QuantizedTensor(
                    tensor=name,
                    scale=params.scale,
                    zero_point=params.zero_point,
                    observed_low=None if seen is None else seen.low,
                    observed_high=None if seen is None else seen.high,
                )
            )
        return tuple(rows)


def _tensors(plan: Plan) -> dict[str, int | None]:
    """Tensor name -> axis of the channels whose means are wanted, of the tensors between a plan's candidates."""
    axes: dict[str, int | None] = {}
    for unit in plan.candidates.units:
        for value in (*unit.inputs, *unit.outputs):
            if constant_array(value) is None:
                axes.setdefault(value.name or "", None)
    for unit in plan.candidates.units:
        if unit.weighted is not None:
            axes[unit.inputs[0].name or ""] = channel_axis(unit)
    return axes


def _has_bias(unit: Unit | None) -> bool:
    return unit is not None and unit.bias is not None
