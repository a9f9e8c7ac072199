"""What the tests of operators and targets share: a static int8 model of small float models, for any target."""

from collections.abc import Collection, Sequence

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.quantize.engine import StaticChoice, StaticEngine, StaticResult
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.prepare import prepare
from edgebig.records.quantize import NodeCoverage
from edgebig.targets import targets

SAFE = WeightRule(8, pair_sums=True)


def static(
    model: ir.Model,
    feeds: Sequence[Feed],
    target: str = "ort-cpu-avx2",
    *,
    wide: Collection[str] = (),
    excluded: Collection[str] = (),
    rule: WeightRule = SAFE,
) -> StaticResult:
    """A static int8 model with ranges from the smallest to the largest value seen."""
    engine = StaticEngine(prepare(model, feeds[0], targets.get(target)()))
    samples = open_samples(list(feeds), input_specs(model), batch_size=1)
    engine.calibrate(samples, engine.bytes_per_sample, budget=10**9, threads=1, use_cache=False)
    ranges = engine.ranges("minmax")
    return engine.write(
        StaticChoice(ranges=ranges, rule=rule, means=engine.means(), wide=frozenset(wide), excluded=frozenset(excluded))
    )


def planned(model: ir.Model, feed: Feed, target: str = "ort-cpu-avx2") -> tuple[NodeCoverage, ...]:
    """What would become of every node."""
    return StaticEngine(prepare(model, feed, targets.get(target)())).plan.nodes


def producers(value: ir.Value | None, count: int) -> list[str]:
    """Operators behind a value, the nearest first."""
    found: list[str] = []
    for _ in range(count):
        node = value.producer() if value is not None else None
        if node is None:
            break
        found.append(node.op_type)
        value = node.inputs[0]
    return found
