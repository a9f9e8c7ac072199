"""An engine for a model whose channels were scaled: of its statistics, only those that changed are observed again."""

import dataclasses
from collections.abc import Collection, Mapping

from edgebig.data.samples import Samples
from edgebig.graph.edit import working_copy
from edgebig.quantize.algorithms.rescale import rescale
from edgebig.quantize.calibrate.observe import observe
from edgebig.quantize.engine import StaticEngine
from edgebig.records.quantize import AlgorithmReport


def rescaled_engine(
    engine: StaticEngine,
    samples: Samples,
    *,
    smooth: bool,
    excluded: Collection[str],
    sizes: Mapping[str, int],
    budget: int,
    threads: int = 0,
) -> tuple[StaticEngine, AlgorithmReport]:
    """Scale channels (see `rescale`) and observe what changed.

    Args:
        engine: Calibrated; it and its model stay as they are.
        samples: What it was calibrated on.
        smooth: SmoothQuant; else equalisation.
        excluded: Names of nodes that stay in float.
        sizes: Tensor name -> its bytes on one feed.
        budget: Bytes that the tensors observed at once may take together.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        The new engine (the old one where no channels gain), and what was done.
    """
    before = engine.prepared
    model = working_copy(before.model)
    readers = [unit.node.name or "" for unit in engine.plan.placement.units if unit.weighted is not None]
    done = rescale(model, engine.statistics, before.facts.shapes, smooth=smooth, readers=readers)
    if not done.report.kept:
        return engine, done.report
    shapes = dict(before.facts.shapes) | {new: before.facts.shapes[old] for new, old in done.added.items()}
    facts = dataclasses.replace(before.facts, shapes=shapes)
    # In integers the Mul would read the very steps that it is there to avoid.
    after = StaticEngine(dataclasses.replace(before, model=model, facts=facts), {*excluded, *done.added})
    again = {*done.changed, *done.added} & set(after.statistics)
    after.statistics.update({name: engine.statistics[name] for name in after.statistics if name not in again})
    bytes_again = dict(sizes) | {new: sizes[old] for new, old in done.added.items()}
    fresh = {name: after.statistics[name] for name in again}
    observe(model, samples, fresh, {name: bytes_again[name] for name in again}, budget=budget, threads=threads)
    return after, done.report
