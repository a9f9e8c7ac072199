"""All accuracy algorithms in their order, each kept only where the quantized model's outputs do not get worse.

Those that change the float model come first (equalisation, SmoothQuant), then scales, biases and integers of weights.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.quantize.algorithms.layers import Layer, layers_of
from edgebig.quantize.algorithms.presets import Switches, Use
from edgebig.quantize.algorithms.rescaled_engine import rescaled_engine
from edgebig.quantize.algorithms.round_weights import round_weights
from edgebig.quantize.algorithms.search_weights import search_weights
from edgebig.quantize.engine import Range, StaticChoice, StaticEngine
from edgebig.records.quantize import AlgorithmReport

WORSE = "the held-out loss gets worse"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the algorithms work with.

    Attributes:
        observed: The feeds that the engine was calibrated on.
        judge: The loss of a quantized model on samples kept apart; it should tell small changes (see `output_error`).
        ranges: Chooses the ranges of a calibrated engine.
        excluded: Names of nodes that stay in float in every model.
        larger: How many times the bytes of the engine's sample one feed has.
        budget: Bytes that may be held of observed tensors.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    observed: Samples
    judge: Callable[[ir.Model], float]
    ranges: Callable[[StaticEngine], Mapping[str, Range]]
    excluded: frozenset[str] = frozenset()
    larger: float = 1.0
    budget: int = 1 << 30
    threads: int = 0


@dataclass(frozen=True)
class Improved:
    """The best that was found.

    Attributes:
        engine: Writes it; its float model is another than at first where channels were scaled.
        choice: What it is written with.
        loss: Its loss.
        reports: What every algorithm did, in order.
    """

    engine: StaticEngine
    choice: StaticChoice
    loss: float
    reports: tuple[AlgorithmReport, ...] = ()


def improve(engine: StaticEngine, start: StaticChoice, setting: Setting, switches: Switches) -> Improved:
    """Run the algorithms that are switched on.

    Args:
        engine: Calibrated.
        start: What a model without them is written with.
        setting: What they work with.
        switches: Which run.
    """
    best = Improved(engine, start, setting.judge(engine.write(start).model))
    for use, smooth in ((switches.equalize, False), (switches.smooth_quant, True)):
        if use is not Use.NEVER:
            best = _rescaled(best, setting, use, smooth=smooth)
    layers = layers_of(best.engine, start.rule)
    steps: Sequence[tuple[str, Use, Callable[[Improved, Setting, Sequence[Layer]], StaticChoice]]] = (
        ("weight-mse", switches.weight_mse, _searched),
        ("bias-correction", switches.bias_correction, _corrected),
        ("gptq", switches.gptq, partial(_rounded, method="gptq")),
        ("adaround", switches.adaround, partial(_rounded, method="adaround")),
    )
    for name, use, step in steps:
        if use is not Use.NEVER:
            best = _tried(
                best, best.engine, step(best, setting, layers), AlgorithmReport(name, kept=True), setting, use
            )
    return best


def _rescaled(best: Improved, setting: Setting, use: Use, *, smooth: bool) -> Improved:
    sizes = {name: int(size * setting.larger) for name, size in best.engine.bytes_per_sample.items()}
    engine, report = rescaled_engine(
        best.engine,
        setting.observed,
        smooth=smooth,
        excluded=setting.excluded,
        sizes=sizes,
        budget=setting.budget,
        threads=setting.threads,
    )
    if not report.kept:
        return dataclasses.replace(best, reports=(*best.reports, report))
    choice = dataclasses.replace(best.choice, ranges=setting.ranges(engine))
    return _tried(best, engine, choice, report, setting, use)


def _searched(best: Improved, setting: Setting, layers: Sequence[Layer]) -> StaticChoice:
    return dataclasses.replace(best.choice, weights=search_weights(best.engine, layers))


def _corrected(best: Improved, setting: Setting, layers: Sequence[Layer]) -> StaticChoice:
    return dataclasses.replace(best.choice, means=best.engine.means())


def _rounded(best: Improved, setting: Setting, layers: Sequence[Layer], *, method: str) -> StaticChoice:
    written = best.engine.write(best.choice).writer.weights
    start = {unit.node.name or "": weight for unit, weight in written.items()}
    layers = [layer for layer in layers if all(name in start for name in layer.names)]
    weights = round_weights(
        best.engine,
        layers,
        start,
        setting.observed,
        method=method,
        budget=setting.budget,
        larger=setting.larger,
        threads=setting.threads,
    )
    return dataclasses.replace(best.choice, weights=weights)


def _tried(
    best: Improved, engine: StaticEngine, choice: StaticChoice, report: AlgorithmReport, setting: Setting, use: Use
) -> Improved:
    """The better of what there is and a candidate; the candidate where the user wants it."""
    result = engine.write(choice)
    loss = setting.judge(result.model)
    kept = use is Use.ALWAYS or loss <= best.loss
    row = dataclasses.replace(report, kept=kept, loss_before=best.loss, loss_after=loss, reason="" if kept else WORSE)
    if not kept:
        return dataclasses.replace(best, reports=(*best.reports, row))
    return Improved(engine, choice, loss, (*best.reports, row))
